// SPDX-License-Identifier: MIT
// runtime/park.c and runtime/inject.c: a push and a sleep do not both go unseen, so no worker
// sleeps for ever while there is work (Relacy reports that as a deadlock), and the counts end at
// zero.
//
// The two files are compiled as they are.  The steps of a worker are those of find_next(),
// receive_injected(), find_elsewhere() and sleep_for_work() in runtime/worker.c without fresh
// fibers, stealing, timers and I/O; those of a producer are wf_worker_inject() and
// wf_worker_notify() there, and wf_outside_push() in runtime/outside.c; the end of the work is that
// of a run, wf_end_check() in runtime/end.c.
#include "model.h"
#include "model_lock.h"

#include "runtime/inject.c"
#include "runtime/park.c"
#include "runtime/watcher.h"

// Where a worker sleeps: an interrupt ends the sleep under way, or the next one.
struct poller {
    rl::mutex mutex;
    rl::condition_variable changed;
    rl::var<bool> interrupted;

    void reset()
    {
        interrupted($) = false;
    }

    void wait()
    {
        mutex.lock($);
        while (!interrupted($))
            changed.wait(mutex, $);
        interrupted($) = false;
        mutex.unlock($);
    }

    void interrupt()
    {
        mutex.lock($);
        interrupted($) = true;
        changed.notify_one($);
        mutex.unlock($);
    }
};

enum { WORKERS = 2, NODES = 3 };

struct work {
    wf_node node;
    rl::var<int> payload;
    rl::var<bool> done;
};

// What a worker has taken out of the injector and not done yet, which nobody steals here.
struct ready_queue {
    work *works[NODES];
    int first, end;
};

template <typename Derived, rl::thread_id_t threads>
struct park_suite : rl::test_suite<Derived, threads> {
    wf_park park;
    wf_parker parkers[WORKERS];
    wf_inject inject;
    poller pollers[WORKERS];
    rl::atomic<int> left; // work not yet done; the workers leave at zero
    work works[NODES];
    ready_queue ready[WORKERS];

    void set_up(int worker_count, int work_count)
    {
        park.worker_count = static_cast<uint32_t>(worker_count);
        atomic_store_explicit(&park.sleeping, 0, memory_order_relaxed);
        atomic_store_explicit(&park.searching, 0, memory_order_relaxed);
        atomic_store_explicit(&inject.lock.word, WF_LOCK_FREE, memory_order_relaxed);
        inject.head = nullptr;
        inject.tail = nullptr;
        atomic_store_explicit(&inject.count, 0, memory_order_relaxed);
        atomic_store_explicit(&left, work_count, memory_order_relaxed);
        for (int i = 0; i < WORKERS; i++) {
            atomic_store_explicit(&parkers[i].state, WF_PARKER_AWAKE, memory_order_relaxed);
            pollers[i].reset();
            ready[i].first = ready[i].end = 0;
        }
        for (work &each : works)
            each.done($) = false;
    }

    bool notify(int worker)
    {
        if (!wf_park_notify(&park, &parkers[worker]))
            return false;
        pollers[worker].interrupt();
        return true;
    }

    // wf_worker_inject()
    void produce(int number)
    {
        works[number].payload($) = number;
        wf_inject_push(&inject, &works[number].node, &works[number].node, 1);
        if (wf_park_all_asleep(&park))
            for (int i = 0; i < static_cast<int>(park.worker_count) && !notify(i); i++)
                continue;
    }

    // Carries out the work; whoever does the last wakes the others, as the end of a run does.
    void finish(work *done, int self)
    {
        RL_ASSERT(done->payload($) == static_cast<int>(done - works));
        RL_ASSERT(!done->done($));
        done->done($) = true;
        if (atomic_fetch_sub_explicit(&left, 1, memory_order_seq_cst) > 1)
            return;
        for (int i = 0; i < static_cast<int>(park.worker_count); i++)
            if (i != self)
                notify(i);
    }

    // wf_ready_pop()
    work *pop_ready(int self)
    {
        ready_queue *own = &ready[self];

        return own->first < own->end ? own->works[own->first++] : nullptr;
    }

    // receive_injected(), then the first of the share
    work *take_injected(int self)
    {
        ready_queue *own = &ready[self];
        wf_node *node = wf_inject_take(&inject, wf_inject_size(&inject) / park.worker_count + 1);

        while (node != nullptr) {
            RL_ASSERT(own->end < NODES);
            own->works[own->end++] = reinterpret_cast<work *>(node);
            node = node->next;
        }
        return pop_ready(self);
    }

    bool is_done()
    {
        return atomic_load_explicit(&left, memory_order_seq_cst) == 0;
    }

    // sleep_for_work(); true if a notifier ended the sleep.
    bool sleep(int self, work **found)
    {
        wf_park_announce(&park, &parkers[self]);
        *found = take_injected(self);
        if (*found == nullptr && !is_done())
            pollers[self].wait();
        return wf_park_retract(&park, &parkers[self]);
    }

    void work_until_done(int self)
    {
        while (!is_done()) {
            work *found = pop_ready(self);

            if (found == nullptr)
                found = take_injected(self);
            if (found == nullptr && sleep(self, &found))
                wf_park_end_search(&park);
            if (found != nullptr)
                finish(found, self);
        }
    }

    void after()
    {
        RL_ASSERT(atomic_load_explicit(&left, memory_order_relaxed) == 0);
        RL_ASSERT(atomic_load_explicit(&park.sleeping, memory_order_relaxed) == 0);
        RL_ASSERT(atomic_load_explicit(&park.searching, memory_order_relaxed) == 0);
        RL_ASSERT(wf_inject_size(&inject) == 0);
    }
};

// A thread that is no worker pushes while the only worker goes to sleep.
struct park_one : park_suite<park_one, 2> {
    void before()
    {
        set_up(1, 2);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            work_until_done(0);
            return;
        }
        produce(0);
        produce(1);
    }
};

// The same with two workers: each may take the other for awake.
struct park_two : park_suite<park_two, 3> {
    void before()
    {
        set_up(2, 3);
    }

    void thread(unsigned index)
    {
        if (index < 2) {
            work_until_done(static_cast<int>(index));
            return;
        }
        produce(0);
        produce(1);
        produce(2);
    }
};

// PK.3: a worker that was notified sees what the notifier wrote, without another look at a word.
struct park_publish : park_suite<park_publish, 3> {
    rl::var<int> published;
    rl::atomic<int> notified;

    void before()
    {
        set_up(1, 0);
        atomic_store_explicit(&notified, 0, memory_order_relaxed);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            for (int i = 0; i < 3; i++) {
                wf_park_announce(&park, &parkers[0]);
                if (wf_park_retract(&park, &parkers[0])) {
                    RL_ASSERT(published($) == 7);
                    wf_park_end_search(&park);
                    return;
                }
            }
        } else if (index == 1) {
            published($) = 7;
            if (wf_park_notify(&park, &parkers[0]))
                // relaxed: only counted at the end.
                atomic_fetch_add_explicit(&notified, 1, memory_order_relaxed);
        } else {
            if (wf_park_begin_search(&park))
                wf_park_end_search(&park);
        }
    }
};

// MN.1: the monitor does not sleep for good while a worker is awake.  The worker sleeps, wakes by
// itself, and goes on only when the monitor has looked at it.
struct park_watch : park_suite<park_watch, 2> {
    wf_watcher watcher;
    poller monitor;

    void before()
    {
        set_up(1, 0);
        monitor.reset();
        atomic_store_explicit(&watcher.state, WF_WATCHER_AWAKE, memory_order_relaxed);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            wf_park_announce(&park, &parkers[0]);
            RL_ASSERT(!wf_park_retract(&park, &parkers[0]));
            // wf_monitor_rouse()
            if (wf_watcher_is_dozing(&watcher) && wf_watcher_end_sleep(&watcher))
                monitor.interrupt();
            pollers[0].wait();
        } else {
            // doze(), then a look
            wf_watcher_doze(&watcher);
            if (wf_watcher_sees_asleep(&parkers[0]))
                monitor.wait();
            (void)wf_watcher_end_sleep(&watcher);
            pollers[0].interrupt();
        }
    }
};

int main()
{
    bool good = model_run<park_one>("one");

    good = good && model_run<park_two>("two");
    good = good && model_run<park_publish>("publish");
    good = good && model_run<park_watch>("watch");
    return good ? 0 : 1;
}
