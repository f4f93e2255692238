/* SPDX-License-Identifier: MIT */
/*
 * Readers-writer locks.
 *
 * One word says who holds the lock (rwlock_word.h), queues under a lock of their own say who waits
 * for it.
 *
 * Without QUEUED and WOKEN each change is one atomic operation, and a reader's unlock is always a
 * subtraction.  The reader that subtracts the last one while somebody is QUEUED, and nobody is
 * WOKEN, owns the lock from then on, though the word says that nobody holds it: it takes the queue
 * lock, and does what a writer does who unlocks.  Nobody else takes a lock that is QUEUED, not
 * WOKEN and not held, and nobody who gives up retracts QUEUED then.
 *
 * Who unlocks so hands the lock over to all readers up to the next writer.  A writer that is first
 * is only woken as a rule, and the lock is free for whoever comes before it: a strict order would
 * have everybody wait once a single one does, and each lock cost a switch from then on
 * (docs/adr/0020 has the same for mutexes).  Those who come are counted, as are readers that join
 * others while somebody waits: there are so many for each that gets the lock before the one that
 * waits.  When they are used up, a lock that is free is kept for the one on its way, and one that
 * is unlocked is handed over.
 *
 * So nobody waits for a lock that is free: while somebody is QUEUED, it is held, or being handed
 * over, or one is WOKEN, who either takes it or, finding it held, clears WOKEN before it sleeps or
 * goes away, so that the holder's unlock sees to those who wait.
 *
 * A lock that prefers readers has two queues, so that it finds those who read.  Whoever has written
 * lets them in also while a writer is on its way: others could take the lock before that one comes.
 *
 * Whoever unlocks touches the lock no more once another can have taken and freed it: those it is
 * handed over to, and the one that will look at it, are woken after the queue lock is released.
 *
 *   Edge   From                  To                    Promises
 *   RW.1   unlock: word release  lock: word acquire    a writer sees what all before it did, a
 *                                                      reader what the writers before it did
 *
 * A release is carried on by the atomic changes of others that follow, so an acquire sees all of
 * them.  One that is handed the lock sees it by its wake: who hands over has acquired it.
 */
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/held.h"
#include "sync/rwlock_word.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/runtime.h>
#include <weft/rwlock.h>

#undef weft_rwlock_read_lock
#undef weft_rwlock_write_lock
#undef weft_rwlock_try_read_lock
#undef weft_rwlock_try_write_lock
#undef weft_rwlock_unlock

#ifndef WF_RWLOCK_SPINS
#define WF_RWLOCK_SPINS 20 /* guessed: as for mutexes */
#endif

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct rwlock) == sizeof(weft_rwlock), "the public type has other fields");
_Static_assert(sizeof(weft_rwlock) == 32, "a readers-writer lock is 32 bytes");
#endif

/* In the frame of whoever waits. */
struct rwlock_wait {
    struct wf_wait_entry entry;
    bool is_writer;
    bool is_woken; /* WOKEN speaks of this one */
};

static const struct wf_wait_kind rwlock_kind = {"a readers-writer lock",
                                                offsetof(struct rwlock, queue_lock), 0};

/* What a writer is woken with, beside 0. */
enum { LOOK_AGAIN = 1 };

/* Takes the lock if it is to be had.  Returns false with the word as it was last seen. */
static inline bool take(struct rwlock *lock, bool is_writer, bool is_woken, uint64_t *seen)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t target;

    do {
        target = with_one_more(lock, is_writer, is_woken, word);
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
        if (take(lock, is_writer, false, &word))
            return true;
        if ((word & (QUEUED | WOKEN)) != 0)
            return false;
        wf_cpu_pause();
    }
    return false;
}

/* Announces somebody who waits, for as long as that one must.  Caller holds the queue lock. */
static bool announce(struct rwlock *lock, const struct rwlock_wait *wait)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint64_t target;

    do {
        if (with_one_more(lock, wait->is_writer, wait->is_woken, word) != 0)
            return false;
        target = word | QUEUED;
        if ((word & (QUEUED | WOKEN)) == 0)
            target = allow_bypasses(target, 1);
        if (wait->is_woken) {
            uint64_t bypasses = word & BYPASSES;

            target &= ~WOKEN;
            target -= bypasses < BYPASSES_PER_LOSS ? bypasses : BYPASSES_PER_LOSS;
        }
        /* relaxed: the queue is published by its lock. */
    } while (!atomic_compare_exchange_weak_explicit(&lock->word, &word, target,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static bool is_nobody_queued(const struct rwlock *lock)
{
    return wf_wait_queue_is_empty(&lock->queue) && wf_wait_queue_is_empty(&lock->readers);
}

static bool is_reader(const struct wf_wait_entry *entry)
{
    return entry != NULL && !WF_CONTAINER_OF(entry, const struct rwlock_wait, entry)->is_writer;
}

/* Takes out those who can read now: all up to the first writer.  Returns the entries to wake; adds
 * up the readers.  Caller holds the queue lock. */
static struct wf_wait_entry *take_readers(struct wf_wait_queue *queue, uint64_t *readers)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;
    struct wf_wait_entry *entry;

    while (is_reader(entry = queue->first)) {
        (void)wf_wait_queue_remove(queue, entry);
        *end = entry;
        end = &entry->previous;
        *readers += READER;
    }
    *end = NULL;
    return list;
}

/* Clears QUEUED if nobody waits, and nobody is just handing the lock over, who does that then.
 * Caller holds the queue lock. */
static void retract_if_last(struct rwlock *lock)
{
    uint64_t word;
    uint64_t rest;

    if (!is_nobody_queued(lock))
        return;
    /* relaxed: the compare-and-swap decides. */
    word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    do {
        if (word < READER && (word & (WRITER | WOKEN)) == 0)
            return;
        rest = word & ~QUEUED;
        if ((word & WOKEN) == 0)
            rest &= ~BYPASSES;
        /* relaxed: the queue is published by its lock. */
    } while (!atomic_compare_exchange_weak_explicit(&lock->word, &word, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Joins the readers that hold the lock, unless there are none, or a writer on its way comes first.
 * Caller holds the queue lock. */
static bool join_readers(struct rwlock *lock)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    do {
        if ((word & WRITER) != 0 || word < READER ||
            ((word & WOKEN) != 0 && !prefers_readers(lock)))
            return false;
        /* RW.1 acquire: what the writers before did, for those who see it by their wakes; relaxed
         * on failure: we look again. */
    } while (!atomic_compare_exchange_weak_explicit(&lock->word, &word, word + READER,
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

/* Lets those who wait to read, and need not wait for a writer, go on beside readers that hold the
 * lock.  Returns the entries to wake.  Caller holds the queue lock. */
static struct wf_wait_entry *let_readers_in(struct rwlock *lock)
{
    struct wf_wait_queue *queue = queue_of(lock, false);
    struct wf_wait_entry *list = NULL;
    uint64_t readers = 0;

    if (is_reader(queue->first) && join_readers(lock)) {
        list = take_readers(queue, &readers);
        /* relaxed: we hold the lock for the first of them, and have acquired it. */
        (void)atomic_fetch_add_explicit(&lock->word, readers - READER, memory_order_relaxed);
    }
    retract_if_last(lock);
    return list;
}

/* Gives up the lock, which the caller alone owns, for those who are next.  Returns the entries to
 * wake, and with what.  Caller holds the queue lock, and somebody is queued. */
static struct wf_wait_entry *hand_over(struct rwlock *lock, int *result)
{
    /* RW.1 acquire: what the other readers did, for those who are woken.  Nobody else changes it.
     */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_acquire) & ~WRITER;
    uint64_t readers = 0;
    struct wf_wait_entry *list = take_readers(queue_of(lock, false), &readers);

    *result = 0;
    if (list == NULL) {
        list = lock->queue.first;
        (void)wf_wait_queue_remove(&lock->queue, list);
        list->previous = NULL;
        if ((word & BYPASSES) != 0)
            *result = LOOK_AGAIN;
    }
    if (is_nobody_queued(lock))
        word &= ~QUEUED;
    if (readers != 0)
        word = allow_behind(word + readers, readers / READER);
    else
        word = *result == LOOK_AGAIN ? word | WOKEN : allow_behind(word | WRITER, 1);
    /* RW.1 release: what we did, for those that come by themselves. */
    atomic_store_explicit(&lock->word, word, memory_order_release);
    return list;
}

/* A single one runs next: the lock is held, and idle, until it does. */
static void wake(struct wf_wait_entry *list, int result)
{
    if (list != NULL && list->previous == NULL)
        wf_wake(wf_self(), list->waiter, result);
    else
        wf_wait_queue_wake_list(wf_self(), list, result);
}

/* Returns 0, or why it is no use to wait. */
static int lock_error(struct rwlock *lock, bool is_writer, uint64_t word, const char *what)
{
    if (WF_UNLIKELY((word & DEAD) != 0))
        wf_panic("%s: the lock %p was destroyed", what, (void *)lock);
    return !is_writer && word >= READERS_FULL ? -EAGAIN : 0;
}

/* Waits to be handed the lock, or to look again.  Returns whether the latter; else `*error` is what
 * the lock call returns.  Caller holds the queue lock and has announced `wait`. */
static bool sleep_in_queue(struct rwlock *lock, struct rwlock_wait *wait, weft_time deadline,
                           int *error)
{
    struct wf_wait_queue *queue = queue_of(lock, wait->is_writer);
    struct wf_wait_entry *list;

    if (wait->is_woken)
        *error = wf_wait_queue_sleep_first(wf_self(), queue, &lock->queue_lock, &wait->entry,
                                           deadline, &rwlock_kind);
    else
        *error = wf_wait_queue_sleep(wf_self(), queue, &lock->queue_lock, &wait->entry, deadline,
                                     &rwlock_kind);
    if (*error >= 0)
        return *error == LOOK_AGAIN;
    /* Readers may have waited for nothing but us. */
    wf_lock_acquire(&lock->queue_lock);
    list = let_readers_in(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list, 0);
    return false;
}

static WF_NOINLINE int lock_slow(struct rwlock *lock, bool is_writer, weft_time deadline,
                                 const char *what)
{
    struct rwlock_wait wait = {{NULL, NULL, NULL, NULL}, is_writer, false};
    uint64_t word;
    int error;

    if (spin(wf_self(), lock, is_writer))
        return 0;
    for (;;) {
        if (take(lock, is_writer, wait.is_woken, &word))
            return 0;
        error = lock_error(lock, is_writer, word, what);
        /* One on its way has to say that it is not, before it may give up. */
        if (error == 0 && !wait.is_woken)
            error = wf_wait_refusal(wf_self(), deadline);
        if (error != 0)
            return error;
        wf_lock_acquire(&lock->queue_lock);
        if (!announce(lock, &wait)) {
            wf_lock_release(&lock->queue_lock);
            continue;
        }
        if (!sleep_in_queue(lock, &wait, deadline, &error))
            return error;
        wait.is_woken = true;
    }
}

/* Caller alone owns the lock: a writer, or the last reader, which has subtracted itself.  Returns
 * false if nobody waits; then the lock is held as before, by one reader in the second case. */
static bool unlock_queued(struct rwlock *lock, bool is_writer)
{
    struct wf_wait_entry *list;
    uint64_t checked;
    int result;

    wf_lock_acquire(&lock->queue_lock);
    if (is_nobody_queued(lock)) {
        /* Not unlocked under the queue lock: another could take the lock and free it.
         * RW.1 acquire: what the other readers did: the next sees it by what we do. */
        checked = atomic_load_explicit(&lock->word, memory_order_acquire) & CHECKED;
        /* relaxed: nobody else changes it, and the unlock is still to come. */
        atomic_store_explicit(&lock->word, checked | (is_writer ? WRITER : READER),
                              memory_order_relaxed);
        wf_lock_release(&lock->queue_lock);
        return false;
    }
    list = hand_over(lock, &result);
    wf_lock_release(&lock->queue_lock);
    wake(list, result);
    return true;
}

static uint64_t count_holders(const void *lock)
{
    /* relaxed: the caller, if it is one of them, sees itself, and all that held.h knows. */
    uint64_t word = atomic_load_explicit(&((const struct rwlock *)lock)->word,
                                         memory_order_relaxed);

    return (word & WRITER) != 0 ? 1 : word / READER;
}

static void panic_not_held(struct rwlock *lock, uint64_t word)
{
    wf_panic("weft_rwlock_unlock: nobody holds the lock %p%s", (void *)lock,
             (word & DEAD) != 0 ? ", which was destroyed" : "");
}

/* What is left to do for a reader that has subtracted itself, where `word` was what it found. */
static WF_NOINLINE void unlock_reader_rest(struct rwlock *lock, uint64_t word)
{
    for (;;) {
        if (WF_UNLIKELY((word & (WRITER | DEAD)) != 0 || word < READER))
            panic_not_held(lock, word);
        if (word >= 2 * READER || (word & (QUEUED | WOKEN)) != QUEUED)
            return;
        if (unlock_queued(lock, false))
            return;
        /* RW.1 release: what we did, for those after us. */
        word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_release);
    }
}

/* Caller holds the lock for writing, and then for reading. */
static void go_on_as_reader(struct rwlock *lock)
{
    struct wf_wait_entry *list;
    /* RW.1 release: what we did, for readers that join us. */
    uint64_t word = atomic_fetch_add_explicit(&lock->word, READER - WRITER, memory_order_release);

    if ((word & QUEUED) == 0)
        return;
    /* The lock is still ours, so it is still there. */
    wf_lock_acquire(&lock->queue_lock);
    list = let_readers_in(lock);
    wf_lock_release(&lock->queue_lock);
    wake(list, 0);
}

static WF_NOINLINE void unlock_writer_slow(struct rwlock *lock)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    for (;;) {
        if ((word & (QUEUED | WOKEN)) == QUEUED) {
            if (unlock_queued(lock, true))
                return;
            /* relaxed: the compare-and-swap decides. */
            word = atomic_load_explicit(&lock->word, memory_order_relaxed);
            continue;
        }
        if ((word & QUEUED) != 0 && prefers_readers(lock)) {
            go_on_as_reader(lock);
            /* RW.1 release: what we did to the queues, for those after us. */
            word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_release);
            unlock_reader_rest(lock, word);
            return;
        }
        /* RW.1 release: what we did, for those after us; relaxed on failure: we look again. */
        if (atomic_compare_exchange_weak_explicit(&lock->word, &word, word & ~WRITER,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
}

int weft_rwlock_read_lock(weft_rwlock *lock, weft_time deadline)
{
    uint64_t word;

    if (WF_LIKELY(take(internal(lock), false, false, &word)))
        return 0;
    return lock_slow(internal(lock), false, deadline, "weft_rwlock_read_lock");
}

int weft_rwlock_write_lock(weft_rwlock *lock, weft_time deadline)
{
    uint64_t word;

    if (WF_LIKELY(take(internal(lock), true, false, &word)))
        return 0;
    return lock_slow(internal(lock), true, deadline, "weft_rwlock_write_lock");
}

int weft_rwlock_try_read_lock(weft_rwlock *lock)
{
    uint64_t word;
    int error;

    if (take(internal(lock), false, false, &word))
        return 0;
    error = lock_error(internal(lock), false, word, "weft_rwlock_try_read_lock");
    return error != 0 ? error : -EBUSY;
}

int weft_rwlock_try_write_lock(weft_rwlock *lock)
{
    uint64_t word;

    if (take(internal(lock), true, false, &word))
        return 0;
    (void)lock_error(internal(lock), true, word, "weft_rwlock_try_write_lock");
    return -EBUSY;
}

void weft_rwlock_unlock(weft_rwlock *handle)
{
    struct rwlock *lock = internal(handle);
    /* relaxed: whoever holds the lock sees how. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    if (WF_UNLIKELY((word & CHECKED) != 0))
        wf_held_remove(lock, "weft_rwlock_unlock", count_holders);
    if ((word & WRITER) != 0) {
        unlock_writer_slow(lock);
        return;
    }
    if (WF_UNLIKELY(word < READER))
        panic_not_held(lock, word);
    /* RW.1 release: what we did, for those after us. */
    word = atomic_fetch_sub_explicit(&lock->word, READER, memory_order_release);
    if (WF_UNLIKELY((word & (READER - 1)) != 0 || word == 0))
        unlock_reader_rest(lock, word);
}

void weft_rwlock_unlock_rest(weft_rwlock *lock, uint64_t word)
{
    unlock_reader_rest(internal(lock), word);
}

void weft_rwlock_downgrade(weft_rwlock *handle)
{
    struct rwlock *lock = internal(handle);
    /* relaxed: the holder looks whether it is one. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    if (WF_UNLIKELY((word & WRITER) == 0))
        wf_panic("weft_rwlock_downgrade: nobody holds the lock %p for writing", (void *)lock);
    if (WF_UNLIKELY((word & CHECKED) != 0))
        wf_held_share(lock);
    go_on_as_reader(lock);
}
