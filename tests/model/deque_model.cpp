// SPDX-License-Identifier: MIT
// runtime/deque.h: every item is taken exactly once, and whoever takes it sees what it points to.
//
// The scenarios are longer than they look they need be: with two steals and three pops, mutants
// survive that three steals and four pops kill within a few hundred executions.
#include "model_deque.h"

enum { ITEMS = 8, CAPACITY = 2 };

struct item {
    rl::var<int> payload; // plain memory: a take that does not see the push is a data race
    rl::atomic<int> taken;
};

template <typename Derived, rl::thread_id_t threads>
struct deque_suite : rl::test_suite<Derived, threads> {
    wf_deque deque;
    wf_thief thieves[threads]; // the first is the owner's, which needs none
    item items[ITEMS];
    int pushed;

    void before()
    {
        model_deque_zero(&deque);
        for (wf_thief &each : thieves)
            atomic_store_explicit(&each.looks, 0, memory_order_relaxed);
        for (item &each : items)
            atomic_store_explicit(&each.taken, 0, memory_order_relaxed);
        pushed = 0;
        RL_ASSERT(wf_deque_init(&deque, CAPACITY));
    }

    void push()
    {
        item *next = &items[pushed];

        next->payload($) = 100 + pushed;
        pushed++;
        RL_ASSERT(wf_deque_push(&deque, next));
    }

    bool take(void *taken)
    {
        item *got = static_cast<item *>(taken);

        if (got == nullptr)
            return false;
        RL_ASSERT(got->payload($) == 100 + static_cast<int>(got - items));
        RL_ASSERT(atomic_fetch_add_explicit(&got->taken, 1, memory_order_relaxed) == 0);
        return true;
    }

    void pop()
    {
        take(wf_deque_pop(&deque));
    }

    void steal(unsigned index, int times)
    {
        wf_thief_enter(&thieves[index]);
        for (int i = 0; i < times; i++)
            take(wf_deque_steal(&deque));
        wf_thief_leave(&thieves[index]);
    }

    // As in trim.c.
    void clean()
    {
        bool may = true;

        for (unsigned i = 1; i < threads; i++)
            may = may && !wf_thief_looks(&thieves[i]);
        wf_deque_clean(&deque, may, false);
    }

    void after()
    {
        while (take(wf_deque_pop(&deque)))
            continue;
        RL_ASSERT(wf_deque_size(&deque) == 0);
        for (int i = 0; i < pushed; i++)
            RL_ASSERT(atomic_load_explicit(&items[i].taken, memory_order_relaxed) == 1);
        wf_deque_destroy(&deque);
        model_heap_reset();
    }
};

// Two items at most: the race for the last one, and slots that are used again.
struct deque_short : deque_suite<deque_short, 2> {
    void thread(unsigned index)
    {
        if (index == 1) {
            steal(index, 3);
            return;
        }
        push();
        push();
        pop();
        pop();
        push();
        pop();
        push();
        push();
        pop();
    }
};

// The same against two thieves, which also race with each other.
struct deque_thieves : deque_suite<deque_thieves, 3> {
    void thread(unsigned index)
    {
        if (index > 0) {
            steal(index, 2);
            return;
        }
        push();
        push();
        pop();
        push();
        pop();
        pop();
        push();
        pop();
    }
};

// Growth while the ring is wrapped round: the owner first steals one item from itself, as the
// scheduler does for fairness.
struct deque_growth : deque_suite<deque_growth, 3> {
    void thread(unsigned index)
    {
        if (index > 0) {
            steal(index, 2);
            return;
        }
        push();
        push();
        take(wf_deque_steal(&deque));
        push();
        push();
        push();
        pop();
        pop();
        push();
        pop();
    }
};

// The first growth of all: few steps, so that a thief often stands between its look at `bottom` and
// its look at the buffer when the buffer changes.
struct deque_first_growth : deque_suite<deque_first_growth, 2> {
    void before()
    {
        deque_suite<deque_first_growth, 2>::before();
        wf_deque_destroy(&deque);
        atomic_store_explicit(&deque.buffer, wf_deque_buffer_create(1), memory_order_relaxed);
        push();
    }

    void thread(unsigned index)
    {
        if (index == 1) {
            steal(index, 3);
            return;
        }
        push();
        push();
        pop();
        pop();
    }
};

// It has grown, shrinks and grows again, and frees what it has left: thieves come and go, and stand
// in buffers that are not used any more.
struct deque_shrink : deque_suite<deque_shrink, 2> {
    void before()
    {
        deque_suite<deque_shrink, 2>::before();
        push();
        push();
        push();
        pop();
        pop();
        wf_deque_free_retired(&deque);
    }

    void thread(unsigned index)
    {
        if (index == 1) {
            steal(index, 1);
            steal(index, 1);
            steal(index, 1);
            return;
        }
        RL_ASSERT(wf_deque_shrink(&deque, 1));
        clean();
        push();
        push();
        clean();
        push();
        pop();
    }
};

int main()
{
    bool good = model_run<deque_short>("short");

    good = good && model_run<deque_thieves>("thieves");
    good = good && model_run<deque_growth>("growth");
    good = good && model_run<deque_first_growth>("first growth");
    good = good && model_run<deque_shrink>("shrink");
    return good ? 0 : 1;
}
