/* SPDX-License-Identifier: MIT */
/*
 * Futures: results that come later, from a fiber or from elsewhere.
 *
 *   weft_future future = WEFT_FUTURE_INIT;
 *   ...
 *   error = weft_future_spawn(&future, fn, arg);            or weft_future_set() by anybody, later
 *   ...
 *   error = weft_future_await(&future, &result, deadline);  as many awaiters as there are
 *   ...
 *   weft_future_close(&future);
 *
 * A result is an int, 0 or more for success and a negative errno for failure, and a pointer beside
 * it.  An error stays with the future until somebody reads it; one that nobody has read when the
 * future is closed is reported on standard error, with the name of the fiber.  That excepts the
 * -ECANCELED of a future that weft_future_cancel() was to end.
 *
 * A future lies where its owner wants it.  The owner closes it, once, when no other call on it is
 * under way; one that comes afterwards aborts.
 */
#ifndef WEFT_FUTURE_H
#define WEFT_FUTURE_H

#include "base.h"

#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_fiber_attr;

/* The contents are the library's. */
typedef struct weft_future {
    uint64_t reserved[20];
} weft_future;

#define WEFT_FUTURE_INIT \
    {                    \
        {                \
            0            \
        }                \
    }

/*
 * Make a fiber whose result the future will be.  It belongs to no scope; the close of the future
 * waits for it.
 *
 * Returns   0, or a negative errno with nothing created and the future as before, but for what
 *           others have done with it meanwhile: a result or a cancel stays.
 * Context   fiber.  Aborts if the future has been used before.
 * Switches  never.
 * Errors    those of weft_spawn().
 */
WEFT_API WEFT_MUST_USE int weft_future_spawn(weft_future *future, int (*fn)(void *), void *arg);

/*
 * weft_future_spawn() with attributes; a null `attr` means the defaults.
 *
 * Returns   0, or a negative errno with nothing created and the future as before.
 * Context   fiber.  Aborts if the future has been used before.
 * Switches  never.
 * Errors    those of weft_spawn().
 */
WEFT_API WEFT_MUST_USE int weft_future_spawn_with(weft_future *future,
                                                  const struct weft_fiber_attr *attr,
                                                  int (*fn)(void *), void *arg);

/*
 * Give a result to a future that has no fiber: a promise is kept.  In a fiber of
 * weft_future_spawn() it gives the fiber's result early; what its function returns is then ignored,
 * and from then on calls with the future do not cancel it.
 *
 * Returns   0, or -EALREADY: it has a result, perhaps because it was cancelled.
 * Context   any fiber, any thread.
 * Switches  never.
 * Errors    -EALREADY.
 */
WEFT_API int weft_future_set(weft_future *future, int result, void *value);

/*
 * Wait for the result.
 *
 * On 0 `*result` (unless `result` is null) holds it, and it counts as read.
 *
 * Returns   0, or a negative errno.
 * Deadline  absolute; a result that is there is taken even if the deadline has passed.
 * Context   any fiber; any thread, which blocks.
 * Switches  yes, unless the result is there.
 * Cancel    a cancelled caller gets -ECANCELED, unless the result is there.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_future_await(weft_future *future, int *result, weft_time deadline);

/*
 * The pointer that weft_future_set() gave.
 *
 * Returns   the pointer; NULL without a result, and for a fiber that has given none.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API void *weft_future_value(weft_future *future);

/*
 * Whether the result is there.
 *
 * Returns   true once it is.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API bool weft_future_is_done(weft_future *future);

/*
 * Ask for an early end: the fiber behind the future is cancelled, and its result is still to come.
 * A future without a fiber has the result -ECANCELED from now on.
 *
 * Returns   nothing; changes nothing if the result is there, also for a fiber that gave it early
 *           and goes on.
 * Context   any fiber, any thread.
 * Switches  if the fiber is just ending.
 */
WEFT_API void weft_future_cancel(weft_future *future);

/*
 * Wait until the fiber behind the future has ended, if there is one, and give the future up.
 *
 * Returns   nothing; aborts while somebody awaits it.
 * Context   any fiber, any thread, which blocks.
 * Switches  yes, unless the fiber has ended.
 * Cancel    waits all the same.  Use weft_future_cancel() first to be done sooner; that does not
 *           reach a fiber that has given its result.
 */
WEFT_API void weft_future_close(weft_future *future);

/*
 * Wait for all of `count` futures.  After the first failure, and when the deadline passes or the
 * caller is cancelled, the others are cancelled; those with fibers are waited for even then, so
 * when this returns all have results, and all have been read.
 *
 * Returns   0 if all have succeeded; else the first failure, -ETIMEDOUT or -ECANCELED.
 * Deadline  absolute.
 * Context   any fiber; any thread, which blocks.  Of the calls with many futures one at a time may
 *           have a given future; a second one aborts.
 * Switches  yes, unless all results are there.
 * Cancel    cancels the futures and waits for them.
 * Errors    those of the futures; -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_gather(weft_future *const *futures, size_t count,
                                       weft_time deadline);

/*
 * Wait for the first of `count` futures that has a result, cancel the others, and wait for them as
 * weft_gather() does.  All have been read when this returns.
 *
 * Returns   the index of the first one, with its result in `*result` (unless `result` is null); or
 *           a negative errno.
 * Deadline  absolute.
 * Context   as weft_gather().
 * Switches  yes, unless all results are there.
 * Cancel    cancels the futures and waits for them.
 * Errors    -ETIMEDOUT, -ECANCELED, -EINVAL (a count of 0).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_race(weft_future *const *futures, size_t count, int *result,
                                         weft_time deadline);

/*
 * The same for the first future that succeeds.
 *
 * Returns   its index, with its result in `*result` (unless `result` is null); or a negative errno:
 *           if all have failed, the first failure.
 * Deadline  absolute.
 * Context   as weft_gather().
 * Switches  yes, unless all results are there.
 * Cancel    cancels the futures and waits for them.
 * Errors    those of the futures; -ETIMEDOUT, -ECANCELED, -EINVAL (a count of 0).
 */
WEFT_API WEFT_MUST_USE ssize_t weft_any(weft_future *const *futures, size_t count, int *result,
                                        weft_time deadline);

/*
 * Futures in the order in which they are completed:
 *
 *   weft_future_group group = WEFT_FUTURE_GROUP_INIT;
 *   for (...) weft_future_group_add(&group, &futures[i]);
 *   while ((error = weft_future_group_next(&group, &future, deadline)) == 0) ...
 *   weft_future_group_close(&group);
 *
 * One fiber or thread at a time uses a group.  The contents are the library's.
 */
typedef struct weft_future_group {
    uint64_t reserved[8];
} weft_future_group;

#define WEFT_FUTURE_GROUP_INIT \
    {                          \
        {                      \
            0                  \
        }                      \
    }

/*
 * Add a future to the group.
 *
 * Returns   nothing; aborts if the future is in a group already.
 * Context   the user of the group.
 * Switches  never.
 */
WEFT_API void weft_future_group_add(weft_future_group *group, weft_future *future);

/*
 * Wait for the next future of the group that has a result, and take it out of the group.
 *
 * Returns   0 with the future in `*future`; or a negative errno.
 * Deadline  absolute; one that is complete already is returned even if the deadline has passed.
 * Context   the user of the group: any fiber; any thread, which blocks.
 * Switches  yes, unless one is complete.
 * Cancel    a cancelled caller gets -ECANCELED, unless one is complete.
 * Errors    -ETIMEDOUT, -ECANCELED, -ENOENT (the group is empty).
 */
WEFT_API WEFT_MUST_USE int weft_future_group_next(weft_future_group *group, weft_future **future,
                                                  weft_time deadline);

/*
 * Take out of the group what is left in it.  The futures are not changed.
 *
 * Returns   nothing; never fails.
 * Context   the user of the group.
 * Switches  never.
 */
WEFT_API void weft_future_group_close(weft_future_group *group);

#ifdef __cplusplus
}
#endif

#endif
