// SPDX-License-Identifier: MIT
// runtime/gate.h before the queues of a worker: what the owner takes without a claim no thief takes
// too, nothing is lost, and whoever takes an item sees what it points to.
//
// The light barrier and the heavy one are full fences here.  That is more than what the two promise
// in one respect: a fence is passed by who executes it, the heavy barrier by all others as well.
#define WF_GATE_PATIENCE 3 // a thief gives up now and then
#include "runtime/gate.h"

#include "runtime/next.h"
#include "runtime/ready.h"

#include "model_deque.h"

enum heavy_barrier { IS_GRANTED, IS_GRANTED_AT_TIMES, IS_REFUSED };

static heavy_barrier heavy;

bool wf_os_barrier(void)
{
    if (heavy == IS_REFUSED || (heavy == IS_GRANTED_AT_TIMES && rl::rand(2) == 0))
        return false;
    rl::atomic_thread_fence(memory_order_seq_cst, $);
    return true;
}

// Alone it orders nothing.
void wf_barrier_light()
{
    if (heavy != IS_REFUSED)
        rl::atomic_thread_fence(memory_order_seq_cst, $);
}

enum { ITEMS = 8, CAPACITY = 8 };

struct item {
    rl::var<int> payload; // plain memory: a take that does not see the push is a data race
    rl::atomic<int> taken;
};

// The three kinds of queues: how the owner takes, alone or by a claim, and how a thief does.
struct ready_queue {
    wf_ready ready;

    void init()
    {
        model_deque_zero(&ready.queue);
        RL_ASSERT(wf_ready_init(&ready, CAPACITY));
    }

    void destroy()
    {
        wf_ready_destroy(&ready);
    }

    item *put(item *next)
    {
        RL_ASSERT(wf_ready_push(&ready, next));
        return nullptr;
    }

    item *take(bool is_alone)
    {
        return static_cast<item *>(is_alone ? wf_ready_pop_alone(&ready) : wf_ready_pop(&ready));
    }

    uint64_t steal(void **stolen)
    {
        return wf_ready_take_half(&ready, stolen, ITEMS);
    }
};

struct fresh_queue {
    wf_deque fresh;

    void init()
    {
        model_deque_zero(&fresh);
        RL_ASSERT(wf_deque_init(&fresh, CAPACITY));
    }

    void destroy()
    {
        wf_deque_destroy(&fresh);
    }

    item *put(item *next)
    {
        RL_ASSERT(wf_deque_push(&fresh, next));
        return nullptr;
    }

    item *take(bool is_alone)
    {
        return static_cast<item *>(is_alone ? wf_deque_pop_alone(&fresh) : wf_deque_pop(&fresh));
    }

    uint64_t steal(void **stolen)
    {
        stolen[0] = wf_deque_steal(&fresh);
        return stolen[0] != nullptr;
    }
};

struct next_queue {
    wf_next_slot next;

    void init()
    {
        atomic_store_explicit(&next, nullptr, memory_order_relaxed);
    }

    void destroy()
    {
    }

    // Whom it displaces is run from another queue.
    item *put(item *fiber)
    {
        return reinterpret_cast<item *>(wf_next_put(&next, reinterpret_cast<weft_fiber *>(fiber)));
    }

    item *take(bool is_alone)
    {
        return reinterpret_cast<item *>(is_alone ? wf_next_take_alone(&next) : wf_next_take(&next));
    }

    uint64_t steal(void **stolen)
    {
        stolen[0] = wf_next_take(&next);
        return stolen[0] != nullptr;
    }
};

template <typename Derived, typename Queue, rl::thread_id_t threads>
struct gate_suite : rl::test_suite<Derived, threads> {
    wf_gate gate;
    Queue queue;
    wf_thief thieves[threads]; // the first is the owner's, which needs none
    item items[ITEMS];
    int pushed;
    int64_t now;

    // `shut`: since when, 0 for open.
    void begin(bool opens, int64_t shut)
    {
        heavy = IS_GRANTED;
        atomic_store_explicit(&gate.inside, 0, memory_order_relaxed);
        wf_gate_init(&gate, opens);
        gate.shut_since = shut;
        if (shut != 0)
            atomic_store_explicit(&gate.thieves, WF_GATE_SHUT, memory_order_relaxed);
        queue.init();
        for (wf_thief &each : thieves)
            atomic_store_explicit(&each.looks, 0, memory_order_relaxed);
        for (item &each : items)
            atomic_store_explicit(&each.taken, 0, memory_order_relaxed);
        pushed = 0;
        now = 1;
    }

    void before()
    {
        begin(true, 0);
    }

    void run(item *got)
    {
        if (got == nullptr)
            return;
        RL_ASSERT(got->payload($) == 100 + static_cast<int>(got - items));
        RL_ASSERT(atomic_fetch_add_explicit(&got->taken, 1, memory_order_relaxed) == 0);
    }

    void push()
    {
        item *next = &items[pushed];

        next->payload($) = 100 + pushed;
        pushed++;
        run(queue.put(next));
    }

    // As in take.h.
    void pop()
    {
        bool is_alone = wf_gate_pass(&gate);
        item *got = queue.take(is_alone);

        if (is_alone)
            wf_gate_leave(&gate);
        run(got);
    }

    // Late enough for a gate that was seen shut in an earlier look.
    void open()
    {
        now += WF_GATE_SHUT_NS;
        wf_gate_open(&gate, now);
    }

    // As in balance.c.
    void steal(unsigned index)
    {
        void *stolen[ITEMS];
        uint64_t barriers = 0, count = 0;

        wf_thief_enter(&thieves[index]);
        if (wf_gate_shut(&gate, &barriers)) {
            count = queue.steal(stolen);
            wf_gate_withdraw(&gate);
        }
        wf_thief_leave(&thieves[index]);
        RL_ASSERT(barriers <= 1);
        for (uint64_t i = 0; i < count; i++)
            run(static_cast<item *>(stolen[i]));
    }

    void after()
    {
        item *got;

        RL_ASSERT(atomic_load_explicit(&gate.thieves, memory_order_relaxed) < WF_GATE_THIEF);
        RL_ASSERT(atomic_load_explicit(&gate.inside, memory_order_relaxed) == 0);
        while ((got = queue.take(false)) != nullptr)
            run(got);
        for (int i = 0; i < pushed; i++)
            RL_ASSERT(atomic_load_explicit(&items[i].taken, memory_order_relaxed) == 1);
        queue.destroy();
        model_heap_reset();
    }
};

// One thief comes to an open gate, and again to one that was opened meanwhile or not.
template <typename Derived, typename Queue> struct gate_thief : gate_suite<Derived, Queue, 2> {
    void thread(unsigned index)
    {
        if (index == 1) {
            this->steal(index);
            this->steal(index);
            return;
        }
        this->push();
        this->push();
        this->pop();
        this->open();
        this->push();
        this->pop();
        this->open();
        this->pop();
        this->push();
        this->pop();
    }
};

struct gate_ready : gate_thief<gate_ready, ready_queue> {
};
struct gate_fresh : gate_thief<gate_fresh, fresh_queue> {
};
struct gate_next : gate_thief<gate_next, next_queue> {
};

// The heavy barrier fails now and then.
struct gate_refused : gate_thief<gate_refused, fresh_queue> {
    void before()
    {
        gate_thief<gate_refused, fresh_queue>::before();
        heavy = IS_GRANTED_AT_TIMES;
    }
};

// There is none at all.
struct gate_shut_for_good : gate_thief<gate_shut_for_good, fresh_queue> {
    void before()
    {
        begin(false, 0);
    }

    void after()
    {
        RL_ASSERT(atomic_load_explicit(&gate.thieves, memory_order_relaxed) ==
                  (WF_GATE_SHUT | WF_GATE_REFUSED));
        gate_thief<gate_shut_for_good, fresh_queue>::after();
    }
};

// Two thieves: the second may find it shut by the first, or half shut.
template <typename Derived, typename Queue> struct gate_thieves : gate_suite<Derived, Queue, 3> {
    void before()
    {
        gate_suite<Derived, Queue, 3>::before();
        this->push();
        this->push();
    }

    void thread(unsigned index)
    {
        if (index > 0) {
            this->steal(index);
            return;
        }
        this->pop();
        this->push();
        this->pop();
        this->pop();
    }
};

struct gate_thieves_ready : gate_thieves<gate_thieves_ready, ready_queue> {
};
struct gate_thieves_fresh : gate_thieves<gate_thieves_fresh, fresh_queue> {
};
struct gate_thieves_next : gate_thieves<gate_thieves_next, next_queue> {
};

// The owner takes the only item, and the second thief has it from the first alone that it is gone.
struct gate_last : gate_suite<gate_last, fresh_queue, 3> {
    void before()
    {
        gate_suite<gate_last, fresh_queue, 3>::before();
        push();
    }

    void thread(unsigned index)
    {
        if (index > 0)
            steal(index);
        else
            pop();
    }
};

// The same where the owner has to shut the gate for a thief without a barrier.
struct gate_given_up : gate_suite<gate_given_up, fresh_queue, 2> {
    void before()
    {
        gate_suite<gate_given_up, fresh_queue, 2>::before();
        heavy = IS_REFUSED;
        push();
    }

    void thread(unsigned index)
    {
        for (int i = 0; i < 2; i++)
            if (index > 0)
                steal(index);
            else
                pop();
    }
};

// Two thieves and a gate that is shut when they come, and that the owner opens before, between or
// after them.
template <typename Derived, typename Queue> struct gate_reopened : gate_suite<Derived, Queue, 3> {
    void before()
    {
        this->begin(true, 1);
        this->push();
        this->push();
        this->push();
    }

    void thread(unsigned index)
    {
        if (index > 0) {
            this->steal(index);
            return;
        }
        this->open();
        this->pop();
        this->open();
        this->pop();
        this->open();
        this->pop();
    }
};

struct gate_reopened_ready : gate_reopened<gate_reopened_ready, ready_queue> {
};
struct gate_reopened_fresh : gate_reopened<gate_reopened_fresh, fresh_queue> {
};

int main()
{
    bool good = model_run<gate_ready>("ready");

    good = good && model_run<gate_fresh>("fresh");
    good = good && model_run<gate_next>("next");
    good = good && model_run<gate_refused>("refused");
    good = good && model_run<gate_shut_for_good>("shut for good");
    good = good && model_run<gate_thieves_ready>("thieves, ready");
    good = good && model_run<gate_thieves_fresh>("thieves, fresh");
    good = good && model_run<gate_thieves_next>("thieves, next");
    good = good && model_run<gate_last>("last");
    good = good && model_run<gate_given_up>("given up");
    good = good && model_run<gate_reopened_ready>("reopened, ready");
    good = good && model_run<gate_reopened_fresh>("reopened, fresh");
    return good ? 0 : 1;
}
