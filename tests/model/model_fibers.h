/* SPDX-License-Identifier: MIT */
/*
 * One fiber per thread of the model, over the real runtime/wait.c: what sync/ blocks by can then be
 * called as it is.  A switch is a write to `registers`, and a thread whose fiber waits sleeps until
 * somebody has queued the fiber.  There are no timers, unless a model has included model_wheel.h: a
 * cancel takes the same way through runtime/wait.c as a deadline.
 *
 * A suite derives from fiber_suite and writes fibers(index), which thread `index` runs.
 */
#ifndef WEFT_MODEL_FIBERS_H
#define WEFT_MODEL_FIBERS_H

#include "arch/tls.h"
#include "runtime/model.h"

#include "model.h"
#include "model_lock.h"

#include <cstring>

#include "runtime/wait.c"

enum { MODEL_FIBERS_MAX = 4 };

struct model_fiber {
    weft_fiber fiber;
    wf_worker worker;
    rl::var<int> registers; // written at the switch away, read by whoever resumes
    rl::var<int> queued;
};

struct model_fibers {
    weft_runtime runtime;
    model_fiber fibers[MODEL_FIBERS_MAX];
    rl::mutex mutex;
    rl::condition_variable changed;
};

static model_fibers *fibers;

void *wf_tls_get(void)
{
    return &fibers->fibers[rl::ctx().current_thread()].worker;
}

uint32_t wf_chaos_random(struct wf_worker *self)
{
    (void)self;
    return rl::rand(4);
}

int64_t wf_os_now(void)
{
    return 1;
}

static model_fiber *model_of(weft_fiber *fiber)
{
    for (model_fiber &each : fibers->fibers)
        if (&each.fiber == fiber)
            return &each;
    RL_ASSERT(false);
    return nullptr;
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    model_fiber *each = model_of(fiber);

    (void)self;
    RL_ASSERT(each->registers($) == 1);
    fibers->mutex.lock($);
    RL_ASSERT(each->queued($) == 0);
    each->queued($) = 1;
    fibers->changed.notify_all($);
    fibers->mutex.unlock($);
}

#ifndef MODEL_HAS_NEXT // next_model.cpp
void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_worker_push_ready(self, fiber);
}
#endif

void wf_outside_push(struct weft_fiber *fiber)
{
    wf_worker_push_ready(nullptr, fiber);
}

void wf_outside_wake(struct wf_waiter *waiter, int result)
{
    weft_runtime *runtime = waiter->runtime; // a thread's waiter is gone once it is READY

    if (wf_wait_make_ready(waiter, result) && runtime != nullptr)
        wf_outside_push(wf_fiber_of_waiter(waiter));
}

void wf_poller_submit(struct wf_poller *poller, struct wf_worker *self)
{
    (void)poller;
    (void)self;
}

void wf_poller_interrupt(struct wf_poller *poller)
{
    (void)poller;
}

enum wf_timer_claim wf_scope_claim(struct wf_timer *timer)
{
    (void)timer;
    RL_ASSERT(false);
    return WF_TIMER_VOID;
}

bool wf_scope_expire(struct wf_worker *self, struct wf_timer *timer)
{
    (void)self;
    (void)timer;
    RL_ASSERT(false);
    return false;
}

#ifndef MODEL_WHEEL_H
void wf_timer_arm(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline)
{
    (void)wheel;
    (void)timer;
    (void)deadline;
    RL_ASSERT(false);
}

void wf_timer_cancel(struct wf_timer *timer)
{
    (void)timer;
}

struct wf_timer *wf_wheel_expire(struct wf_wheel *wheel, int64_t now,
                                 enum wf_timer_claim (*claim)(struct wf_timer *))
{
    (void)wheel;
    (void)now;
    (void)claim;
    return nullptr;
}
#endif

// Threads that wait, as in runtime/wait_thread.c.  A deadline has always passed.
void wf_wait_begin_thread(struct wf_waiter *waiter, wf_interrupt_fn *interrupt, void *place)
{
    waiter->runtime = nullptr;
    waiter->interrupt = interrupt;
    waiter->place = place;
    atomic_store_explicit(&waiter->state, WF_WAIT_WAITING, memory_order_relaxed);
}

int wf_wait_end_thread(struct wf_waiter *waiter, int64_t deadline)
{
    if (deadline != WEFT_FOREVER && waiter->interrupt(nullptr, waiter, -ETIMEDOUT))
        return -ETIMEDOUT;
    while (atomic_load_explicit(&waiter->state, memory_order_acquire) == WF_WAIT_WAITING)
        rl::yield(1, $);
    return waiter->result;
}

// The switch away, and what the worker does after it.
static void model_leave(struct wf_worker *self)
{
    model_of(self->current)->registers($) = 1;
    wf_wait_park(self, self->current);
}

// The switch back, when the fiber has been queued.
static void model_return(struct wf_worker *self)
{
    model_fiber *each = model_of(self->current);

    fibers->mutex.lock($);
    while (each->queued($) == 0)
        fibers->changed.wait(fibers->mutex, $);
    each->queued($) = 0;
    fibers->mutex.unlock($);
    RL_ASSERT(atomic_load_explicit(&each->fiber.waiter.state, memory_order_relaxed) ==
              WF_WAIT_READY);
    atomic_store_explicit(&each->fiber.waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
    RL_ASSERT(each->registers($) == 1);
    each->registers($) = 0;
}

struct wf_worker *wf_worker_wait(struct wf_worker *self)
{
    model_leave(self);
    model_return(self);
    return self;
}

// weft_cancel()
static inline void model_cancel(unsigned index)
{
    weft_fiber *fiber = &fibers->fibers[index].fiber;

    atomic_store_explicit(&fiber->cancelled, 1, memory_order_seq_cst);
    wf_wait_cancel(wf_self(), &fiber->waiter);
}

template <typename T, unsigned THREADS> struct fiber_suite : rl::test_suite<T, THREADS> {
    model_fibers own;

    void before()
    {
        fibers = &own;
        atomic_store_explicit(&own.runtime.phase, WF_PHASE_RUNNING, memory_order_relaxed);
        for (unsigned i = 0; i < MODEL_FIBERS_MAX; i++) {
            model_fiber *each = &own.fibers[i];

            each->worker.runtime = &own.runtime;
            each->worker.current = &each->fiber;
            each->worker.poller = nullptr;
            each->fiber.waiter.runtime = &own.runtime;
            atomic_store_explicit(&each->fiber.waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
            atomic_store_explicit(&each->fiber.cancelled, 0, memory_order_relaxed);
            each->registers($) = 0;
            each->queued($) = 0;
        }
        static_cast<T *>(this)->setup();
    }

    void thread(unsigned index)
    {
        static_cast<T *>(this)->fiber(index);
    }

    void after()
    {
        static_cast<T *>(this)->at_rest();
        model_heap_reset();
    }
};

#endif
