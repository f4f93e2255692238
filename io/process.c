/* SPDX-License-Identifier: MIT */
/* Child processes and signals: descriptors that are read or polled as any other. */
#define _GNU_SOURCE 1

#include <weft/process.h>

#include "arch/compiler.h"
#include "io/op.h"
#include "runtime/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/blocking.h>
#include <weft/io.h>

/* As the kernel has it (Linux, include/uapi/linux/wait.h); older C libraries have no name for it.
 */
enum { ID_IS_PIDFD = 3 };

struct start {
    pid_t pid;
    const char *file;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attr;
    char *const *argv;
    char *const *envp;
    int error;
};

/* The caller's mask is the pool's, which is nothing that a program should inherit: the child has
 * one of its own, the program's if it gives one. */
static int run_start(void *arg)
{
    struct start *start = arg;
    posix_spawnattr_t attr;
    sigset_t none;
    short flags = 0;

    start->error = posix_spawnattr_init(&attr);
    if (start->error != 0)
        return 0;
    /* By assignment, since there are attributes that only the C library knows.  In glibc and musl
     * they hold no pointers, so the copy is whole and owns nothing; weft runs on no other one. */
    if (start->attr != NULL)
        attr = *start->attr;
    posix_spawnattr_getflags(&attr, &flags);
    if ((flags & POSIX_SPAWN_SETSIGMASK) == 0) {
        sigemptyset(&none);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setflags(&attr, (short)(flags | POSIX_SPAWN_SETSIGMASK));
    }
    start->error = posix_spawnp(&start->pid, start->file, start->actions, &attr, start->argv,
                                start->envp);
    posix_spawnattr_destroy(&attr);
    return 0;
}

int weft_process_spawn(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attr, char *const argv[], char *const envp[],
                       weft_time deadline)
{
    struct start start = {
        .file = file, .actions = actions, .attr = attr, .argv = argv, .envp = envp};
    int error = weft_blocking(run_start, &start, deadline);

    if (error != 0)
        return error;
    if (start.error == 0)
        *pid = start.pid;
    return -start.error;
}

/* Not inlined, here and below: errno's address must not be kept over a switch. */
static WF_NOINLINE int open_child(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd >= 0)
        return fd;
    /* Not a process, or a thread and no process (ENOENT on newer kernels): it is nobody's child. */
    return errno == ESRCH || errno == EINVAL || errno == ENOENT ? -ECHILD : -errno;
}

/* 1 if it has ended and was taken, 0 if it runs. */
static WF_NOINLINE int take_child(int fd, int *status)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid((idtype_t)ID_IS_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) != 0)
        return -errno;
    if (info.si_pid == 0)
        return 0;
    if (status != NULL && info.si_code == CLD_EXITED)
        *status = (info.si_status & 0xff) << 8;
    else if (status != NULL)
        *status = info.si_status | (info.si_code == CLD_DUMPED ? WCOREFLAG : 0);
    return 1;
}

int weft_process_wait(pid_t pid, int *status, weft_time deadline)
{
    bool has_ended = false;
    int fd, result;

    if (wf_self() == NULL)
        return -EPERM;
    fd = open_child(pid);
    if (fd < 0)
        return fd;
    while ((result = take_child(fd, status)) == 0) {
        /* Somebody else traces it and gets its end first.  Nothing tells when that is over. */
        if (has_ended && (result = wf_op_pause(deadline)) != 0)
            break;
        result = weft_poll_fd(fd, POLLIN, deadline);
        if (result < 0)
            break;
        has_ended = true;
    }
    (void)weft_close(fd);
    return result < 0 ? result : 0;
}

/* Those of the set that come here.  False if one is not blocked that has to be. */
static bool choose_signals(const sigset_t *set, sigset_t *chosen)
{
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    *chosen = *set;
    /* All workers have it blocked, and those that come are of our own writes. */
    sigdelset(chosen, SIGPIPE);
    /* Where workers take it, it is from the monitor, and the set may be a full one. */
    if (sigismember(&blocked, SIGURG) != 1)
        sigdelset(chosen, SIGURG);
    /* These two cannot be blocked, and are in a full set all the same. */
    sigdelset(chosen, SIGKILL);
    sigdelset(chosen, SIGSTOP);
    for (int number = 1; number <= SIGRTMAX; number++)
        if (sigismember(chosen, number) == 1 && sigismember(&blocked, number) != 1)
            return false;
    return true;
}

static WF_NOINLINE int open_signals(const sigset_t *set)
{
    sigset_t chosen;
    int fd;

    if (!choose_signals(set, &chosen))
        return -EINVAL;
    fd = signalfd(-1, &chosen, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int weft_signal_wait(const sigset_t *set, struct weft_signal *got, weft_time deadline)
{
    struct signalfd_siginfo info;
    ssize_t n;
    int fd;

    if (wf_self() == NULL)
        return -EPERM;
    fd = open_signals(set);
    if (fd < 0)
        return fd;
    n = weft_read(fd, &info, sizeof info, deadline);
    (void)weft_close(fd);
    if (n < 0)
        return (int)n;
    *got = (struct weft_signal){.number = (int)info.ssi_signo,
                                .code = info.ssi_code,
                                .pid = (pid_t)info.ssi_pid,
                                .uid = info.ssi_uid,
                                .status = info.ssi_status,
                                .value = info.ssi_int};
    return 0;
}
