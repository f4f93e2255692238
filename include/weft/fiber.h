/* SPDX-License-Identifier: MIT */
/* Fibers: spawn, join, detach, cancel, yield, sleep, names. */
#ifndef WEFT_FIBER_H
#define WEFT_FIBER_H

#include "base.h"

#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A handle to a fiber.  Whoever spawned it owns the handle and gives it up exactly once, by a
 * weft_join() that returns 0 or by weft_detach().
 */
typedef struct weft_fiber weft_fiber;

#define WEFT_FIBER_NAME_MAX 24 /* bytes, with the closing zero; longer names are cut */

/* How a fiber is spawned.  Zero means the default in every field. */
struct weft_fiber_attr {
    const char *name;        /* copied; default: none */
    uint32_t stack_size_kib; /* rounded up to a power of two, 16-8192, of which up to 2 KiB are the
                                runtime's; default: the runtime's configuration */
    uint32_t reserved32;     /* zero */
    uint64_t reserved[4];    /* zero */
};

#define WEFT_FIBER_ATTR_INIT \
    {                        \
        NULL, 0, 0,          \
        {                    \
            0, 0, 0, 0       \
        }                    \
    }

/*
 * Make a fiber that runs `fn(arg)`, on any worker, some time after this call.
 *
 * `*fiber` becomes its handle; a null `fiber` detaches it at once.  `arg` must stay valid for as
 * long as `fn` uses it.  By convention `fn` returns 0 or more for success and a negative errno for
 * failure.  The floating-point control modes (rounding, masked exceptions) of the caller are
 * inherited; see weft_own_fp_modes() for others.
 *
 * Returns   0, or a negative errno with nothing created and `*fiber` untouched.
 * Context   fiber.
 * Switches  never.
 * Cancel    -ECANCELED, at once: a cancelled caller makes no fibers.
 * Errors    -ENOMEM (no memory or address space for a stack, or no room under
 *           max_stack_memory_mib, which free stacks take up as well; workers then hand over those
 *           that they keep, so that it may succeed later), -EAGAIN (max_fibers are alive),
 *           -EINVAL (stack size out of range), -EPERM (plain thread), -ECANCELED (the runtime is
 *           ending, or the calling fiber or a scope around it was cancelled), -ETIMEDOUT (the
 *           deadline of a scope around it has passed: weft/scope.h).
 */
WEFT_API WEFT_MUST_USE int weft_spawn(weft_fiber **fiber, int (*fn)(void *), void *arg);

/*
 * weft_spawn() with attributes; a null `attr` means the defaults.
 *
 * Returns   0, or a negative errno with nothing created and `*fiber` untouched.
 * Context   fiber.
 * Switches  never.
 * Errors    those of weft_spawn().
 */
WEFT_API WEFT_MUST_USE int weft_spawn_with(const struct weft_fiber_attr *attr, weft_fiber **fiber,
                                           int (*fn)(void *), void *arg);

/*
 * Make a fiber in a given runtime.  Else like weft_spawn_with(); a null `attr` means the defaults.
 *
 * Made from elsewhere than a fiber of that runtime, fibers wait in one queue, first in, first out,
 * for whatever worker is free.  One that is made while the runtime begins to end either runs,
 * cancelled, or was refused.
 *
 * Returns   0, or a negative errno with nothing created and `*fiber` untouched.
 * Context   any thread, any fiber.  Wakes a worker if all sleep, which costs the caller a system
 *           call; never waits for one.
 * Switches  never.
 * Errors    those of weft_spawn() but for -EPERM, and -ECHILD (in a child of the process that
 *           started the runtime).
 */
WEFT_API WEFT_MUST_USE int weft_spawn_on(weft_runtime *runtime, const struct weft_fiber_attr *attr,
                                         weft_fiber **fiber, int (*fn)(void *), void *arg);

/*
 * Wait for a fiber to end and take its result.
 *
 * On 0 the handle is gone and `*result` (unless `result` is null) holds what the fiber's function
 * returned.  On failure the handle stays valid.  The result has a place of its own because a
 * fiber may well return -ETIMEDOUT itself.
 *
 * Returns   0, or a negative errno.
 * Deadline  absolute; a fiber that has ended already is joined even if the deadline has passed.
 * Context   any fiber, of another runtime too, or any thread, which blocks.  One joiner per fiber;
 *           a second one at the same time aborts, and so does joining oneself.
 * Switches  yes, unless the fiber has ended already.
 * Cancel    a cancelled caller gets -ECANCELED, unless the fiber has ended already.
 * Errors    -ETIMEDOUT, -ECANCELED, -ECHILD (in a child of the process that started the fiber's
 *           runtime).
 */
WEFT_API WEFT_MUST_USE int weft_join(weft_fiber *fiber, int *result, weft_time deadline);

/*
 * Give a handle up without waiting: the fiber frees itself when it ends.
 *
 * Returns   nothing; never fails.  Does nothing in a child of the process that started the fiber's
 *           runtime.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API void weft_detach(weft_fiber *fiber);

/*
 * Ask a fiber to end.  From then on every call in it that may suspend returns -ECANCELED, again
 * and again, until its function returns; a wait that is under way ends at once, an I/O operation
 * as soon as the kernel has let go of its buffer.  An operation that had already happened reports
 * its result.
 *
 * Returns   nothing; cancelling twice, or a fiber that has ended, changes nothing.  Does nothing
 *           in a child of the process that started the fiber's runtime.
 * Context   any fiber, any thread: the owner of the handle (a fiber may cancel itself: see
 *           weft_self()).
 * Switches  never.
 */
WEFT_API void weft_cancel(weft_fiber *fiber);

/*
 * Whether the calling fiber has been cancelled.  Long computations ask, since they never suspend.
 *
 * Returns   true once cancelled, also with a scope around it, by the deadline of one that has
 *           passed, or by the end of its runtime; false from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API bool weft_is_cancelled(void);

/*
 * Give way: the caller goes to the end of its worker's ready queue, behind every fiber there that
 * was woken or has yielded before.  Fibers just spawned take turns with those in the queue, so that
 * it runs again after at most 9 turns for itself and for each fiber ahead (docs/fairness.md).
 *
 * Returns   0, or a negative errno after having yielded all the same.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED.
 * Errors    -ECANCELED, -ETIMEDOUT (the deadline of a scope around it has passed), -EPERM (plain
 *           thread).
 */
WEFT_API int weft_yield(void);

/*
 * Yield if the caller has held its worker for longer than `stall_us` (weft/runtime.h): for loops
 * that compute.  The monitor decides that and marks the worker; this call only looks at the mark.
 * It costs a call, the look-up of the calling thread's worker and one load, a nanosecond or two.
 * Without a monitor it never yields.
 *
 * Returns   true if it has yielded.  A fiber that was cancelled yields as well.
 * Context   any; from a plain thread: false.
 * Switches  if it yields.  The caller may resume on another worker.
 */
WEFT_API bool weft_yield_if_due(void);

/*
 * Suspend the caller until `deadline`.  Timers tick every 65.536 µs: it wakes at the first tick
 * at or after the deadline, never before.
 *
 * Returns   0 once the time has come, or a negative errno.
 * Deadline  absolute; one that has passed only yields; WEFT_FOREVER sleeps until cancelled.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, at once.
 * Errors    -ECANCELED, -ETIMEDOUT (the deadline of a scope around it has passed already, or does
 *           so before its own), -EPERM (plain thread).
 */
WEFT_API int weft_sleep_until(weft_time deadline);

/*
 * weft_sleep_until(weft_after(ns)).
 *
 * Returns   0 after at least `ns` nanoseconds, or a negative errno.
 * Context   fiber.
 * Switches  yes.
 * Cancel    -ECANCELED, at once.
 * Errors    -ECANCELED, -ETIMEDOUT (the deadline of a scope around it has passed), -EPERM (plain
 *           thread).
 */
WEFT_API int weft_sleep(int64_t ns);

/*
 * The calling fiber.  The handle stays owned by whoever spawned it.
 *
 * Returns   the fiber, or NULL from a plain thread.
 * Context   any.
 * Switches  never.
 */
WEFT_API weft_fiber *weft_self(void);

/*
 * The number of a fiber, unique among all fibers of the process for its life.
 *
 * Returns   1 or more.
 * Context   fiber or thread that may use the handle.
 * Switches  never.
 */
WEFT_API uint64_t weft_fiber_id(const weft_fiber *fiber);

/*
 * How many bytes of its stack a fiber has used so far, at the most.  Needs `stack_usage`
 * (weft/runtime.h).  The fiber's record, up to 2 KiB at the top of the stack, is not in it.
 *
 * Returns   the number of bytes; a negative errno if nothing is measured.
 * Context   the fiber itself, or the owner of the handle.  Of a fiber that runs elsewhere meanwhile
 *           it is an estimate.
 * Switches  never.
 * Errors    -ENOENT (the runtime was started without `stack_usage`).
 */
WEFT_API ssize_t weft_fiber_stack_used(const weft_fiber *fiber);

/*
 * The name of a fiber.
 *
 * Returns   the name, "" if it has none; valid as long as the handle, until it is set anew.
 * Context   the fiber itself, or the owner of the handle.
 * Switches  never.
 */
WEFT_API const char *weft_fiber_name(const weft_fiber *fiber);

/*
 * Name the calling fiber; names appear in diagnostics.
 *
 * Returns   0, or -EPERM from a plain thread.
 * Context   fiber.
 * Switches  never.
 * Errors    -EPERM.
 */
WEFT_API int weft_set_name(const char *name);

/*
 * Say that the caller changes its floating-point modes by other means than <fenv.h>, and keeps them
 * while it suspends: flushing to zero or exception masks, by _mm_setcsr() and its like.  Call it
 * before the change.  From then on each switch from and to the fiber keeps all its modes, at some
 * nanoseconds each, and fibers that it spawns inherit that.
 *
 * What fesetround(), feenableexcept() and the others of <fenv.h> set is kept without it, but for
 * fesetenv(FE_DFL_ENV) in a program that flushes to zero, as -ffast-math makes it.  Modes that are
 * put back before the caller suspends or ends need nothing either.  Whoever leaves it out loses its
 * modes at the next suspension, and others compute in them: builds of weft with checks abort, the
 * others tell once, and mend it after 252 turns at most.
 *
 * fesetmode() takes it back, and on musl so does fesetenv().  On processors other than x86-64 all
 * modes are kept anyway, and it does nothing.
 *
 * Returns   nothing; never fails.
 * Context   any fiber, or any thread: fibers that it makes by weft_spawn_on() then inherit it.
 * Switches  never.
 */
WEFT_API void weft_own_fp_modes(void);

#ifdef __cplusplus
}
#endif

#endif
