/* SPDX-License-Identifier: MIT */
#include "runtime/offload.h"

#include "runtime/model.h"
#include "runtime/outside.h"

#include <errno.h>
#include <weft/blocking.h>

#define IDLE_NS (5 * WEFT_SECOND) /* guessed: longer than the pauses within a burst of calls */

struct wf_call {
    struct wf_offload *offload;
    struct wf_call *next;  /* under the lock */
    struct wf_call **link; /* under the lock: what points to it; NULL once it is out of the queue */
    struct wf_waiter *waiter;
    int (*fn)(void *);
    void *arg;
    int result;
};

void wf_offload_init(struct wf_offload *offload, uint32_t threads_max)
{
    offload->threads_max = threads_max;
    offload->last_link = &offload->first;
    wf_os_affinity_get(0, &offload->affinity);
}

/* For the four below: the caller holds the lock. */
static void append(struct wf_offload *offload, struct wf_call *call)
{
    call->next = NULL;
    call->link = offload->last_link;
    *offload->last_link = call;
    offload->last_link = &call->next;
    offload->queued++;
}

static void take_out(struct wf_offload *offload, struct wf_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    else
        offload->last_link = call->link;
    call->link = NULL;
    offload->queued--;
}

static uint32_t signals_now(struct wf_offload *offload)
{
    /* relaxed: under the lock. */
    return atomic_load_explicit(&offload->signals, memory_order_relaxed);
}

static void signal_change(struct wf_offload *offload)
{
    /* relaxed: the lock publishes; the futex compares the value only. */
    atomic_store_explicit(&offload->signals, signals_now(offload) + 1, memory_order_relaxed);
}

/* Waits for a call, which it takes out of the queue; NULL when it is time to end. */
static struct wf_call *await_call(struct wf_offload *offload)
{
    int64_t deadline = wf_os_now() + IDLE_NS;
    struct wf_call *call;

    while (offload->first == NULL) {
        uint32_t signals = signals_now(offload);

        if (offload->is_closing || wf_os_now() >= deadline)
            return NULL;
        wf_lock_release(&offload->lock);
        wf_os_futex_wait(&offload->signals, signals, deadline);
        wf_lock_acquire(&offload->lock);
    }
    call = offload->first;
    take_out(offload, call);
    return call;
}

/* The call is gone when its fiber wakes. */
static void carry_out(struct wf_call *call)
{
    call->result = call->fn(call->arg);
    if (WF_UNLIKELY(wf_outside_is_child(call->waiter->runtime)))
        wf_panic("a function under weft_blocking() returned in the child of a fork(): end the "
                 "child by _exit(), exit() or exec");
    wf_wake(NULL, call->waiter, 0);
}

static void pool_main(void *arg)
{
    struct wf_offload *offload = arg;
    struct wf_os_affinity affinity;
    struct wf_os_thread before;
    struct wf_call *call;
    bool is_first;

    wf_lock_acquire(&offload->lock);
    affinity = offload->affinity;
    wf_lock_release(&offload->lock);
    /* It was started by a worker, and has inherited its one CPU. */
    wf_os_affinity_set(0, &affinity);
    wf_lock_acquire(&offload->lock);
    while ((call = await_call(offload)) != NULL) {
        offload->spare--;
        wf_lock_release(&offload->lock);
        carry_out(call);
        wf_lock_acquire(&offload->lock);
        offload->spare++;
    }
    offload->spare--;
    offload->threads--;
    is_first = !offload->has_ended;
    before = offload->ended;
    offload->has_ended = true;
    wf_os_thread_self(&offload->ended);
    signal_change(offload);
    wf_lock_release(&offload->lock);
    wf_os_futex_wake(&offload->signals, INT32_MAX); /* for wf_offload_destroy() */
    if (!is_first)
        wf_os_thread_join(&before);
}

/* A thread that was counted could not be started.  Without any other, nobody would ever come for
 * the calls in the queue. */
static void give_up_thread(struct wf_offload *offload, struct wf_worker *self)
{
    struct wf_call *call = NULL;

    wf_lock_acquire(&offload->lock);
    offload->spare--;
    offload->threads--;
    while (offload->threads == 0 && offload->first != NULL) {
        struct wf_call *last = offload->first;

        take_out(offload, last);
        last->next = call;
        call = last;
    }
    wf_lock_release(&offload->lock);
    while (call != NULL) {
        struct wf_call *next = call->next;

        wf_wake(self, call->waiter, -EAGAIN);
        call = next;
    }
}

/* The program may have been moved since the start, and nobody pins the monitor: if all threads have
 * been moved, it has been.  Without one new threads run where the program could at the start. */
static void note_affinity(struct wf_offload *offload, const struct wf_monitor *monitor)
{
    if (!monitor->is_started)
        return;
    /* It is joined after the workers.  No copy of it: we are on a fiber's stack. */
    wf_lock_acquire(&offload->lock);
    wf_os_affinity_of(&monitor->thread, &offload->affinity);
    wf_lock_release(&offload->lock);
}

/* True if there is a new thread. */
static bool start_thread(struct wf_offload *offload, struct wf_worker *self)
{
    struct wf_os_thread thread; /* the pool joins it by what it says of itself */

    note_affinity(offload, &self->runtime->monitor);
    return wf_os_thread_start(&thread, "weft-blocking", pool_main, offload) == 0;
}

static void submit(struct wf_offload *offload, struct wf_call *call, struct wf_worker *self)
{
    bool is_starting, is_waking;

    wf_lock_acquire(&offload->lock);
    append(offload, call);
    is_waking = offload->spare > 0;
    is_starting = offload->queued > offload->spare && offload->threads < offload->threads_max;
    if (is_starting) {
        offload->spare++;
        offload->threads++;
    }
    signal_change(offload);
    wf_lock_release(&offload->lock);
    if (is_waking)
        wf_os_futex_wake(&offload->signals, 1);
    if (is_starting && !start_thread(offload, self))
        give_up_thread(offload, self);
}

/* A call that has begun has its fiber's memory, and may have had its effect: it is not left. */
static bool interrupt_call(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct wf_call *call = waiter->place;
    struct wf_offload *offload = call->offload;
    bool is_queued;

    (void)self;
    (void)reason;
    wf_lock_acquire(&offload->lock);
    is_queued = call->link != NULL;
    if (is_queued)
        take_out(offload, call);
    wf_lock_release(&offload->lock);
    return is_queued;
}

int weft_blocking(int (*fn)(void *), void *arg, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_call call = {.fn = fn, .arg = arg};
    int refusal;

    if (self == NULL)
        return fn(arg);
    refusal = wf_wait_refusal(self, deadline);
    if (refusal != 0)
        return refusal;
    call.offload = &self->runtime->offload;
    call.waiter = wf_wait_begin(self, interrupt_call, &call);
    submit(call.offload, &call, self);
    self = wf_wait_end(self, deadline);
    (void)self;
    return call.waiter->result == 0 ? call.result : call.waiter->result;
}

void wf_offload_destroy(struct wf_offload *offload)
{
    wf_lock_acquire(&offload->lock);
    WF_ASSERT(offload->first == NULL);
    offload->is_closing = true;
    signal_change(offload);
    wf_os_futex_wake(&offload->signals, INT32_MAX);
    while (offload->threads > 0) {
        uint32_t signals = signals_now(offload);

        wf_lock_release(&offload->lock);
        wf_os_futex_wait(&offload->signals, signals, INT64_MAX);
        wf_lock_acquire(&offload->lock);
    }
    wf_lock_release(&offload->lock);
    if (offload->has_ended)
        wf_os_thread_join(&offload->ended);
}
