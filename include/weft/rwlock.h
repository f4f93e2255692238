/* SPDX-License-Identifier: MIT */
/*
 * Readers-writer locks, for fibers and plain threads in any mix: held by any number of readers, or
 * by one writer.
 *
 *   static weft_rwlock lock = WEFT_RWLOCK_INIT;
 *
 *   if (weft_rwlock_read_lock(&lock, weft_after(WEFT_SECOND)) == 0) {
 *       ...                                       may suspend, and wake on another worker
 *       weft_rwlock_unlock(&lock);
 *   }
 *
 * A lock that nobody waits for is taken by one atomic operation and given back by another, also
 * where other readers hold it; where nobody does, without a call.
 *
 * WEFT_RWLOCK_INIT is fair to writers: while one waits, those who come to read wait behind it, but
 * for a few.  These may still join the readers that hold the lock, or take it, reading or writing,
 * in the time that the writer needs to wake up: WEFT_RWLOCK_BYPASSES for each that was let in
 * before the writer.  Those who wait get the lock in the order in which they came, readers without
 * a writer between them all at once.  So neither side keeps the other out for ever: a writer with n
 * others before it waits for those that have the lock, and for at most
 * (n + 1) * (WEFT_RWLOCK_BYPASSES + 1) holders more.
 *
 * WEFT_RWLOCK_INIT_PREFER_READERS lets readers in whenever no writer holds the lock, and those who
 * wait before any writer.  A reader that is in the queue waits for the writer that holds the lock,
 * and for no other; before it queues it looks for a moment, in which writers may come and go.
 * Writers wait for as long as there is always some reader.
 *
 * Whoever holds a fair lock for reading must not lock it for reading once more: a writer that came
 * in between waits for the first lock, and the second one for the writer.
 *
 * Programs that are compiled without NDEBUG have their locks checked (lock_checks.h): it aborts the
 * program to wait for a lock that the caller holds, where one of the two is for writing, and to
 * unlock one that others hold and the caller does not.
 *
 * A lock needs no clean-up.  The one that holds it last may free its memory as soon as it has
 * unlocked it, if nobody else is going to use it.  Whoever waits uses it until the call returns,
 * also one that fails.
 */
#ifndef WEFT_RWLOCK_H
#define WEFT_RWLOCK_H

#include "base.h"
#include "lock_checks.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_RWLOCK_BYPASSES                                             \
    64 /* so often may readers pass the first that waits for a fair lock \
        */

/* The fields are the library's.  Zero is a free lock that is fair. */
typedef struct weft_rwlock {
    uint64_t word;
    void *queue;
    void *readers;
    uint32_t queue_lock;
    uint32_t kind;
} weft_rwlock;

#define WEFT_RWLOCK_PREFER_READERS 1 /* in `kind` */

/* In `word`; the rest is the library's. */
#define WEFT_RWLOCK_WRITER 1
#define WEFT_RWLOCK_READER ((uint64_t)1 << 32)

#define WEFT_RWLOCK_INIT    \
    {                       \
        0, NULL, NULL, 0, 0 \
    }

#define WEFT_RWLOCK_INIT_PREFER_READERS              \
    {                                                \
        0, NULL, NULL, 0, WEFT_RWLOCK_PREFER_READERS \
    }

/*
 * Lock `lock` for reading, and wait for that while a writer holds it, or, if it is fair, waits.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Deadline  absolute; a lock that is to be had is taken also after it.  0 does not wait.
 * Context   any thread, any fiber.  Not signal handlers.
 * Switches  yes, unless the lock is to be had at once.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled still takes a lock that is
 *           to be had, and one that was given the lock before the cancel returns 0.
 * Errors    -ETIMEDOUT, -ECANCELED, -EAGAIN (2^31 readers hold it).
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_read_lock(weft_rwlock *lock, weft_time deadline);

/*
 * Lock `lock` for writing, and wait for that while others hold it.
 *
 * Returns   0, or a negative errno with nothing changed; readers that waited behind the caller go
 *           on then.
 * Deadline  absolute; a free lock is taken also after it.  0 does not wait.
 * Context   any thread, any fiber.  Not signal handlers.
 * Switches  yes, unless the lock is free.
 * Cancel    as for weft_rwlock_read_lock().
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_write_lock(weft_rwlock *lock, weft_time deadline);

/*
 * Lock `lock` for reading if that needs no wait.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY, -EAGAIN (2^31 readers hold it).
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_try_read_lock(weft_rwlock *lock);

/*
 * Lock `lock` for writing if it is free.
 *
 * Returns   0, or -EBUSY, a negative errno.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_try_write_lock(weft_rwlock *lock);

/*
 * Unlock `lock`, which the caller holds for reading or for writing.
 *
 * Returns   nothing.  Aborts if nobody holds the lock.
 * Context   whoever holds it; a fiber may have changed its worker meanwhile.
 * Switches  never.
 */
WEFT_API void weft_rwlock_unlock(weft_rwlock *lock);

/*
 * The rest of an unlock whose reader has been subtracted from `lock` already: what the header's
 * inline functions call, and nobody else needs.
 *
 * Returns   nothing.  Aborts if nobody held the lock for reading; `word` is what it said.
 * Context   as for weft_rwlock_unlock().
 * Switches  never.
 */
WEFT_API void weft_rwlock_unlock_rest(weft_rwlock *lock, uint64_t word);

/*
 * Go on as a reader, without letting a writer in between: what the caller has written it finds
 * unchanged.  Readers that wait, up to the first writer, go on beside it.
 *
 * Returns   nothing.  Aborts if nobody holds the lock for writing.
 * Context   the writer that holds it.
 * Switches  never.
 */
WEFT_API void weft_rwlock_downgrade(weft_rwlock *lock);

/*
 * Say that `lock` will not be used any more.  Need not be called; it is there to find mistakes.
 *
 * Returns   nothing.  Aborts if the lock is held; from now on locking it aborts, too, until it is
 *           initialised anew.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_rwlock_destroy(weft_rwlock *lock);

/*
 * weft_rwlock_read_lock() with checks, whatever the program was compiled with.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Deadline  as for weft_rwlock_read_lock().
 * Context   any thread, any fiber.
 * Switches  yes, unless the lock is to be had at once.
 * Cancel    as for weft_rwlock_read_lock().
 * Errors    -ETIMEDOUT, -ECANCELED, -EAGAIN (2^31 readers hold it).
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_read_lock_checked(weft_rwlock *lock, weft_time deadline);

/*
 * weft_rwlock_write_lock() with checks.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Deadline  as for weft_rwlock_write_lock().
 * Context   any thread, any fiber.
 * Switches  yes, unless the lock is free.
 * Cancel    as for weft_rwlock_read_lock().
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_write_lock_checked(weft_rwlock *lock, weft_time deadline);

/*
 * weft_rwlock_try_read_lock() with checks.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY, -EAGAIN (2^31 readers hold it).
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_try_read_lock_checked(weft_rwlock *lock);

/*
 * weft_rwlock_try_write_lock() with checks.
 *
 * Returns   0, or -EBUSY, a negative errno.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_rwlock_try_write_lock_checked(weft_rwlock *lock);

#if WEFT_LOCK_CHECKS
#define weft_rwlock_read_lock(lock, deadline) weft_rwlock_read_lock_checked(lock, deadline)
#define weft_rwlock_write_lock(lock, deadline) weft_rwlock_write_lock_checked(lock, deadline)
#define weft_rwlock_try_read_lock(lock) weft_rwlock_try_read_lock_checked(lock)
#define weft_rwlock_try_write_lock(lock) weft_rwlock_try_write_lock_checked(lock)
#else
/* The ways of a lock that nobody waits for, without a call.  So these are promised for good: zero
 * is free, WEFT_RWLOCK_WRITER alone is held by a writer, and multiples of WEFT_RWLOCK_READER by so
 * many readers, each of which subtracts itself; whatever else the word says leads into the library.
 * The edge is in sync/rwlock.c. */
static inline bool weft_rwlock_take_free(weft_rwlock *lock, uint64_t word)
{
    uint64_t expected = 0;

    /* RW.1 acquire: what those before have left; relaxed on failure: the library looks again. */
    return __atomic_compare_exchange_n(&lock->word, &expected, word, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

WEFT_MUST_USE static inline int weft_rwlock_read_lock_inline(weft_rwlock *lock, weft_time deadline)
{
    if (__builtin_expect(weft_rwlock_take_free(lock, WEFT_RWLOCK_READER), 1))
        return 0;
    return weft_rwlock_read_lock(lock, deadline);
}

WEFT_MUST_USE static inline int weft_rwlock_write_lock_inline(weft_rwlock *lock, weft_time deadline)
{
    if (__builtin_expect(weft_rwlock_take_free(lock, WEFT_RWLOCK_WRITER), 1))
        return 0;
    return weft_rwlock_write_lock(lock, deadline);
}

static inline void weft_rwlock_unlock_inline(weft_rwlock *lock)
{
    /* relaxed: a look at whom it is held by; what gives it back below looks once more. */
    uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

    if (__builtin_expect((uint32_t)word == 0, 1)) {
        /* RW.1 release: what was read, before a writer changes it. */
        word = __atomic_fetch_sub(&lock->word, WEFT_RWLOCK_READER, __ATOMIC_RELEASE);
        if (__builtin_expect(word < WEFT_RWLOCK_READER || (uint32_t)word != 0, 0))
            weft_rwlock_unlock_rest(lock, word);
    } else if (word != WEFT_RWLOCK_WRITER ||
               /* RW.1 release: what was written; relaxed on failure: the library looks again. */
               !__atomic_compare_exchange_n(&lock->word, &word, 0, 0, __ATOMIC_RELEASE,
                                            __ATOMIC_RELAXED)) {
        weft_rwlock_unlock(lock);
    }
}

#define weft_rwlock_read_lock(lock, deadline) weft_rwlock_read_lock_inline(lock, deadline)
#define weft_rwlock_write_lock(lock, deadline) weft_rwlock_write_lock_inline(lock, deadline)
#define weft_rwlock_unlock(lock) weft_rwlock_unlock_inline(lock)
#endif

#ifdef __cplusplus
}
#endif

#endif
