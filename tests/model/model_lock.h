// SPDX-License-Identifier: MIT
// The slow half of runtime/lock.h for models of what the lock protects: the lock has a model of its
// own, so here it only has to exclude.
#ifndef MODEL_LOCK_H
#define MODEL_LOCK_H

#include "runtime/lock.h"

bool wf_lock_try(struct wf_lock *lock)
{
    uint32_t expected = WF_LOCK_FREE;

    return atomic_compare_exchange_strong_explicit(&lock->word, &expected, WF_LOCK_HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

void wf_lock_rest(struct wf_lock *lock, unsigned tries)
{
    (void)lock;
    (void)tries;
    rl::yield(1, $);
}

void wf_lock_acquire_slow(struct wf_lock *lock)
{
    do
        wf_lock_rest(lock, 1);
    while (!wf_lock_try(lock));
}

// Who forgets to take the lock releases a free one.  (What it protects is plain data to Relacy: a
// race there would have to do visible harm.)
static void model_lock_release(struct wf_lock *lock)
{
    RL_ASSERT(atomic_load_explicit(&lock->word, memory_order_relaxed) != WF_LOCK_FREE);
    wf_lock_release(lock);
}

#define wf_lock_release model_lock_release

#endif
