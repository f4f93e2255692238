/* SPDX-License-Identifier: MIT */
/* See wait.h for the rules and the edges. */
#include "runtime/wait.h"

#include "runtime/chaos.h"
#include "runtime/model.h"
#include "runtime/outside.h"
#include "runtime/poller.h"
#include "runtime/scope.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <errno.h>

weft_semaphore *wf_worker_operations(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;

    return WF_LIKELY(runtime->config.max_operations == UINT32_MAX) ? NULL : &runtime->operations;
}

struct wf_limits *wf_worker_limits(struct wf_worker *self)
{
    return self->runtime->limits;
}

struct wf_poller *wf_worker_poller(struct wf_worker *self)
{
    return self->poller;
}

struct wf_poller *wf_worker_peer_poller(struct wf_worker *self, uint32_t number)
{
    struct weft_runtime *runtime = self->runtime;

    return number < wf_runtime_crew(runtime) ? runtime->workers[number]->poller : NULL;
}

int wf_self_refusal(struct wf_worker *self)
{
    return self == NULL ? 0 : wf_fiber_refusal(self->runtime, self->current);
}

int wf_wait_refusal(struct wf_worker *self, int64_t deadline)
{
    int refusal = wf_self_refusal(self);

    if (refusal != 0 || deadline == WEFT_FOREVER || (deadline > 0 && wf_os_now() < deadline))
        return refusal;
    return -ETIMEDOUT;
}

/* A plain thread has no state for a generator, but its clock goes on.  Whoever draws often does so
 * at times that depend on what was drawn, so that nothing of their pattern may be left.  (The end
 * of MurmurHash3.) */
static uint32_t random_of_time(void)
{
    uint32_t number = (uint32_t)wf_os_now();

    number = (number ^ number >> 16) * 0x85ebca6bU;
    number = (number ^ number >> 13) * 0xc2b2ae35U;
    return (number ^ number >> 16) >> 8;
}

uint32_t wf_self_random(struct wf_worker *self)
{
    return self != NULL ? wf_chaos_random(self) : random_of_time();
}

struct wf_waiter *wf_wait_begin(struct wf_worker *self, wf_interrupt_fn *interrupt, void *place)
{
    struct wf_waiter *waiter = &self->current->waiter;

    waiter->interrupt = interrupt;
    waiter->place = place;
    waiter->home = self;
    return waiter;
}

/* Keeps what has to outlive a wait with a deadline out of the way of those without. */
static WF_NOINLINE struct wf_worker *end_with_deadline(struct wf_worker *self, int64_t deadline)
{
    return wf_wait_end_inline(self, deadline);
}

struct wf_worker *wf_wait_end(struct wf_worker *self, int64_t deadline)
{
    if (deadline == INT64_MAX)
        return wf_worker_wait(self);
    return end_with_deadline(self, deadline);
}

WF_INLINE bool make_ready(struct wf_waiter *waiter, int result)
{
    uint32_t state = WF_WAIT_WAITING; /* as a rule; the compare-and-swap looks */

    waiter->result = result;
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

bool wf_wait_make_ready(struct wf_waiter *waiter, int result)
{
    return make_ready(waiter, result);
}

void wf_wake(struct wf_worker *self, struct wf_waiter *waiter, int result)
{
    if (WF_UNLIKELY(!wf_worker_is_of(self, waiter->runtime)))
        wf_outside_wake(waiter, result);
    else if (make_ready(waiter, result))
        wf_worker_push_next(self, wf_fiber_of_waiter(waiter));
}

void wf_wake_later(struct wf_worker *self, struct wf_waiter *waiter, int result)
{
    if (WF_UNLIKELY(!wf_worker_is_of(self, waiter->runtime)))
        wf_outside_wake(waiter, result);
    else if (make_ready(waiter, result))
        wf_worker_push_ready(self, wf_fiber_of_waiter(waiter));
}

static void enqueue(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (self != NULL)
        wf_worker_push_ready(self, fiber);
    else
        wf_outside_push(fiber);
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

/* Returns true if the fiber is ready now. */
static bool unpin(struct wf_worker *self, struct wf_waiter *waiter)
{
    uint32_t expected = WF_WAIT_BUSY;

    /* WT.4 seq_cst: we have done, and WT.3: before our caller's next look at the cancel flag;
     * WT.1 acquire on failure: the wake that came meanwhile. */
    if (atomic_compare_exchange_strong_explicit(&waiter->state, &expected, WF_WAIT_WAITING,
                                                memory_order_seq_cst, memory_order_acquire))
        return false;
    WF_ASSERT(expected == WF_WAIT_BUSY_NOTIFIED);
    /* relaxed: the queue publishes it. */
    atomic_store_explicit(&waiter->state, WF_WAIT_READY, memory_order_relaxed);
    enqueue(self, wf_fiber_of_waiter(waiter));
    return true;
}

/* Caller has pinned the waiter and taken it out of its place. */
static struct weft_fiber *end_pinned(struct wf_waiter *waiter, int result)
{
    waiter->result = result;
    /* relaxed: it has no other waker; the queue publishes it, or the caller runs it. */
    atomic_store_explicit(&waiter->state, WF_WAIT_READY, memory_order_relaxed);
    return wf_fiber_of_waiter(waiter);
}

struct weft_fiber *wf_wait_take(struct wf_worker *self, wf_wait_slot *place,
                                struct wf_waiter *waiter, struct wf_waiter *left_behind, int result)
{
    if (pin(waiter) != WF_WAIT_WAITING)
        return NULL;
    /* relaxed: only the comparison counts.  If it gave up before we had it pinned, this is the same
     * fiber in another wait, or another fiber in its memory. */
    if (atomic_load_explicit(place, memory_order_relaxed) != waiter) {
        (void)unpin(self, waiter);
        return NULL;
    }
    /* WT.1 release: what the caller did before, for whoever looks at the place later. */
    atomic_store_explicit(place, left_behind, memory_order_release);
    return end_pinned(waiter, result);
}

/* Caller has pinned the waiter.  Returns true if the fiber is ready now. */
static bool interrupt(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    if (waiter->interrupt == NULL || !waiter->interrupt(self, waiter, reason))
        return unpin(self, waiter);
    enqueue(self, end_pinned(waiter, reason));
    return true;
}

void wf_wait_cancel(struct wf_worker *self, struct wf_waiter *waiter)
{
    struct weft_fiber *fiber = wf_fiber_of_waiter(waiter);

    /* A pin that fails: it runs, and looks at its flag before it waits again; or it is being woken;
     * or another interrupter has pinned it and will see its flag. */
    while (pin(waiter) == WF_WAIT_WAITING) {
        struct weft_runtime *runtime = waiter->runtime;
        struct wf_worker *home = waiter->home;

        int refusal = wf_fiber_refusal(runtime, fiber);

        if (refusal != 0) {
            bool is_ready = interrupt(self, waiter, refusal);

            /* Our own ring is submitted with our next poll.  What a plain thread submitted would
             * be cancelled by the kernel when the thread ends. */
            if (self == NULL && !is_ready)
                wf_poller_interrupt(home->poller);
            else if (self != NULL && home != self)
                wf_poller_submit(home->poller, self);
            return;
        }
        /* Another fiber, which has taken the place of the one we meant.  Whoever cancelled it while
         * we had it pinned has left it to us: look again. */
        (void)unpin(self, waiter);
        if (!wf_fiber_is_cancelled(runtime, fiber))
            return;
    }
}

static enum wf_timer_claim claim_timer(struct wf_timer *timer)
{
    if (timer->kind != WF_TIMER_OF_WAITER)
        return wf_scope_claim(timer);
    switch (pin(WF_CONTAINER_OF(timer, struct wf_waiter, timer))) {
    case WF_WAIT_WAITING:
        return WF_TIMER_CLAIMED;
    case WF_WAIT_BUSY:    /* perhaps only until a late cancel sees that it means another fiber */
    case WF_WAIT_RUNNING: /* it has not left yet, or it is about to cancel the timer */
        return WF_TIMER_LATER;
    default:
        return WF_TIMER_VOID;
    }
}

bool wf_wait_expire(struct wf_worker *self, struct wf_worker *worker)
{
    struct wf_timer *timer = wf_wheel_expire(&worker->wheel, self->now, claim_timer);
    bool made_ready = false;

    while (timer != NULL) {
        struct wf_timer *due = timer;

        timer = timer->next;
        wf_count(&self->counters.timers_fired, 1);
        if (due->kind == WF_TIMER_OF_WAITER)
            made_ready |= interrupt(self, WF_CONTAINER_OF(due, struct wf_waiter, timer),
                                    -ETIMEDOUT);
        else
            made_ready |= wf_scope_expire(self, due);
    }
    return made_ready;
}
