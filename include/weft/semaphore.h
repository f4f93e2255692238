/* SPDX-License-Identifier: MIT */
/*
 * Weighted semaphores, for fibers and plain threads in any mix.
 *
 *   static weft_semaphore slots = WEFT_SEMAPHORE_INIT(10);
 *
 *   if (weft_semaphore_acquire(&slots, 3, weft_after(WEFT_SECOND)) == 0) {
 *       ...
 *       weft_semaphore_release(&slots, 3);
 *   }
 *
 * Permits are given in the order in which they were asked for: who wants many is not passed by
 * those who want few.  Where nobody waits, permits are taken by one compare-and-swap and given back
 * by another.  Whoever was given permits may free the semaphore, if nobody else is going to use it:
 * a release does not touch it any more once another can have all that it released.  Another's
 * acquire does until it returns, also one that fails.
 */
#ifndef WEFT_SEMAPHORE_H
#define WEFT_SEMAPHORE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_semaphore {
    uint64_t permits;
    void *queue;
    uint32_t lock;
    uint32_t reserved;
} weft_semaphore;

/* The most permits that a semaphore can have. */
#define WEFT_SEMAPHORE_MAX ((uint64_t)INT64_MAX)

#define WEFT_SEMAPHORE_INIT(permits) \
    {                                \
        (permits), NULL, 0, 0        \
    }

/*
 * Take `count` permits, and wait for them while there are fewer, or while others wait.
 *
 * Returns   0, or a negative errno with none taken.
 * Deadline  absolute; permits that are there are taken also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless they are there and nobody waits.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled still takes what is
 *           there, and one that was given its permits before the cancel returns 0.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_semaphore_acquire(weft_semaphore *semaphore, uint64_t count,
                                                  weft_time deadline);

/*
 * Take `count` permits if they are there and nobody waits.
 *
 * Returns   0, or -EBUSY, a negative errno.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_semaphore_try_acquire(weft_semaphore *semaphore, uint64_t count);

/*
 * Give `count` permits, which need not have been taken before.
 *
 * Returns   nothing.  Aborts if there would be more than WEFT_SEMAPHORE_MAX.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_semaphore_release(weft_semaphore *semaphore, uint64_t count);

/*
 * How many permits there are.
 *
 * Returns   the number, which can have changed by then.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API uint64_t weft_semaphore_available(weft_semaphore *semaphore);

/*
 * Say that `semaphore` will not be used any more.  Need not be called; it is there to find
 * mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_semaphore_destroy(weft_semaphore *semaphore);

#ifdef __cplusplus
}
#endif

#endif
