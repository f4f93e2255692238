/* SPDX-License-Identifier: MIT */
/* Child processes, and signals as values.
 *
 * To send a signal to a child is kill(2): it never waits.  Until weft_process_wait() has taken the
 * child, its number is no other process's, unless the program ignores SIGCHLD or handles it with
 * SA_NOCLDWAIT: then the kernel takes children at their end. */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include "base.h"

#include <signal.h>
#include <spawn.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Start a program, found as by execvp(3), on a thread of the runtime's pool: the start waits for
 * the program to be loaded.  `actions` redirect its descriptors and `attr` sets its other
 * attributes, as for posix_spawnp(3); each may be NULL.
 *
 * It begins with no signal blocked, unless `attr` sets a mask.  Its CPUs are those that the process
 * was allowed when that thread began, not the one that a worker is pinned to.
 *
 * The child stays a zombie until it has been waited for, but where children are not (see above).
 *
 * Returns   0, with its number in `*pid`; a negative errno.
 * Deadline  absolute, for the begin of the start.
 * Context   fiber.  A plain thread blocks, whatever the deadline, and its child gets its CPUs.
 * Switches  yes.
 * Cancel    -ECANCELED, with nothing started; a start that has begun is reported.
 * Errors    -ETIMEDOUT, -ECANCELED, -EAGAIN, -ENOMEM, and those of execve(2), such as -ENOENT.
 */
WEFT_API WEFT_MUST_USE int weft_process_spawn(pid_t *pid, const char *file,
                                              const posix_spawn_file_actions_t *actions,
                                              const posix_spawnattr_t *attr, char *const argv[],
                                              char *const envp[], weft_time deadline);

/*
 * Wait until a child has ended, and take it out of the process table.
 *
 * Returns   0, with how it ended in `*status` (NULL: not wanted), as waitpid(2) has it; a negative
 *           errno.
 * Deadline  absolute; a child that has ended is taken also after it.  One that another process
 *           traces has not ended until that process has seen it.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; the child runs on, and can be waited for again.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -ECHILD (no child, or somebody else has
 *           waited for it), -EMFILE, -ENFILE, -ENOMEM.
 */
WEFT_API WEFT_MUST_USE int weft_process_wait(pid_t pid, int *status, weft_time deadline);

/* A signal that has come. */
struct weft_signal {
    int number;
    int code;  /* why: SI_USER, CLD_EXITED, ... of sigaction(2) */
    pid_t pid; /* who sent it, or which child it is about */
    uid_t uid;
    int status; /* SIGCHLD: of the child */
    int value;  /* what sigqueue(3) sent along */
};

/*
 * Wait for a signal that was sent to the process.  The signals of `set` must be blocked in all
 * threads: block them before the runtime starts, whose threads inherit that.  One that comes while
 * nobody waits stays pending; of several of the same number only one may be kept, as always.
 *
 * Some never come this way, be they in `set` or not: SIGPIPE, which workers get from writes of the
 * library; SIGURG, while stalls are reported (runtime.h); and faults.  One that was sent to a
 * single thread, as by raise(3), comes only where a wait happens to be on that thread: send it to
 * the process.
 *
 * Returns   0, with the signal in `*got`; a negative errno.
 * Deadline  absolute; a signal that is pending comes also after it.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED; a signal that was taken first is returned, never lost.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (plain thread), -EINVAL (one that could come is not
 *           blocked here), -EMFILE, -ENFILE, -ENOMEM.
 */
WEFT_API WEFT_MUST_USE int weft_signal_wait(const sigset_t *set, struct weft_signal *got,
                                            weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
