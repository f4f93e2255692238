/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A question about a process that cannot be, since no system has so many. */
enum { MARK = 0x7e570000, REFUSED = 125 };

void trace_mark(int phase)
{
    (void)getpgid(MARK + 1 + phase);
}

static int run_traced(int (*fn)(void *arg), void *arg)
{
    int result;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return REFUSED;
    raise(SIGSTOP);
    result = fn(arg);
    return result >= 0 && result < REFUSED ? result : 1;
}

/* A thread stands before or behind a system call. */
static void count_call(pid_t thread, int *phase, uint64_t calls[TRACE_PHASES])
{
    struct __ptrace_syscall_info info = {0};

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    if (info.entry.nr == SYS_getpgid && info.entry.args[0] - MARK <= TRACE_PHASES)
        *phase = (int)(info.entry.args[0] - MARK) - 1;
    else if (*phase >= 0)
        calls[*phase]++;
}

/* The signal that the thread is to get when it goes on: none for the stop that it begins with, nor
 * for having begun another one. */
static int signal_of(int status)
{
    int signal = WSTOPSIG(status);

    return signal == SIGSTOP || (signal == SIGTRAP && status >> 16 != 0) ? 0 : signal;
}

/* Returns how the child ended, as waitpid(2) has it. */
static int follow(pid_t child, uint64_t calls[TRACE_PHASES])
{
    int phase = -1, status, ended = 0;
    pid_t thread;

    while ((thread = waitpid(-1, &status, __WALL)) > 0) {
        int signal = 0;

        if (WIFSTOPPED(status)) {
            if (WSTOPSIG(status) == (SIGTRAP | 0x80))
                count_call(thread, &phase, calls);
            else
                signal = signal_of(status);
            (void)ptrace(PTRACE_SYSCALL, thread, NULL, signal);
        } else if (thread == child) {
            ended = status;
        }
    }
    return ended;
}

int trace_calls(int (*fn)(void *arg), void *arg, uint64_t calls[TRACE_PHASES])
{
    pid_t child = fork();
    int status;

    if (child < 0)
        return -errno;
    if (child == 0)
        _exit(run_traced(fn, arg));
    for (int i = 0; i < TRACE_PHASES; i++)
        calls[i] = 0;
    if (waitpid(child, &status, 0) != child)
        return -errno;
    if (WIFSTOPPED(status)) {
        if (ptrace(PTRACE_SETOPTIONS, child, NULL,
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0 ||
            ptrace(PTRACE_SYSCALL, child, NULL, 0) != 0)
            kill(child, SIGKILL);
        status = follow(child, calls);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != REFUSED)
        return WEXITSTATUS(status);
    return -EPERM;
}
