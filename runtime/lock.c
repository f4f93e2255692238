/* SPDX-License-Identifier: MIT */
#include "runtime/lock.h"

#include "arch/cpu.h"
#include "arch/os.h"
#include "runtime/check.h"

#ifndef WF_LOCK_SPINS
#define WF_LOCK_SPINS                                                           \
    100 /* guessed: a little longer than the runtime's longest critical section \
         */
#endif

/* Short beside the milliseconds that a thread waits for its CPU, long beside the system call. */
enum { NAP_US = 50 };

bool wf_lock_try(struct wf_lock *lock)
{
    uint32_t expected = WF_LOCK_FREE;

    /* LK.1 acquire: as in wf_lock_acquire(). */
    if (atomic_compare_exchange_strong_explicit(&lock->word, &expected, WF_LOCK_HELD,
                                                memory_order_acquire, memory_order_relaxed))
        return true;
    if (WF_UNLIKELY(expected == WF_LOCK_GONE))
        wf_panic("an object was destroyed, and is used: the one with its lock at %p", (void *)lock);
    return false;
}

void wf_lock_rest(struct wf_lock *lock, unsigned tries)
{
    if (tries <= WF_LOCK_SPINS)
        wf_cpu_pause();
    else
        wf_os_futex_wait(&lock->word, WF_LOCK_HELD, wf_os_now() + NAP_US * INT64_C(1000));
}

void wf_lock_acquire_slow(struct wf_lock *lock)
{
    unsigned tries = 1; /* our caller's */

    do
        wf_lock_rest(lock, tries++);
    while (!wf_lock_try(lock));
}
