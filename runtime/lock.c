/* SPDX-License-Identifier: MIT */
#include "runtime/lock.h"

#include "arch/cpu.h"
#include "arch/os.h"

#ifndef WF_LOCK_SPINS
#define WF_LOCK_SPINS                                                           \
    100 /* guessed: a little longer than the runtime's longest critical section \
         */
#endif

void wf_lock_acquire_slow(struct wf_lock *lock)
{
    for (int i = 0; i < WF_LOCK_SPINS; i++) {
        uint32_t expected = WF_LOCK_FREE;

        wf_cpu_pause();
        /* LK.1 acquire: as in wf_lock_acquire(). */
        if (atomic_compare_exchange_strong_explicit(&lock->word, &expected, WF_LOCK_HELD,
                                                    memory_order_acquire, memory_order_relaxed))
            return;
    }
    /* LK.1 acquire: as in wf_lock_acquire().  CONTENDED even if nobody else waits: we cannot know,
     * and the price of being wrong is one needless wake. */
    while (atomic_exchange_explicit(&lock->word, WF_LOCK_CONTENDED, memory_order_acquire) !=
           WF_LOCK_FREE)
        wf_os_futex_wait(&lock->word, WF_LOCK_CONTENDED, INT64_MAX);
}

void wf_lock_release_slow(struct wf_lock *lock)
{
    wf_os_futex_wake(&lock->word, 1);
}
