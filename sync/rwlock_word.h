/* SPDX-License-Identifier: MIT */
/*
 * What the word of a readers-writer lock says, and what it may become: a part of rwlock.c, which
 * says why, and of rwlock_checked.c.
 *
 *   word      means                              set by            cleared by
 *   WRITER    a writer holds it                  lock, hand-over   unlock, downgrade
 *   QUEUED    somebody waits, or just gave up    who waits         the last one that waits
 *   DEAD      it was destroyed                   destroy           nobody
 *   WOKEN     a writer that was in the queue is  unlock            that one
 *             on its way, and will look
 *   CHECKED   held.h knows some holder, or did   lock              nobody
 *   BYPASSES  how many may still pass the first  who waits, and    lock, by one, and with
 *             that waits, or is on its way       each hand-over    QUEUED and WOKEN
 *   the rest  counts the readers that hold it    lock, hand-over   unlock
 */
#ifndef WF_SYNC_RWLOCK_WORD_H
#define WF_SYNC_RWLOCK_WORD_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <stdbool.h>
#include <stdint.h>
#include <weft/rwlock.h>

#ifndef WF_RWLOCK_BYPASSES
#define WF_RWLOCK_BYPASSES WEFT_RWLOCK_BYPASSES /* the model has a smaller one */
#endif

#define WRITER ((uint64_t)WEFT_RWLOCK_WRITER)
#define QUEUED ((uint64_t)2)
#define DEAD ((uint64_t)4)
#define WOKEN ((uint64_t)8)
#define CHECKED ((uint64_t)16)
#define BYPASS ((uint64_t)1 << 8) /* one of them */
#define BYPASSES ((uint64_t)0xffffff << 8)
/* A writer that was woken for nothing counts as that many: two such, and it is handed over. */
#define BYPASSES_PER_LOSS ((uint64_t)((WF_RWLOCK_BYPASSES + 1) / 2) * BYPASS)
#define READER WEFT_RWLOCK_READER /* one of them */
#define READERS_FULL ((uint64_t)1 << 63)

struct rwlock {
    WF_ATOMIC(uint64_t) word;
    struct wf_wait_queue queue;   /* under queue_lock; without those in `readers` */
    struct wf_wait_queue readers; /* under queue_lock; of a lock that prefers readers */
    struct wf_lock queue_lock;
    uint32_t kind; /* of the initialiser */
};

static inline struct rwlock *internal(weft_rwlock *lock)
{
    return (struct rwlock *)(void *)lock;
}

static inline bool prefers_readers(const struct rwlock *lock)
{
    return lock->kind == WEFT_RWLOCK_PREFER_READERS;
}

static inline struct wf_wait_queue *queue_of(struct rwlock *lock, bool is_writer)
{
    return prefers_readers(lock) && !is_writer ? &lock->readers : &lock->queue;
}

static inline uint64_t allow_bypasses(uint64_t word, uint64_t waiters)
{
    uint64_t bypasses = waiters * WF_RWLOCK_BYPASSES * BYPASS;

    return (word & ~BYPASSES) | (bypasses < BYPASSES ? bypasses : BYPASSES);
}

/* The same for those who wait behind one that has the lock, if there are any. */
static inline uint64_t allow_behind(uint64_t word, uint64_t holders)
{
    return (word & QUEUED) != 0 ? allow_bypasses(word, holders) : word & ~BYPASSES;
}

/* What the word becomes with one reader more; 0 if that one must wait, or cannot be counted. */
static inline uint64_t with_reader(const struct rwlock *lock, uint64_t word)
{
    if (WF_UNLIKELY((word & (WRITER | DEAD)) != 0 || word >= READERS_FULL))
        return 0;
    if (WF_LIKELY((word & (QUEUED | WOKEN)) == 0))
        return word + READER;
    if (word < READER && (word & WOKEN) == 0)
        return 0; /* it is being handed over */
    if (prefers_readers(lock))
        return word + READER;
    return (word & BYPASSES) != 0 ? word + READER - BYPASS : 0;
}

/* The same with a writer. */
static inline uint64_t with_writer(uint64_t word, bool is_woken)
{
    if ((word & (WRITER | DEAD)) != 0 || word >= READER)
        return 0;
    if (WF_LIKELY((word & (QUEUED | WOKEN)) == 0))
        return word | WRITER;
    if (is_woken)
        return allow_behind((word & ~WOKEN) | WRITER, 1);
    return (word & WOKEN) != 0 && (word & BYPASSES) != 0 ? (word | WRITER) - BYPASS : 0;
}

static inline uint64_t with_one_more(const struct rwlock *lock, bool is_writer, bool is_woken,
                                     uint64_t word)
{
    return is_writer ? with_writer(word, is_woken) : with_reader(lock, word);
}

#endif
