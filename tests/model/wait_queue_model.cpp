// SPDX-License-Identifier: MIT
// sync/wait_queue.h and .c over runtime/wait.c: a wait ends by its waker or by a cancel, exactly
// once, with what the waker handed over in the first case and with the entry out of the queue in
// the second.  A wait in two places has one winner, and nobody looks at its entries once it has
// left.  A wait with a claim is over for the object when its entry has been taken out.
#include "model_fibers.h"

#include "sync/wait_queue.h"

#define wf_wait_claim_lost library_claim_lost
void wf_wait_claim_lost(struct wf_wait_claim *claim);
#include "sync/wait_queue.c"
#undef wf_wait_claim_lost

// Stands for the entry that a waker drops, which is plain data to Relacy.
static rl::var<int> *dropped;

void wf_wait_claim_lost(struct wf_wait_claim *claim)
{
    if (dropped != nullptr)
        (*dropped)($) = 1;
    library_claim_lost(claim);
}

enum { WOKEN = 7 };

struct object {
    wf_lock lock;
    wf_wait_queue queue;
    rl::var<int> permits; // under the lock

    void init()
    {
        atomic_store_explicit(&lock.word, WF_LOCK_FREE, memory_order_relaxed);
        queue.first = nullptr;
        permits($) = 0;
    }

    // Takes a permit, or waits for one.
    int wait()
    {
        static const wf_wait_kind kind = {"a permit", 0, 0};
        wf_wait_entry entry = {};

        wf_lock_acquire(&lock);
        if (permits($) > 0) {
            permits($) = permits($) - 1;
            wf_lock_release(&lock);
            return WOKEN;
        }
        return wf_wait_queue_sleep(wf_self(), &queue, &lock, &entry, INT64_MAX, &kind);
    }

    // Gives a permit to the one that has waited longest.
    void post()
    {
        wf_wait_entry *entry;

        wf_lock_acquire(&lock);
        entry = wf_wait_queue_take(&queue);
        if (entry == nullptr)
            permits($) = permits($) + 1;
        wf_lock_release(&lock);
        if (entry != nullptr)
            wf_wake(wf_self(), entry->waiter, WOKEN);
    }
};

// Two fibers wait, one of them is cancelled; two permits are given.
struct queue_cancel : fiber_suite<queue_cancel, 4> {
    object place;
    rl::var<int> got[2];

    void setup()
    {
        place.init();
        got[0]($) = got[1]($) = 0;
    }

    void fiber(unsigned index)
    {
        if (index < 2) {
            got[index]($) = place.wait();
        } else if (index == 2) {
            place.post();
            place.post();
        } else {
            model_cancel(0);
        }
    }

    void at_rest()
    {
        int taken = (got[0]($) == WOKEN) + (got[1]($) == WOKEN);

        RL_ASSERT(got[0]($) == WOKEN || got[0]($) == -ECANCELED);
        RL_ASSERT(got[1]($) == WOKEN);
        RL_ASSERT(place.permits($) + taken == 2);
        RL_ASSERT(wf_wait_queue_is_empty(&place.queue));
    }
};

static bool interrupt_claim(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)reason;
    return wf_wait_claim_take(static_cast<wf_wait_claim *>(waiter->place), WF_WAIT_INTERRUPTED);
}

struct frame {
    wf_wait_claim claim;
    wf_wait_entry entries[2];
};

// A fiber waits in two places at once, a permit comes to each, and it is cancelled.
struct queue_two_places : fiber_suite<queue_two_places, 4> {
    object places[2];
    rl::var<int> result;

    void setup()
    {
        places[0].init();
        places[1].init();
        result($) = 0;
    }

    int wait()
    {
        wf_worker *self = wf_self();
        frame *own = static_cast<frame *>(model_alloc(sizeof *own));
        wf_waiter *waiter;
        wf_wait_entry *winner;

        atomic_init(&own->claim.winner, nullptr);
        for (object &place : places)
            wf_lock_acquire(&place.lock);
        waiter = wf_wait_begin(self, interrupt_claim, &own->claim);
        for (int i = 0; i < 2; i++) {
            own->entries[i].waiter = waiter;
            own->entries[i].claim = &own->claim;
            if (places[i].permits($) > 0) {
                places[i].permits($) = places[i].permits($) - 1;
                for (int j = 0; j < i; j++)
                    (void)wf_wait_queue_remove(&places[j].queue, &own->entries[j]);
                for (object &place : places)
                    wf_lock_release(&place.lock);
                return WOKEN;
            }
            wf_wait_queue_push(&places[i].queue, &own->entries[i]);
        }
        for (object &place : places)
            wf_lock_release(&place.lock);
        self = wf_wait_end(self, INT64_MAX);
        for (int i = 0; i < 2; i++) {
            wf_lock_acquire(&places[i].lock);
            (void)wf_wait_queue_remove(&places[i].queue, &own->entries[i]);
            wf_lock_release(&places[i].lock);
        }
        winner = atomic_load_explicit(&own->claim.winner, memory_order_relaxed);
        RL_ASSERT(winner != nullptr);
        RL_ASSERT((winner == WF_WAIT_INTERRUPTED) == (waiter->result == -ECANCELED));
        model_free(own); // whoever still looks at the claim is reported
        return waiter->result;
    }

    void fiber(unsigned index)
    {
        if (index == 0)
            result($) = wait();
        else if (index < 3)
            places[index - 1].post();
        else
            model_cancel(0);
    }

    void at_rest()
    {
        int taken = result($) == WOKEN;

        RL_ASSERT(result($) == WOKEN || result($) == -ECANCELED);
        RL_ASSERT(places[0].permits($) + places[1].permits($) + taken == 2);
        RL_ASSERT(wf_wait_queue_is_empty(&places[0].queue));
        RL_ASSERT(wf_wait_queue_is_empty(&places[1].queue));
    }
};

// What everybody waits for, and whoever came through frees.
struct shared_gate {
    wf_lock lock;
    wf_wait_queue queue;
    int is_open; // under the lock, as the next one
    int has_come;
};

static int pass(shared_gate *gate, wf_worker *self, int64_t deadline)
{
    static const wf_wait_kind kind = {"a gate", 0, 0};
    wf_wait_entry entry = {};

    wf_lock_acquire(&gate->lock);
    gate->has_come++;
    if (!gate->is_open)
        return wf_wait_queue_sleep_claimed_asked(self, &gate->queue, &gate->lock, &entry, deadline,
                                                 &kind);
    wf_lock_release(&gate->lock);
    return WOKEN;
}

static bool open_for(shared_gate *gate, int count)
{
    wf_wait_entry *list = nullptr;
    bool is_open;

    wf_lock_acquire(&gate->lock);
    gate->is_open = is_open = gate->has_come == count;
    if (is_open)
        list = wf_wait_queue_take_all(&gate->queue);
    wf_lock_release(&gate->lock);
    wf_wait_queue_wake_list(wf_self(), list, WOKEN);
    return is_open;
}

// Two wait.  One of them is interrupted while a third wakes both; the other one frees what they
// have waited for.
template <typename T, unsigned THREADS> struct queue_freed : fiber_suite<T, THREADS> {
    shared_gate *gate;
    rl::var<int> frame;
    rl::var<int> result;

    void setup()
    {
        gate = static_cast<shared_gate *>(model_alloc(sizeof *gate));
        atomic_init(&gate->lock.word, WF_LOCK_FREE);
        frame($) = 0;
        dropped = &frame;
    }

    void interrupted(wf_worker *self, int64_t deadline)
    {
        int own = pass(gate, self, deadline);

        if (own != WOKEN)
            frame($) = 2; // its frame is used again
        result($) = own;
    }

    void fiber(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(pass(gate, wf_self(), INT64_MAX) == WOKEN);
            model_free(gate);
        } else if (index == 1) {
            static_cast<T *>(this)->wait();
        } else if (index == 2) {
            while (!open_for(gate, 2))
                rl::yield(1, $);
        } else {
            model_cancel(1);
        }
    }

    void at_rest()
    {
        RL_ASSERT(result($) == WOKEN || result($) == T::REASON);
        dropped = nullptr;
    }
};

struct queue_freed_by_cancel : queue_freed<queue_freed_by_cancel, 4> {
    enum { REASON = -ECANCELED };

    void wait()
    {
        interrupted(wf_self(), INT64_MAX);
    }
};

struct queue_freed_by_deadline : queue_freed<queue_freed_by_deadline, 3> {
    enum { REASON = -ETIMEDOUT };

    void wait()
    {
        interrupted(nullptr, 0); // as a plain thread does
    }
};

int main()
{
    bool good = model_run<queue_cancel>("cancel");

    good = good && model_run<queue_two_places>("two places");
    good = good && model_run<queue_freed_by_cancel>("freed, cancel");
    good = good && model_run<queue_freed_by_deadline>("freed, deadline");
    return good ? 0 : 1;
}
