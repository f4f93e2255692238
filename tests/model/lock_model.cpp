// SPDX-License-Identifier: MIT
// runtime/lock.c: the holder is alone and sees what earlier holders did, and no waiter sleeps for
// ever.  Compiled as it is, over a futex that compares and sleeps in one step.
#define WF_LOCK_SPINS 1

#include "runtime/lock.c"

#include "model.h"

static rl::mutex *futex_mutex;
static rl::condition_variable *futex_changed;

void wf_os_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline)
{
    RL_ASSERT(deadline == INT64_MAX);
    futex_mutex->lock($);
    // relaxed: the kernel's own lock orders this against the wake; the value may not be old.
    if (word->fetch_add(0, memory_order_relaxed, $) == expected)
        futex_changed->wait(*futex_mutex, $);
    futex_mutex->unlock($);
}

void wf_os_futex_wake(WF_ATOMIC(uint32_t) * word, int count)
{
    (void)word;
    RL_ASSERT(count == 1);
    futex_mutex->lock($);
    futex_changed->notify_one($);
    futex_mutex->unlock($);
}

struct lock_three : rl::test_suite<lock_three, 3> {
    wf_lock lock;
    rl::var<int> inside; // plain memory: two holders at once are a data race
    rl::mutex mutex;
    rl::condition_variable changed;

    void before()
    {
        atomic_store_explicit(&lock.word, WF_LOCK_FREE, memory_order_relaxed);
        inside($) = 0;
        futex_mutex = &mutex;
        futex_changed = &changed;
    }

    void thread(unsigned index)
    {
        (void)index;
        for (int i = 0; i < 2; i++) {
            wf_lock_acquire(&lock);
            inside($) = inside($) + 1;
            wf_lock_release(&lock);
        }
    }

    void after()
    {
        RL_ASSERT(inside($) == 6);
        RL_ASSERT(atomic_load_explicit(&lock.word, memory_order_relaxed) == WF_LOCK_FREE);
    }
};

int main()
{
    return model_run<lock_three>("three") ? 0 : 1;
}
