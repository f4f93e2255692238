/* SPDX-License-Identifier: MIT */
/*
 * A lock for a few instructions' worth of work, taken by worker threads, never held across a
 * switch.  It sleeps instead of spinning for long: with more workers than CPUs the holder may be
 * the one that is not running.  (Drepper, "Futexes Are Tricky", 2011, mutex 2.)
 *
 *   Edge   From                  To                     Promises
 *   LK.1   unlock: word release  lock: word acquire     the holder sees what earlier holders did
 */
#ifndef WF_RUNTIME_LOCK_H
#define WF_RUNTIME_LOCK_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <stdint.h>

enum {
    WF_LOCK_FREE,
    WF_LOCK_HELD,
    WF_LOCK_CONTENDED, /* held, and someone may sleep */
};

struct wf_lock {
    WF_ATOMIC(uint32_t) word; /* enum above */
};

WF_COLD void wf_lock_acquire_slow(struct wf_lock *lock);
WF_COLD void wf_lock_release_slow(struct wf_lock *lock);

static inline void wf_lock_acquire(struct wf_lock *lock)
{
    uint32_t expected = WF_LOCK_FREE;

    /* LK.1 acquire: see what the last holder did; relaxed on failure: the slow path looks again. */
    if (WF_UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &lock->word, &expected, WF_LOCK_HELD, memory_order_acquire, memory_order_relaxed)))
        wf_lock_acquire_slow(lock);
}

static inline void wf_lock_release(struct wf_lock *lock)
{
    /* LK.1 release: the next holder sees what we did. */
    if (WF_UNLIKELY(atomic_exchange_explicit(&lock->word, WF_LOCK_FREE, memory_order_release) ==
                    WF_LOCK_CONTENDED))
        wf_lock_release_slow(lock);
}

#endif
