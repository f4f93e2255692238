/* SPDX-License-Identifier: MIT */
#include "runtime/offload.h"

#include "runtime/alloc.h"
#include "runtime/blocking.h"
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
    bool is_under_way; /* under the lock: a thread has it, and its fiber waits */

    /* Of one that can be left, which is the thread's then. */
    void (*drop)(void *arg); /* NULL: it cannot be */
    bool *is_left;           /* under the lock, in the frame of its fiber while that waits */
};

void wf_offload_init(struct wf_offload *offload, uint32_t threads_max)
{
    offload->threads_max = threads_max;
    offload->last_link = &offload->first;
    wf_os_affinity_get(0, &offload->affinity);
}

/* For the five below: the caller holds the lock. */
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

/* Lets go of the lock meanwhile. */
static void await_signal(struct wf_offload *offload, int64_t deadline)
{
    uint32_t signals = signals_now(offload);

    wf_lock_release(&offload->lock);
    wf_os_futex_wait(&offload->signals, signals, deadline);
    wf_lock_acquire(&offload->lock);
}

/* Waits for a call, which it takes out of the queue; NULL when it is time to end. */
static struct wf_call *await_call(struct wf_offload *offload)
{
    int64_t deadline = wf_os_now() + IDLE_NS;
    struct wf_call *call;

    while (offload->first == NULL) {
        if (offload->is_closing || wf_os_now() >= deadline)
            return NULL;
        await_signal(offload, deadline);
    }
    call = offload->first;
    take_out(offload, call);
    call->is_under_way = true;
    return call;
}

/* True if its fiber waits for the call, and leaves it no more. */
static bool is_awaited(struct wf_offload *offload, struct wf_call *call)
{
    bool result;

    if (call->drop == NULL)
        return true;
    wf_lock_acquire(&offload->lock);
    result = call->is_under_way;
    call->is_under_way = false;
    wf_lock_release(&offload->lock);
    return result;
}

/* The call is gone when its fiber wakes.  True if it had been left. */
static bool carry_out(struct wf_offload *offload, struct wf_call *call)
{
    call->result = call->fn(call->arg);
    if (WF_UNLIKELY(wf_outside_is_child(WF_CONTAINER_OF(offload, struct weft_runtime, offload))))
        wf_panic("a function under weft_blocking() returned in the child of a fork(): end the "
                 "child by _exit(), exit() or exec");
    if (is_awaited(offload, call)) {
        wf_wake(NULL, call->waiter, 0);
        return false;
    }
    call->drop(call->arg);
    wf_free(call);
    return true;
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
        bool was_left;

        offload->spare--;
        wf_lock_release(&offload->lock);
        was_left = carry_out(offload, call);
        wf_lock_acquire(&offload->lock);
        offload->left -= was_left;
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
    wf_os_futex_wake(&offload->signals, INT32_MAX); /* for the owner */
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

/* Most calls that have begun have their fiber's memory, and may have had their effect: they are not
 * left. */
static bool interrupt_call(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct wf_call *call = waiter->place;
    struct wf_offload *offload = call->offload;
    bool is_out;

    (void)self;
    (void)reason;
    wf_lock_acquire(&offload->lock);
    is_out = call->link != NULL;
    if (is_out) {
        take_out(offload, call);
    } else if (call->drop != NULL && call->is_under_way) {
        call->is_under_way = false;
        *call->is_left = true;
        offload->left++;
        is_out = true;
    }
    wf_lock_release(&offload->lock);
    return is_out;
}

/* 0: it was made.  Else its record may be gone. */
static int await_end(struct wf_worker *self, struct wf_call *call, weft_time deadline)
{
    struct wf_waiter *waiter = wf_wait_begin(self, interrupt_call, call);

    call->offload = &self->runtime->offload;
    call->waiter = waiter;
    submit(call->offload, call, self);
    self = wf_wait_end(self, deadline);
    (void)self;
    return waiter->result;
}

int weft_blocking(int (*fn)(void *), void *arg, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_call call = {.fn = fn, .arg = arg};
    int error;

    if (self == NULL)
        return fn(arg);
    error = wf_wait_refusal(self, deadline);
    if (error == 0)
        error = await_end(self, &call, deadline);
    return error == 0 ? call.result : error;
}

int wf_blocking_leave(int (*fn)(void *), void *arg, void (*drop)(void *), weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_call *call = NULL;
    bool is_left = false;
    int error = wf_wait_refusal(self, deadline);

    if (error == 0 && (call = wf_alloc(sizeof *call)) == NULL)
        error = -ENOMEM;
    if (error == 0) {
        *call = (struct wf_call){.fn = fn, .arg = arg, .drop = drop, .is_left = &is_left};
        error = await_end(self, call, deadline);
    }
    if (is_left)
        return error;
    wf_free(call);
    if (error != 0)
        drop(arg);
    return error;
}

bool wf_offload_close(struct wf_offload *offload, int64_t deadline)
{
    bool is_over;

    wf_lock_acquire(&offload->lock);
    WF_ASSERT(offload->first == NULL);
    offload->is_closing = true;
    signal_change(offload);
    wf_os_futex_wake(&offload->signals, INT32_MAX);
    /* A thread that has done with one ends, and says so. */
    while (offload->left > 0 && wf_os_now() < deadline)
        await_signal(offload, deadline);
    is_over = offload->left == 0;
    wf_lock_release(&offload->lock);
    return is_over;
}

void wf_offload_destroy(struct wf_offload *offload)
{
    (void)wf_offload_close(offload, INT64_MAX);
    wf_lock_acquire(&offload->lock);
    while (offload->threads > 0)
        await_signal(offload, INT64_MAX);
    wf_lock_release(&offload->lock);
    if (offload->has_ended)
        wf_os_thread_join(&offload->ended);
}
