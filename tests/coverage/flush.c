/* SPDX-License-Identifier: MIT */
/*
 * Writes gcov's counters on the ways out of a process that do not: _exit(), which ends each of
 * Criterion's test processes, and abort(), by which broken rules end.  Linked into the tests of the
 * coverage build only; the programs' definitions come before those of the C library.
 *
 * What ends by a signal that it was sent, or that its own handler raises once more, still loses its
 * counters: docs/coverage.md lists what that hides.
 */
#define _GNU_SOURCE 1

#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

__attribute__((noreturn)) void _exit(int status)
{
    __gcov_dump();
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

__attribute__((noreturn)) void _Exit(int status)
{
    _exit(status);
}

__attribute__((noreturn)) void abort(void)
{
    sigset_t set;

    __gcov_dump();
    sigemptyset(&set);
    sigaddset(&set, SIGABRT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(SIGABRT); /* a handler comes first, as it does for the C library's */
    (void)signal(SIGABRT, SIG_DFL);
    for (;;)
        (void)raise(SIGABRT);
}
