// SPDX-License-Identifier: MIT
// runtime/ready.h: every item is taken exactly once, in the order of the pushes as far as one taker
// sees it, and whoever takes it sees what it points to.
#include "runtime/ready.h"

#include "model_deque.h"

enum { ITEMS = 9 };

struct item {
    rl::var<int> payload; // plain memory: a take that does not see the push is a data race
    rl::atomic<int> taken;
};

// `capacity` at the start: 4 goes round without growing, 2 grows.
template <typename Derived, rl::thread_id_t threads, int capacity>
struct ready_suite : rl::test_suite<Derived, threads> {
    wf_ready ready;
    wf_thief thieves[threads]; // the first is the owner's, which needs none
    item items[ITEMS];
    int pushed;

    void before()
    {
        model_deque_zero(&ready.queue);
        for (wf_thief &each : thieves)
            atomic_store_explicit(&each.looks, 0, memory_order_relaxed);
        RL_ASSERT(wf_ready_init(&ready, capacity));
        for (item &each : items)
            atomic_store_explicit(&each.taken, 0, memory_order_relaxed);
        pushed = 0;
    }

    void push()
    {
        item *next = &items[pushed];

        next->payload($) = 100 + pushed;
        RL_ASSERT(wf_ready_push(&ready, next));
        pushed++;
    }

    // Returns the number of the item, or -1.
    int take(void *taken)
    {
        item *got = static_cast<item *>(taken);

        if (got == nullptr)
            return -1;
        RL_ASSERT(got->payload($) == 100 + static_cast<int>(got - items));
        RL_ASSERT(atomic_fetch_add_explicit(&got->taken, 1, memory_order_relaxed) == 0);
        return static_cast<int>(got - items);
    }

    int pop(int after)
    {
        int number = take(wf_ready_pop(&ready));

        RL_ASSERT(number < 0 || number > after);
        return number < 0 ? after : number;
    }

    int take_half(unsigned index, int after, uint64_t limit)
    {
        void *stolen[ITEMS];
        uint64_t count;

        wf_thief_enter(&thieves[index]);
        count = wf_ready_take_half(&ready, stolen, limit);
        wf_thief_leave(&thieves[index]);

        RL_ASSERT(count <= limit);
        for (uint64_t i = 0; i < count; i++) {
            int number = take(stolen[i]);

            RL_ASSERT(number > after);
            after = number;
        }
        return after;
    }

    void after()
    {
        while (take(wf_ready_pop(&ready)) >= 0)
            continue;
        RL_ASSERT(wf_ready_size(&ready) == 0);
        for (int i = 0; i < pushed; i++)
            RL_ASSERT(atomic_load_explicit(&items[i].taken, memory_order_relaxed) == 1);
        wf_ready_destroy(&ready);
        model_heap_reset();
    }
};

// One thief takes halves while the owner goes round the ring.
struct ready_round : ready_suite<ready_round, 2, 4> {
    void thread(unsigned index)
    {
        int last = -1;

        if (index == 1) {
            for (int i = 0; i < 3; i++)
                last = take_half(index, last, ITEMS);
            return;
        }
        for (int i = 0; i < 4; i++)
            push();
        last = pop(last);
        last = pop(last);
        push();
        push();
        last = pop(last);
        push();
        push();
        last = pop(last);
        pop(last);
    }
};

// Two thieves, one of them greedy, and an owner whose queue grows under their hands.
struct ready_thieves : ready_suite<ready_thieves, 3, 2> {
    void thread(unsigned index)
    {
        int last = -1;

        if (index > 0) {
            last = take_half(index, last, index == 1 ? ITEMS : 1);
            take_half(index, last, ITEMS);
            return;
        }
        for (int i = 0; i < 6; i++)
            push();
        last = pop(last);
        push();
        last = pop(last);
        push();
        pop(last);
    }
};

// As in the model of the deque: it has grown, shrinks, and grows again.
struct ready_shrink : ready_suite<ready_shrink, 2, 2> {
    void before()
    {
        ready_suite<ready_shrink, 2, 2>::before();
        for (int i = 0; i < 3; i++)
            push();
        pop(pop(-1));
    }

    void thread(unsigned index)
    {
        if (index == 1) {
            take_half(index, take_half(index, 1, ITEMS), ITEMS);
            return;
        }
        RL_ASSERT(wf_deque_shrink(&ready.queue, 1));
        wf_deque_clean(&ready.queue, !wf_thief_looks(&thieves[1]), false);
        for (int i = 0; i < 3; i++)
            push();
        wf_deque_clean(&ready.queue, !wf_thief_looks(&thieves[1]), false);
        pop(1);
    }
};

int main()
{
    bool good = model_run<ready_round>("round");

    good = good && model_run<ready_thieves>("thieves");
    good = good && model_run<ready_shrink>("shrink");
    return good ? 0 : 1;
}
