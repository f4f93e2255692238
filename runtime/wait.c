/* SPDX-License-Identifier: MIT */
/* See wait.h for the rules and the edges. */
#include "runtime/wait.h"

#include "arch/tls.h"
#include "runtime/model.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <errno.h>

struct wf_worker *wf_self(void)
{
    return wf_tls_get();
}

struct wf_poller *wf_worker_poller(struct wf_worker *self)
{
    return self->poller;
}

bool wf_self_is_cancelled(struct wf_worker *self)
{
    return wf_fiber_is_cancelled(self->runtime, self->current);
}

struct wf_waiter *wf_wait_begin(struct wf_worker *self, wf_interrupt_fn *interrupt, void *place)
{
    struct wf_waiter *waiter = &self->current->waiter;

    waiter->interrupt = interrupt;
    waiter->place = place;
    waiter->home = self;
    waiter->interrupts_at_home = false;
    return waiter;
}

struct wf_worker *wf_wait_end(struct wf_worker *self, int64_t deadline)
{
    return wf_wait_end_inline(self, deadline);
}

/* Moves the state on for a wake.  Returns true if the fiber is the caller's to enqueue; else its
 * worker or its interrupter will do it, and it must not be touched any more. */
static bool make_ready(struct wf_waiter *waiter, int result)
{
    uint32_t state;

    waiter->result = result;
    /* relaxed: the compare-and-swap below decides. */
    state = atomic_load_explicit(&waiter->state, memory_order_relaxed);
    for (;;) {
        uint32_t target = state == WF_WAIT_WAITING   ? WF_WAIT_READY
                          : state == WF_WAIT_RUNNING ? WF_WAIT_NOTIFIED
                                                     : WF_WAIT_BUSY_NOTIFIED;

        WF_ASSERT(target != WF_WAIT_BUSY_NOTIFIED || state == WF_WAIT_BUSY);
        /* WT.1 release: the result; WT.2 and WT.4 acquire: its registers are saved and its
         * interrupter has done; relaxed on failure: tried again. */
        if (atomic_compare_exchange_weak_explicit(&waiter->state, &state, target,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return target == WF_WAIT_READY;
    }
}

void wf_wake(struct wf_worker *self, struct wf_waiter *waiter, int result)
{
    if (make_ready(waiter, result))
        wf_worker_push_next(self, wf_fiber_of_waiter(waiter));
}

void wf_wake_later(struct wf_worker *self, struct wf_waiter *waiter, int result)
{
    if (make_ready(waiter, result))
        wf_worker_push_ready(self, wf_fiber_of_waiter(waiter));
}

void wf_wait_park(struct wf_worker *self, struct weft_fiber *fiber)
{
    uint32_t expected = WF_WAIT_RUNNING;

    /* WT.2 seq_cst: the registers are saved, and WT.3: before our look at the cancel flag;
     * WT.1 acquire on failure: the wake has come first. */
    if (!atomic_compare_exchange_strong_explicit(&fiber->waiter.state, &expected, WF_WAIT_WAITING,
                                                 memory_order_seq_cst, memory_order_acquire)) {
        WF_ASSERT(expected == WF_WAIT_NOTIFIED);
        /* relaxed: the queue publishes it. */
        atomic_store_explicit(&fiber->waiter.state, WF_WAIT_READY, memory_order_relaxed);
        wf_worker_push_ready(self, fiber);
        return;
    }
    /* From here on the fiber may be running elsewhere, or be another one in the same place:
     * wf_wait_cancel() pins it before it looks again. */
    if (WF_UNLIKELY(wf_fiber_is_cancelled(self->runtime, fiber)))
        wf_wait_cancel(self, &fiber->waiter);
}

/* Pins a waiting fiber in its wait.  Returns the state that it was in: WAITING for success. */
static uint32_t pin(struct wf_waiter *waiter)
{
    uint32_t state = WF_WAIT_WAITING;

    /* WT.2 acquire, WT.3 seq_cst: after our cancel flag, on failure too: whoever has it pinned then
     * sees the flag when it unpins. */
    (void)atomic_compare_exchange_strong_explicit(&waiter->state, &state, WF_WAIT_BUSY,
                                                  memory_order_seq_cst, memory_order_seq_cst);
    return state;
}

static void unpin(struct wf_worker *self, struct wf_waiter *waiter)
{
    uint32_t expected = WF_WAIT_BUSY;

    /* WT.4 seq_cst: we have done, and WT.3: before our caller's next look at the cancel flag;
     * WT.1 acquire on failure: the wake that came meanwhile. */
    if (atomic_compare_exchange_strong_explicit(&waiter->state, &expected, WF_WAIT_WAITING,
                                                memory_order_seq_cst, memory_order_acquire))
        return;
    WF_ASSERT(expected == WF_WAIT_BUSY_NOTIFIED);
    /* relaxed: the queue publishes it. */
    atomic_store_explicit(&waiter->state, WF_WAIT_READY, memory_order_relaxed);
    wf_worker_push_ready(self, wf_fiber_of_waiter(waiter));
}

/* Hands a pinned waiter to its home worker, which alone can interrupt it. */
static void post_home(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct wf_worker *home = waiter->home;
    /* relaxed: the compare-and-swap below decides. */
    struct wf_waiter *first = atomic_load_explicit(&home->inbox, memory_order_relaxed);

    waiter->posted_reason = reason;
    do {
        waiter->posted_next = first;
        /* WT.5 seq_cst: the waiter's fields, and before the look whether home sleeps (PK.2);
         * relaxed on failure: tried again. */
    } while (!atomic_compare_exchange_weak_explicit(&home->inbox, &first, waiter,
                                                    memory_order_seq_cst, memory_order_relaxed));
    wf_worker_notify(self, home);
}

/* Caller has pinned the waiter. */
static void interrupt(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    if (waiter->interrupts_at_home && waiter->home != self) {
        post_home(self, waiter, reason);
        return;
    }
    if (waiter->interrupt == NULL || !waiter->interrupt(self, waiter, reason)) {
        unpin(self, waiter);
        return;
    }
    waiter->result = reason;
    /* relaxed: taken out of its place, it has no other waker; the queue publishes it. */
    atomic_store_explicit(&waiter->state, WF_WAIT_READY, memory_order_relaxed);
    wf_worker_push_ready(self, wf_fiber_of_waiter(waiter));
}

void wf_wait_cancel(struct wf_worker *self, struct wf_waiter *waiter)
{
    struct weft_fiber *fiber = wf_fiber_of_waiter(waiter);

    /* A pin that fails: it runs, and looks at its flag before it waits again; or it is being woken;
     * or another interrupter has pinned it and will see its flag. */
    while (pin(waiter) == WF_WAIT_WAITING) {
        if (wf_fiber_is_cancelled(self->runtime, fiber)) {
            interrupt(self, waiter, -ECANCELED);
            return;
        }
        /* Another fiber, which has taken the place of the one we meant.  Whoever cancelled it while
         * we had it pinned has left it to us: look again. */
        unpin(self, waiter);
        if (!wf_fiber_is_cancelled(self->runtime, fiber))
            return;
    }
}

static enum wf_timer_claim claim_timer(struct wf_timer *timer)
{
    switch (pin(WF_CONTAINER_OF(timer, struct wf_waiter, timer))) {
    case WF_WAIT_WAITING:
        return WF_TIMER_CLAIMED;
    case WF_WAIT_BUSY: /* perhaps only until a late cancel sees that it means another fiber */
        return WF_TIMER_LATER;
    default:
        return WF_TIMER_VOID;
    }
}

void wf_wait_expire(struct wf_worker *self)
{
    struct wf_timer *timer = wf_wheel_expire(&self->wheel, self->now, claim_timer);

    while (timer != NULL) {
        struct wf_waiter *waiter = WF_CONTAINER_OF(timer, struct wf_waiter, timer);

        timer = timer->next;
        wf_count(&self->counters.timers_fired, 1);
        interrupt(self, waiter, -ETIMEDOUT);
    }
}

void wf_wait_drain_inbox(struct wf_worker *self)
{
    struct wf_waiter *waiter;

    /* relaxed: a post that is missed here notifies us, or is seen after our announcement. */
    if (WF_LIKELY(atomic_load_explicit(&self->inbox, memory_order_relaxed) == NULL))
        return;
    /* WT.5 acquire: the posted waiters' fields. */
    waiter = atomic_exchange_explicit(&self->inbox, NULL, memory_order_acquire);
    while (waiter != NULL) {
        struct wf_waiter *following = waiter->posted_next;

        interrupt(self, waiter, waiter->posted_reason);
        waiter = following;
    }
}
