// SPDX-License-Identifier: MIT
// runtime/scope.c and runtime/scope_owner.c over runtime/wait.c: close returns once, when no member
// is left, and nobody touches the scope after that; a cancel reaches whoever is inside, whatever it
// does meanwhile (Relacy reports one that is lost as a deadlock); an error comes back.
//
// The files are compiled as they are.  Each thread of the model is a fiber on a worker of its own:
// a switch away commits the wait, and the thread sleeps until the fiber is queued.  The scope is
// freed when its close has returned.
#include "arch/tls.h"
#include "runtime/model.h"

#include "model.h"
#include "model_lock.h"

#include <cstring>

#include "runtime/wait.c"

// The size is that of the library's atomics, not of the model's.
#define _Static_assert(condition, text) static_assert(true, text)
#include "runtime/scope.c"
#include "runtime/scope_owner.c"
#include "runtime/timer.c"

#include "model_scope.h"

enum { THREADS = 3, FAILURE = -5, OUTCOME = 4 };

struct scope_state {
    weft_runtime runtime;
    wf_worker workers[THREADS];
    weft_fiber fibers[THREADS + 1]; // the last one is spawned by another
    rl::var<int> queued[THREADS + 1];
    rl::mutex mutex;
    rl::condition_variable changed;
    rl::atomic<wf_waiter *> places[THREADS + 1];
    wf_scope *scope;
    rl::var<int> message; // from a member to its owner
    rl::var<int> spawned;
    rl::var<bool> is_started;  // under `mutex`: a fiber that cancels for somebody outside
    rl::var<bool> has_visited; // the same: who is outside has done
    int64_t clock;             // not the model's: a look at it is no step
};

static scope_state *state;

static unsigned index_of(weft_fiber *fiber)
{
    return static_cast<unsigned>(fiber - state->fibers);
}

void *wf_tls_get(void)
{
    return &state->workers[rl::ctx().threadx_->index_];
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    unsigned index = index_of(fiber);

    (void)self;
    state->mutex.lock($);
    RL_ASSERT(state->queued[index]($) == 0);
    state->queued[index]($) = 1;
    state->changed.notify_all($);
    state->mutex.unlock($);
}

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_worker_push_ready(self, fiber);
}

// Switches away from the fiber of this thread, and runs it again when it is queued.
struct wf_worker *wf_worker_wait(struct wf_worker *self)
{
    weft_fiber *fiber = self->current;
    unsigned index = index_of(fiber);

    wf_wait_park(self, fiber);
    state->mutex.lock($);
    while (state->queued[index]($) == 0)
        state->changed.wait(state->mutex, $);
    state->queued[index]($) = 0;
    state->mutex.unlock($);
    RL_ASSERT(atomic_load_explicit(&fiber->waiter.state, memory_order_relaxed) == WF_WAIT_READY);
    atomic_store_explicit(&fiber->waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
    return self;
}

uint32_t wf_chaos_random(struct wf_worker *)
{
    return rl::rand(4);
}

int64_t wf_os_now(void)
{
    return state->clock;
}

void wf_outside_wake(struct wf_waiter *waiter, int result)
{
    if (wf_wait_make_ready(waiter, result))
        wf_worker_push_ready(nullptr, wf_fiber_of_waiter(waiter));
}

static void announce(rl::var<bool> *event)
{
    state->mutex.lock($);
    (*event)($) = true;
    state->changed.notify_all($);
    state->mutex.unlock($);
}

int wf_fiber_start_outside(struct weft_runtime *, const char *, int (*)(void *), void *)
{
    if (rl::rand(2) == 0)
        return -ENOMEM;
    announce(&state->is_started);
    return 0;
}
void wf_worker_push_fresh(struct wf_worker *, struct weft_fiber *)
{
    state->spawned($) = 1;
}
int wf_fiber_create_detached(struct wf_worker *, unsigned, const char *, int (*)(void *), void *,
                             const void *, struct weft_fiber **fiber)
{
    *fiber = &state->fibers[THREADS];
    return 0;
}

static bool take_out(struct wf_worker *, struct wf_waiter *waiter, int reason)
{
    rl::atomic<wf_waiter *> *place = static_cast<rl::atomic<wf_waiter *> *>(waiter->place);
    wf_waiter *expected = waiter;

    RL_ASSERT(reason == -ECANCELED || reason == -ETIMEDOUT);
    return atomic_compare_exchange_strong_explicit(place, &expected, nullptr, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

template <typename Derived> struct scope_suite : rl::test_suite<Derived, THREADS> {
    scope_state owned;

    static weft_scope *opaque()
    {
        return reinterpret_cast<weft_scope *>(state->scope);
    }

    static wf_scope *make_scope()
    {
        wf_scope *scope = static_cast<wf_scope *>(model_alloc(sizeof(wf_scope)));

        atomic_init(&scope->lock.word, WF_LOCK_FREE);
        atomic_init(&scope->cancelled, 0);
        atomic_init(&scope->closer, nullptr);
        atomic_init(&scope->deadline, 0);
        return scope;
    }

    void before()
    {
        state = &owned;
        atomic_store_explicit(&state->runtime.phase, WF_PHASE_RUNNING, memory_order_relaxed);
        for (unsigned i = 0; i < THREADS; i++) {
            wf_worker &worker = state->workers[i];

            worker.runtime = &state->runtime;
            worker.current = &state->fibers[i];
            worker.now = 0;
            atomic_store_explicit(&worker.counters.timers_fired, 0, memory_order_relaxed);
            atomic_store_explicit(&worker.counters.timers_armed, 0, memory_order_relaxed);
            atomic_store_explicit(&worker.wheel.lock.word, WF_LOCK_FREE, memory_order_relaxed);
            atomic_store_explicit(&worker.wheel.count, 0, memory_order_relaxed);
            worker.wheel.elapsed = 0;
            std::memset(worker.wheel.occupied, 0, sizeof worker.wheel.occupied);
            std::memset(worker.wheel.slots, 0, sizeof worker.wheel.slots);
            worker.wheel.due = nullptr;
        }
        for (unsigned i = 0; i <= THREADS; i++) {
            weft_fiber &fiber = state->fibers[i];

            atomic_store_explicit(&fiber.cancelled, 0, memory_order_relaxed);
            atomic_store_explicit(&fiber.scope, nullptr, memory_order_relaxed);
            atomic_store_explicit(&fiber.waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
            fiber.waiter.runtime = &state->runtime;
            fiber.waiter.home = &state->workers[0];
            fiber.waiter.timer.link = nullptr;
            fiber.waiter.timer.kind = WF_TIMER_OF_WAITER;
            fiber.result = 0;
            fiber.id = i + 1;
            fiber.name[0] = '\0';
            state->queued[i]($) = 0;
            atomic_store_explicit(&state->places[i], nullptr, memory_order_relaxed);
        }
        state->message($) = 0;
        state->spawned($) = 0;
        state->is_started($) = false;
        state->has_visited($) = false;
        state->clock = 0;
        state->scope = make_scope();
        enter(&state->workers[0], state->scope, false);
        static_cast<Derived *>(this)->set_up();
    }

    void after()
    {
        model_heap_reset();
    }

    void set_up()
    {
        wf_scope_join(state->scope, &state->fibers[1]);
        wf_scope_join(state->scope, &state->fibers[2]);
    }

    // Thread 0.
    int close(int result)
    {
        wf_scope *scope = state->scope;
        int outcome = weft_scope_close(opaque(), result);

        model_free(scope);
        return outcome;
    }

    // The fiber of this thread waits until it is cancelled.
    int linger(unsigned index)
    {
        wf_worker *self = &state->workers[index];
        wf_waiter *waiter;

        for (int i = 0; i < 2; i++) {
            int refusal = wf_self_refusal(self);

            if (refusal != 0)
                return refusal;
            waiter = wf_wait_begin(self, take_out, &state->places[index]);
            atomic_store_explicit(&state->places[index], waiter, memory_order_release);
            self = wf_wait_end(self, WEFT_FOREVER);
            RL_ASSERT(waiter->result != 0);
        }
        return wf_self_refusal(self);
    }

    void end(unsigned index, int result)
    {
        weft_fiber *fiber = state->workers[index].current;

        fiber->result = result;
        wf_scope_leave(&state->workers[index], fiber);
    }
};

// One member fails while the other waits; the owner is in its close, or comes to it.
struct scope_failure : scope_suite<scope_failure> {
    void thread(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(close(OUTCOME) == FAILURE);
            RL_ASSERT(state->message($) == 1);
            RL_ASSERT(wf_self_refusal(&state->workers[0]) == 0);
        } else if (index == 1) {
            end(1, FAILURE);
        } else {
            int result = linger(2);

            RL_ASSERT(result == -ECANCELED);
            state->message($) = 1;
            end(2, result);
        }
    }
};

// Members that end by themselves, one after the other or at once.
struct scope_end : scope_suite<scope_end> {
    void thread(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(close(OUTCOME) == OUTCOME);
            RL_ASSERT(state->message($) == 1);
        } else {
            if (index == 1)
                state->message($) = 1;
            end(index, 0);
        }
    }
};

// The owner is cancelled as a fiber, before its close or in it: it takes the member with it.
struct scope_owner : scope_suite<scope_owner> {
    void set_up()
    {
        wf_scope_join(state->scope, &state->fibers[1]);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(close(0) == -ECANCELED);
            RL_ASSERT(wf_self_refusal(&state->workers[0]) == -ECANCELED);
        } else if (index == 1) {
            end(1, linger(1));
        } else {
            weft_fiber *owner = &state->fibers[0]; // weft_cancel()

            atomic_fetch_or_explicit(&owner->cancelled, WF_CANCEL_FIBER, memory_order_seq_cst);
            wf_wait_cancel(&state->workers[2], &owner->waiter);
        }
    }
};

// A member spawns another while the scope is cancelled: that one is refused, or it is cancelled
// too.
struct scope_spawn : scope_suite<scope_spawn> {
    void thread(unsigned index)
    {
        wf_worker *self = &state->workers[index];

        if (index == 0) {
            RL_ASSERT(close(linger(0)) == -ECANCELED); // the owner is inside as well
        } else if (index == 1) {
            int error = weft_scope_spawn(opaque(), nullptr, nullptr);

            RL_ASSERT(error == 0 || error == -ECANCELED);
            end(1, 0);
            if (error != 0)
                return;
            RL_ASSERT(state->spawned($) == 1);
            self->current = &state->fibers[THREADS]; // it runs here now
            state->places[1].store(nullptr, rl::mo_relaxed, $);
            atomic_store_explicit(&self->current->waiter.state, WF_WAIT_RUNNING,
                                  memory_order_relaxed);
            end(1, linger(1));
        } else {
            wf_scope_cancel(self, state->scope, -ECANCELED);
            end(2, wf_self_refusal(self));
        }
    }
};

// A member opens a scope of its own, waits in there, and closes it, while the outer one is
// cancelled: wherever it is at the moment, it is found once it waits, and not before or after.
struct scope_nested : scope_suite<scope_nested> {
    void thread(unsigned index)
    {
        wf_worker *self = &state->workers[index];

        if (index == 0) {
            RL_ASSERT(close(0) == -ECANCELED);
        } else if (index == 1) {
            wf_scope *inner = make_scope();

            enter(self, inner, false);
            RL_ASSERT(linger(1) == -ECANCELED);
            RL_ASSERT(weft_scope_close(reinterpret_cast<weft_scope *>(inner), 0) == 0);
            model_free(inner);
            RL_ASSERT(wf_self_refusal(self) == -ECANCELED);
            end(1, linger(1));
        } else {
            wf_scope_cancel(self, state->scope, -ECANCELED);
            end(2, 0);
        }
    }
};

// The same with a shield, in which the member waits for a waker; the cancel comes to it afterwards.
struct scope_shield : scope_suite<scope_shield> {
    void thread(unsigned index)
    {
        wf_worker *self = &state->workers[index];

        if (index == 0) {
            RL_ASSERT(close(0) == -ECANCELED);
        } else if (index == 1) {
            wf_scope *inner = make_scope();
            wf_waiter *waiter;

            enter(self, inner, true);
            waiter = wf_wait_begin(self, take_out, &state->places[1]);
            atomic_store_explicit(&state->places[1], waiter, memory_order_release);
            self = wf_wait_end(self, WEFT_FOREVER);
            RL_ASSERT(waiter->result == OUTCOME);
            RL_ASSERT(wf_self_refusal(self) == 0);
            RL_ASSERT(weft_scope_close(reinterpret_cast<weft_scope *>(inner), 0) == 0);
            model_free(inner);
            end(1, linger(1));
        } else {
            wf_waiter *waiter;

            wf_scope_cancel(self, state->scope, -ECANCELED);
            do
                waiter = atomic_exchange_explicit(&state->places[1], nullptr, memory_order_acq_rel);
            while (waiter == nullptr);
            wf_wake(self, waiter, OUTCOME);
            end(2, 0);
        }
    }
};

// A plain thread cancels the scope while its owner closes it; a fiber does it for that thread,
// unless there is no memory for one.  The owner frees the scope once its close and the thread's
// call have returned.
struct scope_outside : scope_suite<scope_outside> {
    void set_up()
    {
    }

    void thread(unsigned index)
    {
        wf_scope *scope = state->scope;

        if (index == 0) {
            RL_ASSERT(weft_scope_close(opaque(), OUTCOME) == OUTCOME);
            RL_ASSERT(wf_self_refusal(&state->workers[0]) == 0);
            state->mutex.lock($);
            while (!state->has_visited($))
                state->changed.wait(state->mutex, $);
            state->mutex.unlock($);
            model_free(scope);
        } else if (index == 1) {
            int error = cancel_outside(nullptr, scope);

            RL_ASSERT(error == 0 || error == -ENOMEM);
            announce(&state->has_visited);
        } else {
            bool is_started;

            state->mutex.lock($);
            while (!state->is_started($) && !state->has_visited($))
                state->changed.wait(state->mutex, $);
            is_started = state->is_started($);
            state->mutex.unlock($);
            if (is_started)
                RL_ASSERT(cancel_as_member(scope) == 0);
        }
    }
};

// The deadline passes while the last member ends and the owner closes, or sets another one.
struct scope_deadline : scope_suite<scope_deadline> {
    void set_up()
    {
        wf_scope_join(state->scope, &state->fibers[1]);
        arm(&state->workers[0], state->scope, 20 << WF_WHEEL_TICK_SHIFT);
    }

    void thread(unsigned index)
    {
        wf_worker *self = &state->workers[index];

        if (index == 0) {
            if (rl::rand(2) == 0)
                arm(self, state->scope, 10 << WF_WHEEL_TICK_SHIFT);
            RL_ASSERT(close(OUTCOME) == OUTCOME);
            RL_ASSERT(!wf_wheel_is_armed(&state->workers[0].wheel));
            RL_ASSERT(wf_self_refusal(self) == 0);
        } else if (index == 1) {
            end(1, 0);
        } else {
            self->now = state->clock = 30 << WF_WHEEL_TICK_SHIFT;
            (void)wf_wait_expire(self, &state->workers[0]);
        }
    }
};

int main()
{
    bool good = model_run<scope_failure>("failure", 6);

    good = good && model_run<scope_end>("end", 6);
    good = good && model_run<scope_owner>("owner", 6);
    good = good && model_run<scope_spawn>("spawn", 6);
    good = good && model_run<scope_nested>("nested", 6);
    good = good && model_run<scope_shield>("shield", 6);
    good = good && model_run<scope_outside>("outside", 6);
    good = good && model_run<scope_deadline>("deadline", 6);
    return good ? 0 : 1;
}
