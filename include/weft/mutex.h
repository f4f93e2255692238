/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, for fibers and plain threads in any mix: a fiber that waits leaves its worker to others,
 * a plain thread sleeps.
 *
 *   static weft_mutex mutex = WEFT_MUTEX_INIT;
 *
 *   if (weft_mutex_lock(&mutex, weft_after(WEFT_SECOND)) == 0) {
 *       ...                                       may suspend, and wake on another worker
 *       weft_mutex_unlock(&mutex);
 *   }
 *
 * A free mutex is locked by one compare-and-swap and unlocked by another.  One that is contended
 * goes to whoever comes first, which keeps the processors busy, but not for long: waiters are woken
 * in their order, and after at most WEFT_MUTEX_BYPASSES unlocks that let others by, beside the one
 * that wakes it, the lock is handed to the first of them: WEFT_MUTEX_BYPASSES + 1 holders can pass
 * it.  Its queue is in order of arrival, so a waiter with n others before it waits for at most
 * (n + 1) * (WEFT_MUTEX_BYPASSES + 3) holders.
 *
 * A mutex needs no clean-up.  The one that locks it last may free its memory as soon as it has
 * unlocked it, if nobody else is going to use it: as for POSIX mutexes, an unlock does not touch
 * the mutex any more once another can have locked it.  Whoever waits uses it until the call
 * returns, also one that fails.
 *
 * Programs that are compiled without NDEBUG have their locks checked (lock_checks.h): it aborts the
 * program to lock a mutex twice, or to unlock one that another fiber or thread has locked.
 */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include "base.h"
#include "lock_checks.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_MUTEX_BYPASSES 64 /* so many that passed a waiter may let another pass it */

/* The fields are the library's.  Zero is a free mutex. */
typedef struct weft_mutex {
    uint32_t word;
    uint32_t queue_lock;
    void *queue;
} weft_mutex;

#define WEFT_MUTEX_INIT \
    {                   \
        0, 0, NULL      \
    }

#define WEFT_MUTEX_LOCKED 1 /* in `word`; the rest is the library's */

/*
 * Lock `mutex`, and wait for that while another holds it.
 *
 * Returns   0, or a negative errno with the mutex not locked.
 * Deadline  absolute; a free mutex is locked also after it.  0 does not wait.
 * Context   any thread, any fiber.  Not signal handlers.
 * Switches  yes, unless the mutex is free.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled still locks a free mutex, and
 *           one that was given the lock before the cancel returns 0.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_mutex_lock(weft_mutex *mutex, weft_time deadline);

/*
 * Lock `mutex` if it is free.
 *
 * Returns   0, or -EBUSY, a negative errno.  Aborts if the mutex was destroyed.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_mutex_try_lock(weft_mutex *mutex);

/*
 * Unlock `mutex`, which the caller has locked.
 *
 * Returns   nothing.  Aborts if the mutex is not locked.
 * Context   the fiber or the thread that locked it; a fiber may have changed its worker meanwhile.
 * Switches  never.
 */
WEFT_API void weft_mutex_unlock(weft_mutex *mutex);

/*
 * Say that `mutex` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if the mutex is locked; from now on locking it aborts, too, until it
 *           is initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_mutex_destroy(weft_mutex *mutex);

/*
 * weft_mutex_lock() with checks, whatever the program was compiled with.
 *
 * Returns   0, or a negative errno with the mutex not locked.
 * Deadline  as for weft_mutex_lock().
 * Context   any thread, any fiber.
 * Switches  yes, unless the mutex is free.
 * Cancel    as for weft_mutex_lock().
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_mutex_lock_checked(weft_mutex *mutex, weft_time deadline);

/*
 * weft_mutex_try_lock() with checks.
 *
 * Returns   0, or -EBUSY, a negative errno.  Aborts if the mutex was destroyed.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_mutex_try_lock_checked(weft_mutex *mutex);

#if WEFT_LOCK_CHECKS
#define weft_mutex_lock(mutex, deadline) weft_mutex_lock_checked(mutex, deadline)
#define weft_mutex_try_lock(mutex) weft_mutex_try_lock_checked(mutex)
#else
/* The uncontended way without a call: docs/adr/0020 says why, and what it promises of the two bits
 * for good.  The edge is in sync/mutex.c. */
WEFT_MUST_USE static inline int weft_mutex_lock_inline(weft_mutex *mutex, weft_time deadline)
{
    uint32_t expected = 0;

    /* MX.1 acquire: what the one before has left; relaxed: a look first, since a compare-and-swap
     * that fails costs as much as one that succeeds. */
    if (__builtin_expect(__atomic_load_n(&mutex->word, __ATOMIC_RELAXED) == 0 &&
                             __atomic_compare_exchange_n(&mutex->word, &expected, WEFT_MUTEX_LOCKED,
                                                         0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
                         1))
        return 0;
    return weft_mutex_lock(mutex, deadline);
}

static inline void weft_mutex_unlock_inline(weft_mutex *mutex)
{
    uint32_t expected = WEFT_MUTEX_LOCKED;

    /* MX.1 release: what was done under the lock; relaxed: a look first, as above. */
    if (__builtin_expect(__atomic_load_n(&mutex->word, __ATOMIC_RELAXED) != WEFT_MUTEX_LOCKED ||
                             !__atomic_compare_exchange_n(&mutex->word, &expected, 0, 0,
                                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED),
                         0))
        weft_mutex_unlock(mutex);
}

#define weft_mutex_lock(mutex, deadline) weft_mutex_lock_inline(mutex, deadline)
#define weft_mutex_unlock(mutex) weft_mutex_unlock_inline(mutex)
#endif

/*
 * A mutex that its holder can lock again; it is free when it has been unlocked as often.  Whoever
 * unlocks one that it does not hold is aborted, in every build.
 */
typedef struct weft_recursive_mutex {
    weft_mutex mutex; /* the fields are the library's */
    uint64_t owner;
    uint32_t depth;
    uint32_t reserved;
} weft_recursive_mutex;

#define WEFT_RECURSIVE_MUTEX_INIT \
    {                             \
        WEFT_MUTEX_INIT, 0, 0, 0  \
    }

/*
 * Lock `mutex`, and wait for that while another holds it.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Deadline  absolute; a mutex that is free or the caller's is locked also after it.
 * Context   any thread, any fiber.
 * Switches  yes, unless the mutex is free or the caller's.
 * Cancel    as for weft_mutex_lock().
 * Errors    -ETIMEDOUT, -ECANCELED, -EAGAIN (locked UINT32_MAX times already).
 */
WEFT_API WEFT_MUST_USE int weft_recursive_mutex_lock(weft_recursive_mutex *mutex,
                                                     weft_time deadline);

/*
 * Lock `mutex` if it is free or the caller's.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY, -EAGAIN (locked UINT32_MAX times already).
 */
WEFT_API WEFT_MUST_USE int weft_recursive_mutex_try_lock(weft_recursive_mutex *mutex);

/*
 * Take back one lock of `mutex`.
 *
 * Returns   nothing.  Aborts if the caller does not hold the mutex.
 * Context   the fiber or the thread that locked it.
 * Switches  never.
 */
WEFT_API void weft_recursive_mutex_unlock(weft_recursive_mutex *mutex);

#ifdef __cplusplus
}
#endif

#endif
