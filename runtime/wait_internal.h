/* SPDX-License-Identifier: MIT */
/* The scheduler's side of wait.h. */
#ifndef WF_RUNTIME_WAIT_INTERNAL_H
#define WF_RUNTIME_WAIT_INTERNAL_H

#include "runtime/model.h"
#include "runtime/worker.h"

/* Ends the running fiber's wait: makes it WAITING, or READY again if its wake came first.
 * Caller: whatever the worker runs next (worker.c, rule 4). */
void wf_wait_park(struct wf_worker *self, struct weft_fiber *fiber);

/* Moves the state on for a wake.  Returns true if the fiber is the caller's to enqueue; else its
 * worker or its interrupter will do it, and it must not be touched any more. */
bool wf_wait_make_ready(struct wf_waiter *waiter, int result);

/* Where a waiter waits that one waker at a time looks for: a join slot. */
typedef WF_ATOMIC(struct wf_waiter *) wf_wait_slot;

/*
 * Ends the wait of `waiter`, which the caller found in `place`, and puts `left_behind` there.  The
 * fiber is READY then and the caller's, to run or to queue: until then nobody else can resume it.
 *
 * Returns NULL, having changed nothing, if it is not off its worker yet, is just being interrupted,
 * or has left the place: the caller then wakes what it finds there in the ordinary way.
 */
WF_MUST_USE struct weft_fiber *wf_wait_take(struct wf_worker *self, wf_wait_slot *place,
                                            struct wf_waiter *waiter, struct wf_waiter *left_behind,
                                            int result);

/* Interrupts a wait, if the fiber is in one and is cancelled.  Caller: a worker of the fiber's
 * runtime, or with NULL for `self` a visitor of it (outside.h). */
void wf_wait_cancel(struct wf_worker *self, struct wf_waiter *waiter);

/* wf_wake() for a waiter that is a plain thread. */
void wf_wait_wake_thread(struct wf_waiter *waiter, int result);

/* Interrupts the waits in the wheel of `worker` whose deadlines have passed by self->now.  Returns
 * true if a fiber became ready.  Caller: `self`, any worker; it polls the ring of `worker` next,
 * where cancels may have been prepared. */
bool wf_wait_expire(struct wf_worker *self, struct wf_worker *worker);

/* Ends a sleep. */
bool wf_sleep_interrupt(struct wf_worker *self, struct wf_waiter *waiter, int reason);

/* What wf_wait_end() does before and after the fiber is away. */
static inline void wf_wait_arm(struct wf_worker *self, struct weft_fiber *fiber, int64_t deadline)
{
    if (deadline != WEFT_FOREVER) {
        wf_timer_arm(&self->wheel, &fiber->waiter.timer, deadline);
        wf_count(&self->counters.timers_armed, 1);
    }
}

static inline void wf_wait_disarm(struct weft_fiber *fiber, int64_t deadline)
{
    /* Also after the timer has fired: until we have held the wheel's lock, a worker may still be
     * about to pin us, and would hit our next wait. */
    if (deadline != WEFT_FOREVER)
        wf_timer_cancel(&fiber->waiter.timer);
}

/* wf_wait_end(), without a call of its own: see leave_for() in worker.c. */
WF_MUST_USE static inline struct wf_worker *wf_wait_end_inline(struct wf_worker *self,
                                                               int64_t deadline)
{
    struct weft_fiber *fiber = self->current;

    wf_wait_arm(self, fiber, deadline);
    self = wf_worker_wait(self);
    wf_wait_disarm(fiber, deadline);
    return self;
}

#endif
