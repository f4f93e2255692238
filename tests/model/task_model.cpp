// SPDX-License-Identifier: MIT
// runtime/split.h: every task runs exactly once, the thief sees what the owner wrote for it, the
// joiner sees what the thief did, a joiner that an interrupter takes out is woken once for each
// wait, and a sleeper is woken for what is shared (Relacy reports that as a deadlock).
#include "runtime/split.h"

#include "model.h"

enum { TASKS = 6, SLOTS = 4 }; // the slot below the first is one of them

struct model_task {
    wf_task base; // first
    rl::var<int> argument;
    rl::var<int> result;
    rl::atomic<int> runs;
};

struct model_waiter {
    rl::var<int> number; // what a waiter holds for its waker
    rl::mutex mutex;
    rl::condition_variable changed;
    rl::var<int> woken;
};

template <typename Derived, rl::thread_id_t threads>
struct task_suite : rl::test_suite<Derived, threads> {
    wf_split split;
    wf_task *slots[SLOTS];
    wf_task **head;
    model_task tasks[TASKS];
    model_waiter waiter;

    void before()
    {
        for (wf_task *&slot : slots)
            slot = nullptr;
        wf_split_init(&split, slots, SLOTS);
        head = split.first;
        for (model_task &task : tasks) {
            atomic_store_explicit(&task.base.state, nullptr, memory_order_relaxed);
            atomic_store_explicit(&task.runs, 0, memory_order_relaxed);
        }
        waiter.woken($) = 0;
    }

    void run(model_task *task)
    {
        task->result($) = task->argument($) * 2;
        RL_ASSERT(atomic_fetch_add_explicit(&task->runs, 1, memory_order_relaxed) == 0);
    }

    // The owner's fork: what the public header and weft_task_fork_slow() do.
    void fork(int index)
    {
        wf_task *task = &tasks[index].base;

        tasks[index].argument($) = 100 + index;
        if (head < atomic_load_explicit(&split.limit, memory_order_relaxed)) {
            *head++ = task;
        } else if (head == split.end) {
            atomic_store_explicit(&task->state, WF_TASK_IN_PLACE, memory_order_relaxed);
        } else {
            *head++ = task;
            wf_split_watch(&split, false);
            if (!wf_split_has_shared(&split))
                wf_split_share(&split, (wf_split_private(&split, head) + 1) / 2);
        }
    }

    void wait_for(wf_task *task)
    {
        waiter.number($) = 7;
        while (!wf_task_is_done(task) && wf_task_await(task, &waiter)) {
            waiter.mutex.lock($);
            while (waiter.woken($) == 0)
                waiter.changed.wait(waiter.mutex, $);
            waiter.woken($) = 0;
            waiter.mutex.unlock($);
            waiter.number($) = 7;
        }
    }

    void wake()
    {
        waiter.mutex.lock($);
        RL_ASSERT(waiter.woken($) == 0);
        waiter.woken($) = 1;
        waiter.changed.notify_all($);
        waiter.mutex.unlock($);
    }

    void join(int index)
    {
        wf_task *task = &tasks[index].base;

        if (head[-1] == task) {
            *--head = nullptr;
            run(&tasks[index]);
        } else if (head[-1] != wf_split_mark(task)) {
            RL_ASSERT(atomic_load_explicit(&task->state, memory_order_relaxed) == WF_TASK_IN_PLACE);
            run(&tasks[index]);
        } else if (wf_split_take_back(&split, head)) {
            *--head = nullptr;
            run(&tasks[index]);
        } else {
            wait_for(task);
            wf_split_forget(&split, head--);
        }
        RL_ASSERT(tasks[index].result($) == 2 * (100 + index));
        RL_ASSERT(atomic_load_explicit(&tasks[index].runs, memory_order_relaxed) == 1);
    }

    // The owner parks: all that it has is shared.
    void park()
    {
        RL_ASSERT(wf_split_head(&split) == head);
        wf_split_share(&split, wf_split_private(&split, head));
    }

    void carry_out(wf_task *task)
    {
        void *left;

        run(reinterpret_cast<model_task *>(task));
        left = wf_task_complete(task);
        if (left == nullptr)
            return;
        RL_ASSERT(left == &waiter && waiter.number($) == 7);
        wake();
    }

    void steal()
    {
        wf_task *task = wf_split_claim(&split);

        if (task == nullptr)
            wf_split_ask(&split);
        else
            carry_out(task);
    }

    void after()
    {
        RL_ASSERT(head == split.first && *head == nullptr);
        RL_ASSERT(atomic_load_explicit(&split.shared, memory_order_relaxed) == 0);
    }
};

// Forks and joins as a tree makes them, against one thief: slots and the word that holds tail and
// split have the same values again and again.
struct task_tree : task_suite<task_tree, 2> {
    void thread(unsigned index)
    {
        if (index == 1) {
            for (int i = 0; i < 3; i++)
                steal();
            return;
        }
        fork(0);
        fork(1);
        join(1);
        fork(2);
        fork(3);
        join(3);
        join(2);
        join(0);
        fork(4);
        park();
        join(4);
    }
};

// The word of tail and split is the same twice, with another task behind it: few steps, so that the
// thief often stands between its look and its claim meanwhile.
struct task_again : task_suite<task_again, 2> {
    void before()
    {
        task_suite<task_again, 2>::before();
        fork(0);
        tasks[1].argument($) = 101;
    }

    void thread(unsigned index)
    {
        if (index == 1) {
            steal();
            return;
        }
        if (wf_split_take_back(&split, head))
            run(&tasks[0]);
        else {
            wait_for(&tasks[0].base);
            wf_split_forget(&split, head);
        }
        *(head - 1) = &tasks[1].base;
        wf_split_share(&split, 1);
        join(1);
    }
};

// Two thieves, which also race with each other; the third fork finds the deque full after a park.
struct task_thieves : task_suite<task_thieves, 3> {
    void thread(unsigned index)
    {
        if (index > 0) {
            steal();
            steal();
            return;
        }
        fork(0);
        fork(1);
        park();
        fork(2);
        fork(3);
        join(3);
        join(2);
        join(1);
        join(0);
        fork(4);
        fork(5);
        join(5);
        join(4);
    }
};

// A deadline and a cancel take the joiner out, each once, while the thief completes the task: it
// waits again each time, and whoever has it wakes it.
struct task_withdrawn : task_suite<task_withdrawn, 3> {
    wf_task *stolen;

    void before()
    {
        task_suite<task_withdrawn, 3>::before();
        fork(0);
        stolen = wf_split_claim(&split);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            join(0);
        } else if (index == 1) {
            carry_out(stolen);
        } else {
            for (int i = 0; i < 2; i++)
                if (wf_task_withdraw(&tasks[0].base, &waiter))
                    wake();
        }
    }
};

// Share, then look who sleeps; announce the sleep, then look for tasks (park.c's PK.1).
struct task_sleep : task_suite<task_sleep, 2> {
    rl::atomic<int> sleeping;

    void before()
    {
        task_suite<task_sleep, 2>::before();
        atomic_store_explicit(&sleeping, 0, memory_order_relaxed);
    }

    void wake_sleeper()
    {
        waiter.mutex.lock($);
        waiter.woken($) = 1;
        waiter.changed.notify_all($);
        waiter.mutex.unlock($);
    }

    void thread(unsigned index)
    {
        if (index == 1) {
            atomic_fetch_add_explicit(&sleeping, 1, memory_order_seq_cst);
            if (!wf_split_has_shared(&split)) {
                waiter.mutex.lock($);
                while (waiter.woken($) == 0)
                    waiter.changed.wait(waiter.mutex, $);
                waiter.mutex.unlock($);
            }
            run(reinterpret_cast<model_task *>(wf_split_claim(&split)));
            return;
        }
        tasks[0].argument($) = 100;
        *head++ = &tasks[0].base;
        wf_split_share(&split, 1);
        if (atomic_load_explicit(&sleeping, memory_order_seq_cst) != 0)
            wake_sleeper();
    }

    void after()
    {
        RL_ASSERT(atomic_load_explicit(&tasks[0].runs, memory_order_relaxed) == 1);
    }
};

int main()
{
    bool good = model_run<task_tree>("tree");

    good = good && model_run<task_again>("again");
    good = good && model_run<task_thieves>("thieves");
    good = good && model_run<task_withdrawn>("withdrawn");
    good = good && model_run<task_sleep>("sleep");
    return good ? 0 : 1;
}
