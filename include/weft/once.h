/* SPDX-License-Identifier: MIT */
/*
 * Something that is done once, by whoever needs it first, for fibers and plain threads in any mix.
 *
 *   static weft_once is_loaded = WEFT_ONCE_INIT;
 *
 *   static int load(void *arg) ...       0 or more is success, -errno is failure
 *
 *   error = weft_once_run(&is_loaded, load, &tables, weft_after(WEFT_SECOND));
 *   if (error == 0)
 *       ... the tables are there ...
 *
 * The others wait while one runs the function.  If it fails, or is cancelled and says so, nothing
 * has been done: that one gets the error, and the next caller tries, one that waits first.
 *
 * A function must not wait for another fiber or thread that runs the same object: only a call by
 * the one that runs it is noticed.  Nor must it throw: the object would be run for ever.  The
 * object may be freed once all calls have returned.
 */
#ifndef WEFT_ONCE_H
#define WEFT_ONCE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_once {
    uint32_t state;
    uint32_t lock;
    void *queue;
    uint64_t runner;
} weft_once;

#define WEFT_ONCE_INIT \
    {                  \
        0, 0, NULL, 0  \
    }

/*
 * Run fn(arg), unless a call with this object has done so successfully; what that one did is then
 * seen.  One that is being run elsewhere is waited for.  The function may suspend.
 *
 * Returns   0, or a negative errno: what the function returned if it was run by this call, or why
 *           the wait for another has ended.  Aborts if called from inside its own function, by the
 *           same fiber or thread.
 * Deadline  absolute, for the wait for another; one that has passed still lets the function run.
 *           0 does not wait.  The function's own waits have deadlines of their own.
 * Context   any thread, any fiber.
 * Switches  yes, unless it has been done; the function decides whether it does.
 * Cancel    ends the wait for another with -ECANCELED.  A fiber that is cancelled still runs the
 *           function, whose own waits then fail, as does one whose turn came before the cancel.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of the function.
 */
WEFT_API WEFT_MUST_USE int weft_once_run(weft_once *once, int (*fn)(void *), void *arg,
                                         weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
