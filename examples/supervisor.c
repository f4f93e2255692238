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

enum { KILLED = 128 + SIGKILL };

struct job {
    const char *script;
    weft_time limit;
    int ends_with;
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

/* To wait for a child takes a descriptor: without one, or without memory, it tries again. */
static int wait_for(pid_t pid, int *status, weft_time deadline)
{
    int error = weft_process_wait(pid, status, deadline);

    while (error == -EMFILE || error == -ENFILE || error == -ENOMEM) {
        error = weft_sleep(100 * WEFT_MILLISECOND);
        if (error == 0)
            error = weft_now() < deadline ? weft_process_wait(pid, status, deadline) : -ETIMEDOUT;
    }
    return error;
}

/* The child must not be left behind, whatever has been cancelled: hence the shield. */
static int reap(pid_t pid, weft_time deadline)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    int status = 0;
    int error = wait_for(pid, &status, deadline);

    if (error == -ETIMEDOUT || error == -ECANCELED) {
        kill(pid, SIGKILL);
        weft_scope_open_shielded(&shield, WEFT_FOREVER);
        error = wait_for(pid, &status, WEFT_FOREVER);
        error = weft_scope_close(&shield, error);
    }
    if (error != 0)
        return error;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Keeps the first line.  The rest is read, too: nobody could write it into a pipe that is full, and
 * one that is closed kills who writes. */
static void read_output(int output, char *line, size_t size, weft_time deadline)
{
    char part[512];
    size_t length = 0;
    ssize_t n;

    while ((n = weft_read(output, part, sizeof part, deadline)) > 0) {
        size_t room = size - 1 - length;
        size_t kept = (size_t)n < room ? (size_t)n : room;

        memcpy(line + length, part, kept);
        length += kept;
    }
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static int supervise(void *arg)
{
    const struct job *job = arg;
    weft_time deadline = weft_after(job->limit);
    char line[80];
    pid_t pid;
    int output = -1;
    int result = start(job->script, &pid, &output);

    if (result != 0)
        return result;
    read_output(output, line, sizeof line, deadline);
    result = reap(pid, deadline);
    weft_close(output);
    printf("%-47s said \"%s\", ended with %d\n", job->script, line, result);
    return result == job->ends_with ? 0 : -EPROTO;
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

static int supervise_all(const struct job *jobs, int count)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = 0;

    for (int i = 0; i < count && error == 0; i++)
        error = weft_scope_spawn(&scope, supervise, (void *)(uintptr_t)&jobs[i]);
    return weft_scope_close(&scope, error);
}

static int app(void *arg)
{
    static const struct job by_themselves[] = {
        {"echo hello", 30 * WEFT_SECOND, 0},
        {"exit 3", 30 * WEFT_SECOND, 3},
        {"for i in $(seq 20000); do echo $i; done; exit 7", 30 * WEFT_SECOND, 7},
        {"exec sleep 60", 50 * WEFT_MILLISECOND, KILLED},
    };
    /* The last program sends the signal that ends them all, itself included. */
    static const struct job by_signal[] = {
        {"exec sleep 60", 60 * WEFT_SECOND, KILLED},
        {"sleep 0.2; kill $PPID; exec sleep 60", 60 * WEFT_SECOND, KILLED},
    };
    weft_scope scope = WEFT_SCOPE_INIT;
    int error = weft_scope_spawn(&scope, stop_on_signal, &scope);

    (void)arg;
    if (error == 0)
        error = supervise_all(by_themselves, 4);
    if (error == 0)
        error = supervise_all(by_signal, 2);
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
