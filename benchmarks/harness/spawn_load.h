/* SPDX-License-Identifier: MIT */
/* Starting a load generator, which lies in the folder of the program that wants it. */
#ifndef WEFT_BENCH_SPAWN_LOAD_H
#define WEFT_BENCH_SPAWN_LOAD_H

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

/* Returns 0 or a negative errno. */
static inline int bench_load_path(const char *name, char *path, size_t size)
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        return -errno;
    self[n] = '\0';
    n = snprintf(path, size, "%s/%s", dirname(self), name);
    return n < (ssize_t)size ? 0 : -ENAMETOOLONG;
}

/* Its output goes to `out`.  Returns 0 or a negative errno. */
static inline int bench_load_spawn(char *const *argv, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int rc;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    /* A worker's signals are blocked, and its child must be able to die. */
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    rc = posix_spawn(pid, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -rc;
}

#endif
