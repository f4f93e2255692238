/* SPDX-License-Identifier: MIT */
/*
 * Waiting for an address, for fibers and plain threads in any mix: what futex(2) is to threads.  Of
 * it, locks and queues of one's own are made that need no more room than a number.
 *
 *   one waits                                    another changes
 *   while (atomic_load(&turn) != mine)           atomic_store(&turn, next);
 *       error = weft_wait_on(&turn, seen, ...)   weft_wake_on(&turn, 1);
 *
 * The value is compared under a lock that the wake takes as well.  So whoever changes the value
 * first and wakes then, is sure that each one that waits has seen the new value or is woken.
 *
 * As with a futex, look again after the wait, in a loop: the value can have changed once more, and
 * memory that was freed and used anew can have the wakes of its new user.  Nothing is allocated,
 * and nothing is kept for an address that nobody waits for.  Waits are found by address in one
 * table for the process, which has 4,096 places: with many times as many that wait at once, wakes
 * go through long lists.
 */
#ifndef WEFT_ADDRESS_H
#define WEFT_ADDRESS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Wait until somebody wakes `address`, if the value there is `expected`.  The value has `size`
 * bytes, 4 or 8, and is aligned to as many; of `expected` only so many bytes count.
 *
 * Returns   0 if it was woken, -EAGAIN if the value is another, or another negative errno.  Aborts
 *           if the size is another, or the address is not aligned.
 * Deadline  absolute.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless the value is another.
 * Cancel    ends the wait with -ECANCELED, but for a fiber that finds another value, or was woken
 *           before.  A wake that weft_wake_on() has counted is never lost to one that is cancelled.
 * Errors    -EAGAIN, -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_wait_on(const void *address, uint64_t expected, size_t size,
                                        weft_time deadline);

/*
 * Wake so many of those that wait for `address`, the ones that have waited longest; SIZE_MAX for
 * all.  Nothing is read or written there, so the memory may have been freed.
 *
 * Returns   how many were woken; their waits return 0.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API size_t weft_wake_on(const void *address, size_t count);

#ifdef __cplusplus
}
#endif

#endif
