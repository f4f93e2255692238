/* SPDX-License-Identifier: MIT */
/*
 * Wait groups and latches, for fibers and plain threads in any mix: wait until so many things have
 * been done.
 *
 *   static weft_wait_group pages = WEFT_WAIT_GROUP_INIT;
 *
 *   weft_wait_group_add(&pages, 1);        before each piece of work is given away
 *   ...
 *   weft_wait_group_done(&pages);          at its end, by whoever did it
 *   ...
 *   weft_wait_group_wait(&pages, WEFT_FOREVER) ...
 *
 * A wait group may be used again after its count has come down to zero.  A latch has its count from
 * the beginning and opens once, for good:
 *
 *   static weft_latch warmed_up = WEFT_LATCH_INIT(4);
 *
 *   weft_latch_arrive(&warmed_up);         each of the four
 *   weft_latch_wait(&warmed_up, WEFT_FOREVER) ...
 *
 * Inside, both are the same counter.  They are two types because they differ in what is a mistake:
 * to add to a latch, or to let go of one that is open, would call back those who have gone through,
 * and with a type of its own the compiler does not let it be written.  Fibers that are children of
 * the one that waits are better owned by a scope (scope.h), which also ends them.
 *
 * Whoever has waited successfully may free the object, if nobody else is going to use it: a done or
 * an arrive does not touch it any more once the wait can return.
 */
#ifndef WEFT_WAIT_GROUP_H
#define WEFT_WAIT_GROUP_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's.  Zero is a group with nothing to wait for. */
typedef struct weft_wait_group {
    uint64_t count;
    void *queue;
    uint32_t lock;
    uint32_t reserved;
} weft_wait_group;

#define WEFT_WAIT_GROUP_INIT \
    {                        \
        0, NULL, 0, 0        \
    }

/* The fields are the library's. */
typedef struct weft_latch {
    uint64_t count;
    void *queue;
    uint32_t lock;
    uint32_t reserved;
} weft_latch;

#define WEFT_LATCH_INIT(count) \
    {                          \
        (count), NULL, 0, 0    \
    }

/*
 * Have `count` more to wait for.  A wait that is to see them must come after this call: add before
 * the work is given away, not in the fiber that does it.
 *
 * Returns   nothing.  Aborts if there would be more than UINT64_MAX.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_wait_group_add(weft_wait_group *group, uint64_t count);

/*
 * One of them is done.  The last one lets all go that wait.
 *
 * Returns   nothing.  Aborts if nothing was left to be done.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_wait_group_done(weft_wait_group *group);

/*
 * Wait until nothing is left to be done.
 *
 * Returns   0, or a negative errno.  0 also if more was added after the count had been zero.
 * Deadline  absolute; where nothing is left it returns 0 also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless nothing is left.
 * Cancel    ends the wait with -ECANCELED, unless the last one was done before.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_wait_group_wait(weft_wait_group *group, weft_time deadline);

/*
 * Arrive at the latch.  The last one opens it, and lets all go that wait.
 *
 * Returns   nothing.  Aborts if the latch is open.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_latch_arrive(weft_latch *latch);

/*
 * Wait until the latch is open.
 *
 * Returns   0, or a negative errno.
 * Deadline  absolute; an open latch lets through also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless it is open.
 * Cancel    ends the wait with -ECANCELED, unless the latch was opened before.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_latch_wait(weft_latch *latch, weft_time deadline);

/*
 * Arrive, and wait for the others.  The arrival counts also where the wait fails: the others are
 * not held up by one that is cancelled.
 *
 * Returns   0, or a negative errno.  Aborts if the latch is open.
 * Deadline  absolute; the last one returns 0 also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, except the last one.
 * Cancel    ends the wait with -ECANCELED, unless the latch was opened before.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_latch_arrive_and_wait(weft_latch *latch, weft_time deadline);

/*
 * Say that `group` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_wait_group_destroy(weft_wait_group *group);

/*
 * Say that `latch` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_latch_destroy(weft_latch *latch);

#ifdef __cplusplus
}
#endif

#endif
