/* SPDX-License-Identifier: MIT */
/*
 * Weighted semaphores.
 *
 * One word counts the permits, and has a bit QUEUED while somebody waits, or has just given up.
 * Without it permits are taken and given by one compare-and-swap; with it only under the lock,
 * which the queue has too, so that permits are given in order.  Whoever waits sets it, but nobody
 * who may not, and whoever finds the queue empty under the lock clears it: those who find the bit
 * look there before they give up.
 *
 * Whoever releases does not touch the semaphore once another can have all that is released: the
 * compare-and-swap is the last thing, and so is the lock's release, since those who are woken after
 * it, or wait for it having given up, have not returned yet.
 *
 *   Edge   From                      To                        Promises
 *   SE.1   release: permits release  acquire: permits acquire  whoever has a permit sees what was
 *                                                              done before it was given
 *
 * A release is carried on by the compare-and-swaps that follow, so an acquire sees all of them.
 * One that waited sees it by its wake: who gave it its permits has acquired them.
 */
#include "arch/atomic.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/semaphore.h>

#define QUEUED ((uint64_t)1 << 63) /* in `permits`; what is below counts them */

struct semaphore {
    WF_ATOMIC(uint64_t) permits;
    struct wf_wait_queue queue; /* under the lock; not empty: the first wants more than there are */
    struct wf_lock lock;
    uint32_t reserved;
};

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct semaphore) == sizeof(weft_semaphore),
               "the public type has other fields");
_Static_assert(WEFT_SEMAPHORE_MAX == QUEUED - 1, "the bit is above all permits");
#endif

/* In the frame of whoever waits. */
struct permit_wait {
    struct wf_wait_entry entry;
    uint64_t count;
};

static const struct wf_wait_kind semaphore_kind = {"a semaphore", offsetof(struct semaphore, lock),
                                                   0};

static struct semaphore *internal(weft_semaphore *semaphore)
{
    return (struct semaphore *)(void *)semaphore;
}

/* Takes the permits if they are there and nobody waits.  Returns false with the word as it was last
 * seen. */
static inline bool take(struct semaphore *semaphore, uint64_t count, uint64_t *seen)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&semaphore->permits, memory_order_relaxed);

    do {
        if (WF_UNLIKELY((word & QUEUED) != 0 || word < count)) {
            *seen = word;
            return false;
        }
        /* SE.1 acquire: what was done before they were given; relaxed on failure: we look again. */
    } while (WF_UNLIKELY(!atomic_compare_exchange_weak_explicit(
        &semaphore->permits, &word, word - count, memory_order_acquire, memory_order_relaxed)));
    return true;
}

/* Gives the permits, unless somebody waits. */
static inline bool give(struct semaphore *semaphore, uint64_t count)
{
    /* relaxed: the compare-and-swap decides. */
    uint64_t word = atomic_load_explicit(&semaphore->permits, memory_order_relaxed);

    do {
        if (WF_UNLIKELY((word & QUEUED) != 0))
            return false;
        if (WF_UNLIKELY(count > WEFT_SEMAPHORE_MAX - word))
            wf_panic("weft_semaphore_release: more permits than fit into 63 bits");
        /* SE.1 release: what we did before; relaxed on failure: we look again. */
    } while (WF_UNLIKELY(!atomic_compare_exchange_weak_explicit(
        &semaphore->permits, &word, word + count, memory_order_release, memory_order_relaxed)));
    return true;
}

/*
 * Adds `added` permits, if somebody waits, or has given up without having been here yet, and gives
 * out what there is, in order.  Returns false, having done nothing, if nobody does; else `*list` is
 * the entries to wake.  Caller holds the lock.
 */
static bool grant(struct semaphore *semaphore, uint64_t added, struct wf_wait_entry **list)
{
    struct wf_wait_entry **end = list;
    /* SE.1 acquire: what was done before the permits were given that are there, for those who are
     * woken.  With QUEUED nobody else changes it. */
    uint64_t permits = atomic_load_explicit(&semaphore->permits, memory_order_acquire);

    *list = NULL;
    if ((permits & QUEUED) == 0)
        return false;
    permits &= ~QUEUED;
    if (WF_UNLIKELY(added > WEFT_SEMAPHORE_MAX - permits))
        wf_panic("weft_semaphore_release: more permits than fit into 63 bits");
    permits += added;
    while (!wf_wait_queue_is_empty(&semaphore->queue)) {
        struct wf_wait_entry *entry = semaphore->queue.first;
        uint64_t count = WF_CONTAINER_OF(entry, struct permit_wait, entry)->count;

        if (count > permits)
            break;
        permits -= count;
        (void)wf_wait_queue_remove(&semaphore->queue, entry);
        *end = entry;
        end = &entry->previous;
    }
    *end = NULL;
    if (!wf_wait_queue_is_empty(&semaphore->queue))
        permits |= QUEUED;
    /* SE.1 release: what we did before, and those who gave the other permits. */
    atomic_store_explicit(&semaphore->permits, permits, memory_order_release);
    return true;
}

/* Clears the bit of one that waits no more, but has not been here since: it is in nobody's way.
 * Caller holds the lock. */
static void retract(struct semaphore *semaphore)
{
    struct wf_wait_entry *nobody;

    if (wf_wait_queue_is_empty(&semaphore->queue))
        (void)grant(semaphore, 0, &nobody);
}

/* Takes the permits: 0; or announces somebody who waits for them: -EAGAIN; or neither, and returns
 * why the caller may not wait.  Caller holds the lock. */
static int take_or_announce(struct semaphore *semaphore, uint64_t count, weft_time deadline)
{
    uint64_t word;

    retract(semaphore);
    for (;;) {
        int refusal;

        if (take(semaphore, count, &word))
            return 0;
        /* Before the bit is set: it would send others to the lock for one that does not wait. */
        refusal = wf_wait_refusal(wf_self(), deadline);
        if (refusal != 0)
            return refusal;
        /* relaxed: the queue is published by its lock; on failure we look again. */
        if ((word & QUEUED) != 0 ||
            atomic_compare_exchange_weak_explicit(&semaphore->permits, &word, word | QUEUED,
                                                  memory_order_relaxed, memory_order_relaxed))
            return -EAGAIN;
    }
}

static WF_NOINLINE int acquire_slow(struct semaphore *semaphore, uint64_t count, weft_time deadline)
{
    struct permit_wait wait = {{NULL, NULL, NULL, NULL}, count};
    struct wf_wait_entry *list;
    int error;

    wf_lock_acquire(&semaphore->lock);
    error = take_or_announce(semaphore, count, deadline);
    if (error != -EAGAIN) {
        wf_lock_release(&semaphore->lock);
        return error;
    }
    error = wf_wait_queue_sleep(wf_self(), &semaphore->queue, &semaphore->lock, &wait.entry,
                                deadline, &semaphore_kind);
    if (error == 0)
        return 0;
    /* Those behind us may want less than we did. */
    wf_lock_acquire(&semaphore->lock);
    (void)grant(semaphore, 0, &list);
    wf_lock_release(&semaphore->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return error;
}

int weft_semaphore_acquire(weft_semaphore *handle, uint64_t count, weft_time deadline)
{
    uint64_t word;

    if (WF_LIKELY(take(internal(handle), count, &word)))
        return 0;
    return acquire_slow(internal(handle), count, deadline);
}

/* There are permits enough, but somebody has announced a wait that may have ended. */
static WF_NOINLINE int try_slow(struct semaphore *semaphore, uint64_t count)
{
    uint64_t word;
    bool is_taken;

    wf_lock_acquire(&semaphore->lock);
    retract(semaphore);
    is_taken = take(semaphore, count, &word);
    wf_lock_release(&semaphore->lock);
    return is_taken ? 0 : -EBUSY;
}

int weft_semaphore_try_acquire(weft_semaphore *handle, uint64_t count)
{
    struct semaphore *semaphore = internal(handle);
    uint64_t word;

    if (WF_LIKELY(take(semaphore, count, &word)))
        return 0;
    if (WF_UNLIKELY(wf_lock_is_gone(&semaphore->lock)))
        wf_panic("weft_semaphore_try_acquire: the semaphore %p was destroyed", (void *)semaphore);
    return (word & QUEUED) != 0 && (word & ~QUEUED) >= count ? try_slow(semaphore, count) : -EBUSY;
}

static WF_NOINLINE void release_slow(struct semaphore *semaphore, uint64_t count)
{
    struct wf_wait_entry *list;
    bool is_given;

    do {
        wf_lock_acquire(&semaphore->lock);
        is_given = grant(semaphore, count, &list);
        wf_lock_release(&semaphore->lock);
    } while (!is_given && !give(semaphore, count));
    wf_wait_queue_wake_list(wf_self(), list, 0);
}

void weft_semaphore_release(weft_semaphore *handle, uint64_t count)
{
    if (WF_UNLIKELY(!give(internal(handle), count)))
        release_slow(internal(handle), count);
}

uint64_t weft_semaphore_available(weft_semaphore *handle)
{
    struct semaphore *semaphore = internal(handle);

    if (WF_UNLIKELY(wf_lock_is_gone(&semaphore->lock)))
        wf_panic("weft_semaphore_available: the semaphore %p was destroyed", (void *)semaphore);
    /* relaxed: it can have changed by the time that the caller looks at it. */
    return atomic_load_explicit(&semaphore->permits, memory_order_relaxed) & ~QUEUED;
}

void weft_semaphore_destroy(weft_semaphore *handle)
{
    struct semaphore *semaphore = internal(handle);

    wf_wait_queue_retire(&semaphore->queue, &semaphore->lock, "weft_semaphore_destroy");
    /* relaxed: nobody may use it any more; who does is sent to the lock by this. */
    atomic_store_explicit(&semaphore->permits, QUEUED, memory_order_relaxed);
}
