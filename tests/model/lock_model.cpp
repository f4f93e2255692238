// SPDX-License-Identifier: MIT
// runtime/lock.c: the holder is alone and sees what earlier holders did.  Compiled as it is, over
// naps that end by themselves: nobody is woken, so nobody may sleep for good.
#define WF_LOCK_SPINS 1

#include "runtime/lock.c"

#include "model.h"

int64_t wf_os_now()
{
    return 0;
}

void wf_os_futex_wait(WF_ATOMIC(uint32_t) * word, uint32_t expected, int64_t deadline)
{
    (void)word;
    RL_ASSERT(expected == WF_LOCK_HELD);
    RL_ASSERT(deadline > 0 && deadline < 1000000);
    rl::yield(1, $);
}

struct lock_three : rl::test_suite<lock_three, 3> {
    wf_lock lock;
    rl::var<int> inside; // plain memory: two holders at once are a data race

    void before()
    {
        atomic_store_explicit(&lock.word, WF_LOCK_FREE, memory_order_relaxed);
        inside($) = 0;
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
