/* SPDX-License-Identifier: MIT */
/*
 * A lock for a few instructions' worth of work, taken by worker threads, never held across a
 * switch.
 *
 * It is given back by a plain store, at half the price of an exchange that would tell whether
 * somebody sleeps (docs/adr/0037).  So nobody is woken: who waits looks again and again, and with
 * more workers than CPUs, where the holder may be the one that is not running, takes a nap between
 * two looks.
 *
 *   Edge   From                  To                     Promises
 *   LK.1   unlock: word release  lock: word acquire     the holder sees what earlier holders did
 */
#ifndef WF_RUNTIME_LOCK_H
#define WF_RUNTIME_LOCK_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WF_LOCK_FREE,
    WF_LOCK_HELD,
    WF_LOCK_GONE, /* what it protected was destroyed: whoever comes after that is aborted */
};

struct wf_lock {
    WF_ATOMIC(uint32_t) word; /* enum above */
};

WF_COLD void wf_lock_acquire_slow(struct wf_lock *lock);

static inline void wf_lock_acquire(struct wf_lock *lock)
{
    uint32_t expected = WF_LOCK_FREE;

    /* LK.1 acquire: see what the last holder did; relaxed on failure: the slow path looks again. */
    if (WF_UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &lock->word, &expected, WF_LOCK_HELD, memory_order_acquire, memory_order_relaxed)))
        wf_lock_acquire_slow(lock);
}

/* For whoever has something else to look at while the lock is held: between two tries it rests, for
 * the longer the more often it has tried. */
bool wf_lock_try(struct wf_lock *lock);
void wf_lock_rest(struct wf_lock *lock, unsigned tries);

static inline void wf_lock_release(struct wf_lock *lock)
{
    WF_ATOMIC_POINT; /* what is simulated can be left with a lock held */
    /* LK.1 release: the next holder sees what we did. */
    atomic_store_explicit(&lock->word, WF_LOCK_FREE, memory_order_release);
}

/* Keeps the lock for good: what it protects is not to be used any more.  To find that out costs
 * those nothing who find the lock free.  Caller: the holder. */
static inline void wf_lock_retire(struct wf_lock *lock)
{
    /* relaxed: whoever comes later breaks a rule, and is shown nothing. */
    atomic_store_explicit(&lock->word, WF_LOCK_GONE, memory_order_relaxed);
}

static inline bool wf_lock_is_gone(const struct wf_lock *lock)
{
    /* relaxed: it finds mistakes, and decides nothing else. */
    return atomic_load_explicit(&lock->word, memory_order_relaxed) == WF_LOCK_GONE;
}

#endif
