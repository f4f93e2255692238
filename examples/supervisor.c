/* SPDX-License-Identifier: MIT */
/*
 * A program that runs others: it starts each with its output in a pipe, ends one that takes too
 * long, and ends all of them when it is told to by a signal.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

extern char **environ;

struct job {
    const char *script;
    weft_time limit;
};

/* Starts `sh -c script` with its output in a pipe, whose other end is `*output`. */
static int start(const char *script, pid_t *pid, int *output)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)script, NULL};
    posix_spawn_file_actions_t actions;
    int fds[2], error;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    error = weft_process_spawn(pid, "sh", &actions, NULL, argv, environ, WEFT_FOREVER);
    posix_spawn_file_actions_destroy(&actions);
    weft_close(fds[1]);
    if (error != 0)
        weft_close(fds[0]);
    *output = fds[0];
    return error;
}

/* The child must not be left behind, whatever has been cancelled: hence the shield. */
static int reap(pid_t pid, weft_time deadline)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    int status = 0;
    int error = weft_process_wait(pid, &status, deadline);

    if (error != 0) {
        kill(pid, SIGKILL);
        weft_scope_open_shielded(&shield, WEFT_FOREVER);
        error = weft_process_wait(pid, &status, WEFT_FOREVER);
        error = weft_scope_close(&shield, error);
    }
    if (error != 0)
        return error;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int supervise(void *arg)
{
    const struct job *job = arg;
    weft_time deadline = weft_after(job->limit);
    char line[80];
    ssize_t n, total = 0;
    pid_t pid;
    int output = -1;
    int result = start(job->script, &pid, &output);

    if (result != 0)
        return result;
    while ((n = weft_read(output, line + total, sizeof line - 1 - (size_t)total, deadline)) > 0)
        total += n;
    line[total] = '\0';
    line[strcspn(line, "\n")] = '\0';
    weft_close(output);
    result = reap(pid, deadline);
    printf("%-38s said \"%s\", ended with %d\n", job->script, line, result);
    return 0;
}

/* Ends everybody in the scope when a signal says so. */
static int stop_on_signal(void *arg)
{
    struct weft_signal got;
    sigset_t set;
    int error;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    error = weft_signal_wait(&set, &got, WEFT_FOREVER);
    if (error == 0)
        weft_scope_cancel(arg);
    return 0;
}

static int app(void *arg)
{
    static const struct job jobs[] = {
        {"echo hello", 30 * WEFT_SECOND},
        {"exit 3", 30 * WEFT_SECOND},
        {"exec sleep 60", 50 * WEFT_MILLISECOND},
        {"sleep 0.2; kill $PPID; exec sleep 60", WEFT_SECOND * 60},
    };
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = weft_scope_spawn(&scope, stop_on_signal, &scope);

    (void)arg;
    for (int i = 0; i < 4 && error == 0; i++)
        error = weft_scope_spawn(&scope, supervise, (void *)(uintptr_t)&jobs[i]);
    /* The last program sends the signal that ends them all, itself included. */
    error = weft_scope_close(&scope, error);
    return error == -ECANCELED ? 0 : error;
}

int main(void)
{
    sigset_t set;

    /* In all threads: before the first one is started. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return weft_run(NULL, app, NULL) < 0;
}
