// SPDX-License-Identifier: MIT
// runtime/next.h over runtime/wait.c: what a worker puts into its next slot is run once, by itself
// or by a thief, who sees its fields; and a fiber that is woken into the slot while it is cancelled
// goes on once, too (Relacy reports one that is lost as a deadlock).
//
// The header is compiled as it is.  Around it wf_worker_push_next() is that of runtime/worker.c
// without chaos.
#define MODEL_HAS_NEXT
#include "model_fibers.h"

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    weft_fiber *old = wf_next_put(&self->next, fiber);

    if (old != nullptr)
        wf_worker_push_ready(self, old);
}

// A worker and one thief or two, with fibers that are ready.
enum { PUTS = 4 };

struct ready_fiber {
    weft_fiber fiber;
    rl::var<int> fields; // written before it is put, read by who takes it
    rl::var<int> runs;
};

template <typename T, unsigned THREADS> struct next_suite : rl::test_suite<T, THREADS> {
    wf_next_slot slot;
    ready_fiber ready[PUTS];

    void before()
    {
        atomic_store_explicit(&slot, nullptr, memory_order_relaxed);
        for (ready_fiber &each : ready) {
            each.fields($) = 0;
            each.runs($) = 0;
        }
    }

    void run(weft_fiber *fiber)
    {
        for (ready_fiber &each : ready)
            if (&each.fiber == fiber) {
                RL_ASSERT(each.fields($) == 1);
                each.runs($) = each.runs($) + 1;
            }
    }

    // Whom it displaces is run from another queue.
    void put(int number)
    {
        ready[number].fields($) = 1;
        run(wf_next_put(&slot, &ready[number].fiber));
    }

    void take()
    {
        run(wf_next_take(&slot));
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            put(0);
            put(1);
            take();
            put(2);
            put(3);
            take();
        } else {
            take();
            take();
        }
    }

    void after()
    {
        for (ready_fiber &each : ready)
            RL_ASSERT(each.runs($) == 1);
        RL_ASSERT(atomic_load_explicit(&slot, memory_order_relaxed) == nullptr);
    }
};

struct next_thief : next_suite<next_thief, 2> {
};
struct next_thieves : next_suite<next_thieves, 3> {
};

// Two fibers wait; worker 2 wakes them into its slot, one after the other, and worker 3 cancels the
// first of them and steals from that slot.
struct next_cancel : fiber_suite<next_cancel, 4> {
    enum { WOKEN = 7, OWNER = 2, THIEF = 3 };

    rl::atomic<wf_waiter *> places[OWNER];
    rl::atomic<int> returned[OWNER];

    void setup()
    {
        for (unsigned i = 0; i < OWNER; i++) {
            atomic_store_explicit(&places[i], nullptr, memory_order_relaxed);
            atomic_store_explicit(&returned[i], 0, memory_order_relaxed);
        }
        for (model_fiber &each : fibers->fibers)
            atomic_store_explicit(&each.worker.next, nullptr, memory_order_relaxed);
    }

    static bool take_out(struct wf_worker *, struct wf_waiter *waiter, int)
    {
        wf_waiter *expected = waiter;

        return atomic_compare_exchange_strong_explicit(
            static_cast<rl::atomic<wf_waiter *> *>(waiter->place), &expected, nullptr,
            memory_order_acq_rel, memory_order_relaxed);
    }

    void wait(unsigned index)
    {
        wf_waiter *waiter = wf_wait_begin(wf_self(), take_out, &places[index]);

        atomic_store_explicit(&places[index], waiter, memory_order_release);
        (void)!wf_worker_wait(wf_self());
        RL_ASSERT(waiter->result == WOKEN || (index == 0 && waiter->result == -ECANCELED));
        atomic_store_explicit(&returned[index], 1, memory_order_release);
    }

    void wake(unsigned index)
    {
        wf_waiter *waiter;

        do {
            waiter = atomic_exchange_explicit(&places[index], nullptr, memory_order_acq_rel);
            if (waiter == nullptr)
                rl::yield(1, $);
        } while (waiter == nullptr &&
                 atomic_load_explicit(&returned[index], memory_order_acquire) == 0);
        if (waiter != nullptr)
            wf_wake(wf_self(), waiter, WOKEN);
    }

    // The fiber goes on in its own thread of the model, whoever runs it.
    void take()
    {
        weft_fiber *fiber = wf_next_take(&fibers->fibers[OWNER].worker.next);

        if (fiber != nullptr)
            wf_worker_push_ready(wf_self(), fiber);
    }

    void fiber(unsigned index)
    {
        if (index < OWNER) {
            wait(index);
        } else if (index == OWNER) {
            wake(0);
            wake(1);
            take();
        } else {
            model_cancel(0);
            take();
        }
    }

    void at_rest()
    {
        RL_ASSERT(atomic_load_explicit(&fibers->fibers[OWNER].worker.next, memory_order_relaxed) ==
                  nullptr);
    }
};

int main()
{
    bool good = model_run<next_thief>("thief");

    good = good && model_run<next_thieves>("thieves");
    good = good && model_run<next_cancel>("cancel");
    return good ? 0 : 1;
}
