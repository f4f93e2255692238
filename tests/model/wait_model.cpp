// SPDX-License-Identifier: MIT
// runtime/wait.c and runtime/timer.c: every wait ends exactly once, by its wake, its deadline or a
// cancel; whoever ends it sees the saved registers, the fiber sees what its waker did, and a cancel
// is never lost (Relacy reports that as a deadlock).
//
// The two files are compiled as they are.  The worker around them is reduced: a queue is a flag
// with a place to sleep, a switch is a write to `registers`, and a thread of the model that waits
// for its fiber to be queued does what the loop of a worker does meanwhile.
#include "arch/tls.h"
#include "runtime/model.h"

#include "model.h"
#include "model_wheel.h"

#include "runtime/wait.c"

enum { WOKEN = 7, WOKEN_ELSEWHERE = 8, THREADS = 3 };

struct wait_state {
    weft_runtime runtime;
    wf_worker workers[THREADS];
    weft_fiber fiber;
    rl::atomic<wf_waiter *> place;
    rl::atomic<wf_waiter *> elsewhere;
    rl::var<int> registers; // written at the switch away, read by whoever resumes
    rl::var<int> message;   // from the waker to the fiber
    rl::mutex mutex;
    rl::condition_variable changed;
    rl::var<int> queued;
    rl::var<int> submitted; // by the canceller, to the ring of the fiber's home
};

static wait_state *state;

void *wf_tls_get(void)
{
    return nullptr;
}

int64_t wf_os_now(void)
{
    return 0;
}

uint32_t wf_chaos_random(struct wf_worker *self)
{
    (void)self;
    return 0;
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    (void)self;
    RL_ASSERT(fiber == &state->fiber);
    RL_ASSERT(state->registers($) == 1);
    state->mutex.lock($);
    RL_ASSERT(state->queued($) == 0);
    state->queued($) = 1;
    state->changed.notify_all($);
    state->mutex.unlock($);
}

enum wf_timer_claim wf_scope_claim(struct wf_timer *timer)
{
    (void)timer;
    RL_ASSERT(false); // no scope has a timer here
    return WF_TIMER_VOID;
}

bool wf_scope_expire(struct wf_worker *self, struct wf_timer *timer)
{
    (void)self;
    (void)timer;
    RL_ASSERT(false);
    return false;
}

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_worker_push_ready(self, fiber);
}

// Those of runtime/outside.c without the visit: the runtime does not end here.
void wf_outside_push(struct weft_fiber *fiber)
{
    wf_worker_push_ready(nullptr, fiber);
}

void wf_outside_wake(struct wf_waiter *waiter, int result)
{
    if (wf_wait_make_ready(waiter, result))
        wf_outside_push(wf_fiber_of_waiter(waiter));
}

static void submit()
{
    state->mutex.lock($);
    state->submitted($) = 1;
    state->changed.notify_all($);
    state->mutex.unlock($);
}

void wf_poller_submit(struct wf_poller *poller, struct wf_worker *self)
{
    (void)poller;
    RL_ASSERT(self != &state->workers[0]);
    submit();
}

void wf_poller_interrupt(struct wf_poller *poller)
{
    (void)poller;
    submit(); // with the home worker's next poll
}

// The model switches by itself.
struct wf_worker *wf_worker_wait(struct wf_worker *self)
{
    (void)self;
    RL_ASSERT(false);
    return nullptr;
}

static bool take_out(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    wf_waiter *expected = waiter;

    (void)self;
    RL_ASSERT(reason == -ECANCELED || reason == -ETIMEDOUT);
    return atomic_compare_exchange_strong_explicit(&state->place, &expected, nullptr,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static bool take_out_on_cancel(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    RL_ASSERT(reason == -ECANCELED);
    return take_out(self, waiter, reason);
}

template <typename Derived> struct wait_suite : rl::test_suite<Derived, THREADS> {
    wait_state owned;

    void before()
    {
        state = &owned;
        atomic_store_explicit(&state->runtime.phase, WF_PHASE_RUNNING, memory_order_relaxed);
        for (wf_worker &worker : state->workers) {
            worker.runtime = &state->runtime;
            worker.current = &state->fiber;
            worker.now = 0;
            atomic_store_explicit(&worker.counters.timers_fired, 0, memory_order_relaxed);
            model_wheel_reset(&worker.wheel);
        }
        atomic_store_explicit(&state->fiber.cancelled, 0, memory_order_relaxed);
        atomic_store_explicit(&state->fiber.waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
        state->fiber.waiter.timer.link = nullptr;
        state->fiber.waiter.timer.kind = WF_TIMER_OF_WAITER;
        state->fiber.waiter.runtime = &state->runtime;
        atomic_store_explicit(&state->place, nullptr, memory_order_relaxed);
        atomic_store_explicit(&state->elsewhere, nullptr, memory_order_relaxed);
        state->registers($) = 0;
        state->message($) = 0;
        state->queued($) = 0;
        state->submitted($) = 0;
    }

    // The fiber waits on this worker, which switches away from it and commits the wait.
    void wait_on(wf_worker *self, wf_interrupt_fn *interrupts, int64_t deadline)
    {
        wf_waiter *waiter = wf_wait_begin(self, interrupts, &state->place);

        atomic_store_explicit(&state->place, waiter, memory_order_release);
        if (deadline != INT64_MAX)
            wf_timer_arm(&self->wheel, &waiter->timer, deadline);
        state->registers($) = 1;
        wf_wait_park(self, &state->fiber);
    }

    // Until the fiber is queued.
    void await_queued()
    {
        state->mutex.lock($);
        while (state->queued($) == 0)
            state->changed.wait(state->mutex, $);
        state->queued($) = 0;
        state->mutex.unlock($);
    }

    // The fiber runs again: begin_turn(), and what the fiber looks at.
    int resume()
    {
        RL_ASSERT(atomic_load_explicit(&state->fiber.waiter.state, memory_order_relaxed) ==
                  WF_WAIT_READY);
        atomic_store_explicit(&state->fiber.waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
        RL_ASSERT(state->registers($) == 1);
        state->registers($) = 0;
        RL_ASSERT(state->fiber.waiter.result == WOKEN ||
                  atomic_load_explicit(&state->place, memory_order_relaxed) == nullptr);
        if (state->fiber.waiter.result == WOKEN)
            RL_ASSERT(state->message($) == WOKEN);
        return state->fiber.waiter.result;
    }

    void wake(wf_worker *self, int attempts)
    {
        for (int i = 0; i < attempts; i++) {
            wf_waiter *waiter = atomic_exchange_explicit(&state->place, nullptr,
                                                         memory_order_acq_rel);

            if (waiter == nullptr)
                continue;
            state->message($) = WOKEN;
            wf_wake(self, waiter, WOKEN);
        }
    }

    // As a fiber ends that has a joiner in `place`; join_model.cpp has the real one.
    void take(wf_worker *self, wf_waiter *waiter)
    {
        weft_fiber *fiber = nullptr;

        if (waiter != nullptr)
            fiber = wf_wait_take(self, &state->place, waiter, nullptr, WOKEN);
        if (fiber == nullptr) {
            wake(self, 1);
            return;
        }
        state->message($) = WOKEN;
        wf_worker_push_ready(self, fiber);
    }

    // weft_cancel()
    void cancel(wf_worker *self)
    {
        atomic_store_explicit(&state->fiber.cancelled, 1, memory_order_seq_cst);
        wf_wait_cancel(self, &state->fiber.waiter);
    }

    void wait_until_cancelled()
    {
        int result = 0;

        for (int i = 0; i < 4 && result != -ECANCELED; i++) {
            wait_on(&state->workers[0], take_out, INT64_MAX);
            await_queued();
            result = resume();
            RL_ASSERT(result == WOKEN || result == -ECANCELED);
        }
        RL_ASSERT(result == -ECANCELED);
    }
};

// A fiber that waits again and again, a waker, and a canceller.
struct wait_cancel : wait_suite<wait_cancel> {
    void thread(unsigned index)
    {
        if (index == 0)
            wait_until_cancelled();
        else if (index == 1)
            wake(&state->workers[1], 3);
        else
            cancel(&state->workers[2]);
    }
};

// The same with a waker and a canceller that are no workers.
struct wait_outside : wait_suite<wait_outside> {
    void thread(unsigned index)
    {
        if (index == 0)
            wait_until_cancelled();
        else if (index == 1)
            wake(nullptr, 3);
        else
            cancel(nullptr);
    }
};

// A wait that only its wake ends, like that for an operation.  A cancel asks for it in the ring of
// the fiber's home; asked for from elsewhere, it comes to pass only once that ring is submitted.
struct wait_asked : wait_suite<wait_asked> {
    static bool ask(struct wf_worker *self, struct wf_waiter *waiter, int reason)
    {
        RL_ASSERT(waiter->home == &state->workers[0]);
        RL_ASSERT(reason == -ECANCELED);
        if (self == waiter->home)
            submit(); // with its next poll
        return false;
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            wait_on(&state->workers[0], ask, INT64_MAX);
            await_queued();
            RL_ASSERT(resume() == WOKEN);
        } else if (index == 1) {
            state->mutex.lock($);
            while (state->submitted($) == 0)
                state->changed.wait(state->mutex, $);
            state->mutex.unlock($);
            wake(&state->workers[1], 1);
        } else {
            cancel(&state->workers[2]);
        }
    }
};

// A wait with a deadline on worker 0; the fiber goes on, on worker 1, to a wait without one, while
// worker 0 and another one still expire the timers of worker 0: they must not hit that second wait.
struct wait_timer : wait_suite<wait_timer> {
    void expire(wf_worker *self, int64_t now)
    {
        self->now = now << WF_WHEEL_TICK_SHIFT;
        wf_wait_expire(self, &state->workers[0]);
    }

    void thread(unsigned index)
    {
        wf_worker *self = &state->workers[index];

        if (index == 0) {
            wait_on(self, take_out, 1);
            expire(self, 20);
            expire(self, 21);
        } else if (index == 1) {
            int result;

            await_queued();
            result = resume();
            RL_ASSERT(result == WOKEN || result == -ETIMEDOUT);
            wf_timer_cancel(&state->fiber.waiter.timer);
            wait_on(self, take_out_on_cancel, INT64_MAX);
            cancel(self);
            await_queued();
            RL_ASSERT(resume() != -ETIMEDOUT);
        } else {
            wake(self, 1);
            expire(self, 10);
            wake(self, 1);
            expire(self, 11);
        }
    }
};

// A look for a cancel that comes too late: its fiber has ended, and another one waits in its place.
// It pins that fiber for a moment, in which a real cancel must not get lost.
struct wait_stale : wait_suite<wait_stale> {
    void thread(unsigned index)
    {
        if (index == 0)
            wait_until_cancelled();
        else if (index == 1)
            wf_wait_cancel(&state->workers[1], &state->fiber.waiter);
        else
            cancel(&state->workers[2]);
    }
};

// A waker that takes the waiting fiber to run it at once, where it can.
struct wait_take : wait_suite<wait_take> {
    void thread(unsigned index)
    {
        if (index == 0)
            wait_until_cancelled();
        else if (index == 1)
            for (int i = 0; i < 3; i++)
                take(&state->workers[1], atomic_load_explicit(&state->place, memory_order_acquire));
        else
            cancel(&state->workers[2]);
    }
};

// The same waker comes too late: the deadline has ended the wait that it saw, and the fiber waits
// elsewhere.
struct wait_take_late : wait_suite<wait_take_late> {
    void wait_twice(wf_worker *self)
    {
        wf_waiter *waiter;

        wait_on(self, take_out, 1);
        self->now = INT64_C(1) << 20;
        (void)wf_wait_expire(self, self);
        await_queued();
        (void)resume();
        wf_timer_cancel(&state->fiber.waiter.timer);

        waiter = wf_wait_begin(self, nullptr, nullptr);
        atomic_store_explicit(&state->elsewhere, waiter, memory_order_release);
        state->registers($) = 1;
        wf_wait_park(self, &state->fiber);
        await_queued();
        RL_ASSERT(waiter->result == WOKEN_ELSEWHERE);
    }

    wf_waiter *wait_for_second()
    {
        wf_waiter *waiter;

        while ((waiter = atomic_load_explicit(&state->elsewhere, memory_order_acquire)) == nullptr)
            rl::yield(1, $);
        return waiter;
    }

    // The scheduler of the model would hardly ever let a thread stand still for that long.
    void take_perhaps_late(wf_worker *self)
    {
        wf_waiter *waiter = atomic_load_explicit(&state->place, memory_order_acquire);

        if (waiter != nullptr && rl::rand(2) == 0)
            (void)wait_for_second();
        take(self, waiter);
    }

    void thread(unsigned index)
    {
        if (index == 0)
            wait_twice(&state->workers[0]);
        else if (index == 1)
            take_perhaps_late(&state->workers[1]);
        else
            wf_wake(&state->workers[2], wait_for_second(), WOKEN_ELSEWHERE);
    }
};

int main()
{
    bool good = model_run<wait_cancel>("cancel");

    good = good && model_run<wait_outside>("outside");
    good = good && model_run<wait_asked>("asked");
    good = good && model_run<wait_timer>("timer");
    good = good && model_run<wait_stale>("stale");
    good = good && model_run<wait_take>("take");
    good = good && model_run<wait_take_late>("take late");
    return good ? 0 : 1;
}
