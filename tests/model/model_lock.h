// SPDX-License-Identifier: MIT
// The slow half of runtime/lock.h for models of what the lock protects: the lock has a model of its
// own, so here it only has to exclude.
#ifndef MODEL_LOCK_H
#define MODEL_LOCK_H

#include "runtime/lock.h"

void wf_lock_acquire_slow(struct wf_lock *lock)
{
    uint32_t expected;

    do {
        rl::yield(1, $);
        expected = WF_LOCK_FREE;
    } while (!atomic_compare_exchange_strong_explicit(&lock->word, &expected, WF_LOCK_HELD,
                                                      memory_order_acquire, memory_order_relaxed));
}

void wf_lock_release_slow(struct wf_lock *lock)
{
    (void)lock;
}

#endif
