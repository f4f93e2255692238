/* SPDX-License-Identifier: MIT */
/*
 * Readers-writer locks.
 *
 * One word says who holds the lock, queues under a lock of their own say who waits for it.
 *
 *   word            means                              set by           cleared by
 *   WRITER          a writer holds it                  lock, hand-over  unlock, downgrade
 *   QUEUED          somebody waits, or just gave up    who waits        the last one that waits
 *   DEAD            it was destroyed                   destroy          nobody
 *   PREFER_READERS  one of the two kinds               the initialiser  nobody
 *   BYPASSES        how many readers may still pass    who waits, and   lock, by one, and
 *                   the first in the queue             each hand-over   with QUEUED
 *   the rest        counts the readers that hold it    lock, hand-over  unlock
 *
 * Without QUEUED each change is one compare-and-swap.  With it the lock is not free: who unlocks as
 * the last takes the queue lock first, and hands the lock over to the next, or to all readers up to
 * the next writer.  So with QUEUED and under the queue lock a lock that is held for reading stays
 * so, and the word of one that is held for writing is changed by nobody but its writer.
 *
 * A strict order would have everybody wait once a single one does, and each lock cost a switch from
 * then on.  What keeps that away is that some readers may pass those who wait, as with mutexes
 * (docs/adr/0020): they join others that hold the lock already, so they delay little.  A count
 * bounds them: there are so many for each that gets the lock before the one that waits.
 *
 * A lock that prefers readers has two queues, so that it finds those who read.
 *
 * Whoever unlocks touches the lock no more once another can have taken and freed it: those it is
 * handed over to are woken after the queue lock is released, and they hold the lock until then.
 *
 *   Edge   From                  To                    Promises
 *   RW.1   unlock: word release  lock: word acquire    a writer sees what all before it did, a
 *                                                      reader what the writers before it did
 *
 * A release is carried on by the compare-and-swaps of readers that follow, so an acquire sees all
 * of them.  One that is handed the lock sees it by its wake: who hands over has acquired it.
 */
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/runtime.h>
#include <weft/rwlock.h>

#ifndef WF_RWLOCK_BYPASSES
#define WF_RWLOCK_BYPASSES WEFT_RWLOCK_BYPASSES /* the model has a smaller one */
#endif
#ifndef WF_RWLOCK_SPINS
#define WF_RWLOCK_SPINS 20 /* guessed: as for mutexes */
#endif

#define WRITER ((uint64_t)1)
#define QUEUED ((uint64_t)2)
#define DEAD ((uint64_t)4)
#define PREFER_READERS ((uint64_t)WEFT_RWLOCK_PREFER_READERS)
#define BYPASS ((uint64_t)1 << 8) /* one of them */
#define BYPASSES ((uint64_t)0xffffff << 8)
#define READER ((uint64_t)1 << 32) /* one of them */
#define READERS_FULL ((uint64_t)1 << 63)

struct rwlock {
    WF_ATOMIC(uint64_t) word;
    struct wf_wait_queue queue;   /* under queue_lock; without those in `readers` */
    struct wf_wait_queue readers; /* under queue_lock; of a lock that prefers readers */
    struct wf_lock queue_lock;
    uint32_t reserved;
};

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct rwlock) == sizeof(weft_rwlock), "the public type has other fields");
_Static_assert(sizeof(weft_rwlock) == 32, "a readers-writer lock is 32 bytes");
#endif

/* In the frame of whoever waits. */
struct rwlock_wait {
    struct wf_wait_entry entry;
    bool is_writer;
};

static struct rwlock *internal(weft_rwlock *lock)
{
    return (struct rwlock *)(void *)lock;
}

/* What the word becomes with one reader more; 0 if that one must wait, or cannot be counted. */
static inline uint64_t with_reader(uint64_t word)
{
    if (WF_UNLIKELY((word & (WRITER | DEAD)) != 0 || word >= READERS_FULL))
        return 0;
    if (WF_LIKELY((word & QUEUED) == 0) || (word & PREFER_READERS) != 0)
        return word + READER;
    return (word & BYPASSES) != 0 ? word + READER - BYPASS : 0;
}

/* The same with a writer. */
static inline uint64_t with_writer(uint64_t word)
{
    return (word & ~PREFER_READERS) == 0 ? word | WRITER : 0;
}

/* Takes the lock if it is to be had.  Returns false with the word as it was last seen. */
static inline bool take(struct rwlock *lock, bool is_writer, uint64_t *seen)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t target;

    do {
        target = is_writer ? with_writer(word) : with_reader(word);
        if (WF_UNLIKELY(target == 0)) {
            *seen = word;
            return false;
        }
        /* RW.1 acquire: what those before us did; relaxed on failure: we look again. */
    } while (WF_UNLIKELY(!atomic_compare_exchange_weak_explicit(
        &lock->word, &word, target, memory_order_acquire, memory_order_relaxed)));
    return true;
}

/* A short wait is cheaper than a switch, but only while nobody else waits, and while the holder can
 * be running. */
static bool spin(struct wf_worker *self, struct rwlock *lock, bool is_writer)
{
    uint64_t word;

    if (self != NULL && weft_worker_count() == 1)
        return false;
    for (int i = 0; i < WF_RWLOCK_SPINS; i++) {
        if (take(lock, is_writer, &word))
            return true;
        if ((word & QUEUED) != 0)
            return false;
        wf_cpu_pause();
    }
    return false;
}

static inline uint64_t allow_bypasses(uint64_t word, uint64_t waiters)
{
    uint64_t bypasses = waiters * WF_RWLOCK_BYPASSES * BYPASS;

    return (word & ~BYPASSES) | (bypasses < BYPASSES ? bypasses : BYPASSES);
}

/* Announces somebody who waits, for as long as that one must.  Caller holds the queue lock. */
static bool announce(struct rwlock *lock, bool is_writer)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t target;

    do {
        if ((is_writer ? with_writer(word) : with_reader(word)) != 0)
            return false;
        target = (word & QUEUED) != 0 ? word : allow_bypasses(word | QUEUED, 1);
        /* relaxed: the queue is published by its lock. */
    } while (!atomic_compare_exchange_weak_explicit(&lock->word, &word, target,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static bool is_nobody_queued(const struct rwlock *lock)
{
    return wf_wait_queue_is_empty(&lock->queue) && wf_wait_queue_is_empty(&lock->readers);
}

/* Takes out those who can read now: all up to the first writer.  Returns the entries to wake; adds
 * up the readers.  Caller holds the queue lock. */
static struct wf_wait_entry *take_readers(struct wf_wait_queue *queue, uint64_t *readers)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;
    struct wf_wait_entry *entry;

    while ((entry = queue->first) != NULL &&
           !WF_CONTAINER_OF(entry, struct rwlock_wait, entry)->is_writer) {
        (void)wf_wait_queue_remove(queue, entry);
        *end = entry;
        end = &entry->previous;
        *readers += READER;
    }
    *end = NULL;
    return list;
}

static struct wf_wait_queue *queue_of(struct rwlock *lock, uint64_t word, bool is_writer)
{
    return (word & PREFER_READERS) != 0 && !is_writer ? &lock->readers : &lock->queue;
}

/* Clears QUEUED if nobody waits.  Caller holds the queue lock. */
static void retract_if_last(struct rwlock *lock)
{
    if (is_nobody_queued(lock))
        /* relaxed: the queue is published by its lock. */
        (void)atomic_fetch_and_explicit(&lock->word, ~(QUEUED | BYPASSES), memory_order_relaxed);
}

/* Lets those who wait to read, and need not wait for a writer, go on beside readers that hold the
 * lock.  Returns the entries to wake.  Caller holds the queue lock. */
static struct wf_wait_entry *let_readers_in(struct rwlock *lock)
{
    struct wf_wait_entry *list = NULL;
    /* relaxed: with QUEUED and the queue lock, what we look for does not change. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t readers = 0;

    if ((word & WRITER) == 0 && !is_nobody_queued(lock)) {
        list = take_readers(queue_of(lock, word, false), &readers);
        /* RW.1 acquire: what the writers before them did, which they see by their wakes. */
        (void)atomic_fetch_add_explicit(&lock->word, readers, memory_order_acquire);
    }
    retract_if_last(lock);
    return list;
}

/* Hands the lock, which nobody but the caller holds, and that for writing, to those who are next.
 * Returns the entries to wake.  Caller holds the queue lock, and somebody is queued. */
static struct wf_wait_entry *hand_over(struct rwlock *lock)
{
    /* relaxed: nobody else changes it. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed) & ~WRITER;
    uint64_t readers = 0;
    struct wf_wait_entry *list = take_readers(queue_of(lock, word, false), &readers);

    if (list == NULL) {
        list = lock->queue.first;
        (void)wf_wait_queue_remove(&lock->queue, list);
        list->previous = NULL;
        word = allow_bypasses(word | WRITER, 1);
    } else {
        word = allow_bypasses(word + readers, readers / READER);
    }
    if (is_nobody_queued(lock))
        word &= ~(QUEUED | BYPASSES);
    /* RW.1 release: what we did, for readers that come by themselves. */
    atomic_store_explicit(&lock->word, word, memory_order_release);
    return list;
}

/* A single one runs next: the lock is held, and idle, until it does. */
static void wake(struct wf_wait_entry *list)
{
    if (list != NULL && list->previous == NULL)
        wf_wake(wf_self(), list->waiter, 0);
    else
        wf_wait_queue_wake_list(wf_self(), list, 0);
}

/* Returns 0, or why it is no use to wait. */
static int lock_error(struct rwlock *lock, bool is_writer, uint64_t word, const char *what)
{
    if (WF_UNLIKELY((word & DEAD) != 0))
        wf_panic("%s: the lock %p was destroyed", what, (void *)lock);
    return !is_writer && word >= READERS_FULL ? -EAGAIN : 0;
}

static int lock_slow(struct rwlock *lock, bool is_writer, weft_time deadline, const char *what)
{
    struct rwlock_wait wait = {{NULL, NULL, NULL, NULL}, is_writer};
    struct wf_worker *self = wf_self();
    struct wf_wait_entry *list;
    uint64_t word;
    int error;

    if (spin(self, lock, is_writer))
        return 0;
    for (;;) {
        if (take(lock, is_writer, &word))
            return 0;
        error = lock_error(lock, is_writer, word, what);
        if (error == 0)
            error = wf_wait_refusal(self, deadline);
        if (error != 0)
            return error;
        wf_lock_acquire(&lock->queue_lock);
        if (announce(lock, is_writer))
            break;
        wf_lock_release(&lock->queue_lock);
    }
    error = wf_wait_queue_sleep(self, queue_of(lock, word, is_writer), &lock->queue_lock,
                                &wait.entry, deadline);
    if (error == 0)
        return 0;
    /* Readers may have waited for nothing but us. */
    wf_lock_acquire(&lock->queue_lock);
    list = let_readers_in(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list);
    return error;
}

/* Caller is the last that holds the lock, or was a moment ago.  Returns false if nobody waits. */
static bool unlock_queued(struct rwlock *lock, uint64_t word)
{
    struct wf_wait_entry *list = NULL;

    wf_lock_acquire(&lock->queue_lock);
    if (is_nobody_queued(lock)) {
        retract_if_last(lock);
        /* Not unlocked under the queue lock: another could take the lock and free it. */
        wf_lock_release(&lock->queue_lock);
        return false;
    }
    /* As a writer we are alone with it.  RW.1 acq_rel: what the other readers did, for the one that
     * it is handed to, and what we did; relaxed on failure: we look again. */
    if ((word & WRITER) != 0 ||
        atomic_compare_exchange_strong_explicit(&lock->word, &word, (word - READER) | WRITER,
                                                memory_order_acq_rel, memory_order_relaxed))
        list = hand_over(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list);
    return list != NULL;
}

static inline void unlock(struct rwlock *lock)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t target;

    for (;;) {
        if (WF_UNLIKELY((word & WRITER) == 0 && word < READER))
            wf_panic("weft_rwlock_unlock: nobody holds the lock %p%s", (void *)lock,
                     (word & DEAD) != 0 ? ", which was destroyed" : "");
        target = (word & WRITER) != 0 ? word - WRITER : word - READER;
        if (WF_UNLIKELY((word & QUEUED) != 0 && target < READER)) {
            if (unlock_queued(lock, word))
                return;
            /* relaxed: the compare-and-swap decides. */
            word = atomic_load_explicit(&lock->word, memory_order_relaxed);
            continue;
        }
        /* RW.1 release: what we did, for those after us; relaxed on failure: we look again. */
        if (WF_LIKELY(atomic_compare_exchange_weak_explicit(
                &lock->word, &word, target, memory_order_release, memory_order_relaxed)))
            return;
    }
}

int weft_rwlock_read_lock(weft_rwlock *lock, weft_time deadline)
{
    uint64_t word;

    if (WF_LIKELY(take(internal(lock), false, &word)))
        return 0;
    return lock_slow(internal(lock), false, deadline, "weft_rwlock_read_lock");
}

int weft_rwlock_write_lock(weft_rwlock *lock, weft_time deadline)
{
    uint64_t word;

    if (WF_LIKELY(take(internal(lock), true, &word)))
        return 0;
    return lock_slow(internal(lock), true, deadline, "weft_rwlock_write_lock");
}

int weft_rwlock_try_read_lock(weft_rwlock *lock)
{
    uint64_t word;
    int error;

    if (take(internal(lock), false, &word))
        return 0;
    error = lock_error(internal(lock), false, word, "weft_rwlock_try_read_lock");
    return error != 0 ? error : -EBUSY;
}

int weft_rwlock_try_write_lock(weft_rwlock *lock)
{
    uint64_t word;

    if (take(internal(lock), true, &word))
        return 0;
    (void)lock_error(internal(lock), true, word, "weft_rwlock_try_write_lock");
    return -EBUSY;
}

void weft_rwlock_unlock(weft_rwlock *lock)
{
    unlock(internal(lock));
}

void weft_rwlock_downgrade(weft_rwlock *handle)
{
    struct rwlock *lock = internal(handle);
    struct wf_wait_entry *list;
    uint64_t word;

    /* relaxed: the holder looks whether it is one. */
    word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if (WF_UNLIKELY((word & WRITER) == 0))
        wf_panic("weft_rwlock_downgrade: nobody holds the lock %p for writing", (void *)lock);
    /* RW.1 release: what we did, for readers that join us. */
    word = atomic_fetch_add_explicit(&lock->word, READER - WRITER, memory_order_release);
    if ((word & QUEUED) == 0)
        return;
    /* The lock is still ours, so it is still there. */
    wf_lock_acquire(&lock->queue_lock);
    list = let_readers_in(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list);
}

void weft_rwlock_destroy(weft_rwlock *handle)
{
    struct rwlock *lock = internal(handle);
    /* relaxed: nobody else may use it any more. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    if ((word & DEAD) != 0)
        wf_panic("weft_rwlock_destroy: the lock %p was destroyed before", (void *)lock);
    if ((word & ~PREFER_READERS) != 0)
        wf_panic("weft_rwlock_destroy: the lock %p is held, or waited for", (void *)lock);
    /* relaxed: as above. */
    atomic_store_explicit(&lock->word, word | DEAD, memory_order_relaxed);
}
