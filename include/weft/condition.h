/* SPDX-License-Identifier: MIT */
/*
 * Condition variables, for fibers and plain threads in any mix.
 *
 *   weft_mutex_lock(&mutex, WEFT_FOREVER) ...
 *   while (queue_is_empty(queue) && error == 0)
 *       error = weft_condition_wait(&not_empty, &mutex, deadline);
 *   ... the mutex is locked, also where the wait has failed ...
 *   weft_mutex_unlock(&mutex);
 *
 * There are no wakes without a signal, but another can have changed the state before the waiter has
 * the mutex again: look in a loop.  Waiters are signalled in the order in which they came.  Those
 * that are signalled while the mutex is locked go straight to its queue, so a broadcast does not
 * wake a crowd that can only wait for the mutex.
 *
 * Whoever comes back from the last wait may free the condition at once, though the call that
 * signalled it may not have returned yet.  Other signals must have, all of them where the wait has
 * failed.
 */
#ifndef WEFT_CONDITION_H
#define WEFT_CONDITION_H

#include "base.h"
#include "mutex.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's.  Zero is one that nobody waits for. */
typedef struct weft_condition {
    void *queue;
    uint32_t lock;
    uint32_t reserved;
} weft_condition;

#define WEFT_CONDITION_INIT \
    {                       \
        NULL, 0, 0          \
    }

/*
 * Unlock `mutex`, wait for a signal, and lock it again.  A signal that comes after the mutex was
 * unlocked is not missed.
 *
 * Returns   0, or a negative errno; the mutex is locked by the caller either way.
 * Deadline  absolute, for the signal: locking the mutex again takes as long as it takes.  One that
 *           has passed returns at once, with the mutex not unlocked in between.
 * Context   any thread, any fiber, which has locked the mutex.
 * Switches  yes.
 * Cancel    ends the wait for the signal with -ECANCELED, and not that for the mutex.  A signal
 *           that came before counts: then it returns 0.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_condition_wait(weft_condition *condition, weft_mutex *mutex,
                                               weft_time deadline);

/*
 * Signal the one that has waited longest, if one waits.
 *
 * Returns   nothing.
 * Context   any thread, any fiber; with or without the mutex.
 * Switches  never.
 */
WEFT_API void weft_condition_signal(weft_condition *condition);

/*
 * Signal all that wait.
 *
 * Returns   nothing.
 * Context   any thread, any fiber; with or without the mutex.
 * Switches  never.
 */
WEFT_API void weft_condition_broadcast(weft_condition *condition);

/*
 * Say that `condition` will not be used any more.  Need not be called; it is there to find
 * mistakes.
 *
 * Returns   nothing.  Aborts if somebody waits; from now on every call with it aborts, too, until
 *           it is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_condition_destroy(weft_condition *condition);

#ifdef __cplusplus
}
#endif

#endif
