/* SPDX-License-Identifier: MIT */
/*
 * The ready queue of a worker: a bounded ring, first in first out, for fibers that were woken or
 * have yielded.  The owner pushes; the owner and thieves take from the head.
 *
 * The hazard is a slot that the owner fills anew while a thief reads it.  Whoever takes reads the
 * slots first and then claims them by a compare-and-swap on `head`, which fails if anyone claimed
 * them meanwhile; the owner fills a slot only after it has seen `head` pass it.  (The run queue of
 * Go, runtime/proc.go runqget and runqgrab, with 64-bit indices, so that none comes round again.)
 *
 *   Edge   From                   To                      Promises
 *   RQ.1   push: tail release     take: tail acquire      the item in the slot is visible
 *   RQ.2   take: head release     push: head acquire      slot reads precede slot reuse
 */
#ifndef WF_RUNTIME_READY_H
#define WF_RUNTIME_READY_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef WF_READY_CAPACITY
#define WF_READY_CAPACITY 256 /* a power of two */
#endif

struct wf_ready {
    WF_CACHE_ALIGNED WF_ATOMIC(uint64_t) head; /* whoever takes writes */
    WF_CACHE_ALIGNED WF_ATOMIC(uint64_t) tail; /* owner writes */
    WF_ATOMIC(void *) slots[WF_READY_CAPACITY];
};

/* Items in the ring, exact for the owner where nobody steals, a hint otherwise. */
static inline uint64_t wf_ready_size(struct wf_ready *ready)
{
    /* relaxed: a hint. */
    uint64_t head = atomic_load_explicit(&ready->head, memory_order_relaxed);
    /* relaxed: a hint. */
    uint64_t tail = atomic_load_explicit(&ready->tail, memory_order_relaxed);

    return tail > head ? tail - head : 0;
}

/* Caller: the owner.  Returns false when the ring is full. */
static inline bool wf_ready_push(struct wf_ready *ready, void *item)
{
    /* relaxed: only the owner writes it. */
    uint64_t tail = atomic_load_explicit(&ready->tail, memory_order_relaxed);

    /* RQ.2 acquire: whoever took the slot's last item has read it. */
    if (tail - atomic_load_explicit(&ready->head, memory_order_acquire) >= WF_READY_CAPACITY)
        return false;
    /* relaxed: RQ.1 publishes it. */
    atomic_store_explicit(&ready->slots[tail % WF_READY_CAPACITY], item, memory_order_relaxed);
    /* RQ.1 release: whoever sees the new tail sees the item. */
    atomic_store_explicit(&ready->tail, tail + 1, memory_order_release);
    return true;
}

/*
 * Takes the oldest items into `items`: half of what is there, rounded up, but `limit` at most.
 *
 * Caller: anyone.  Returns how many; 0: nothing there, or another was faster.
 */
static inline uint64_t wf_ready_take_half(struct wf_ready *ready, void **items, uint64_t limit)
{
    /* RQ.1 acquire: no newer tail than what the head below belongs to can be missed twice. */
    uint64_t head = atomic_load_explicit(&ready->head, memory_order_acquire);
    /* RQ.1 acquire: the items up to the tail are visible. */
    uint64_t tail = atomic_load_explicit(&ready->tail, memory_order_acquire);
    uint64_t count = tail - head - (tail - head) / 2;

    /* An old head with a new tail can span more than the ring: then the claim would fail. */
    if (tail <= head || tail - head > WF_READY_CAPACITY)
        return 0;
    if (count > limit)
        count = limit;
    for (uint64_t i = 0; i < count; i++) {
        /* relaxed: RQ.1 made it visible; if it is being reused, the claim fails. */
        items[i] = atomic_load_explicit(&ready->slots[(head + i) % WF_READY_CAPACITY],
                                        memory_order_relaxed);
    }
    /* RQ.2 release: our reads come before the owner's reuse; relaxed on failure: nothing used. */
    if (!atomic_compare_exchange_strong_explicit(&ready->head, &head, head + count,
                                                 memory_order_release, memory_order_relaxed))
        return 0;
    return count;
}

/* Caller: the owner.  Returns the oldest item, or NULL. */
static inline void *wf_ready_pop(struct wf_ready *ready)
{
    /* relaxed: only the owner writes it. */
    uint64_t tail = atomic_load_explicit(&ready->tail, memory_order_relaxed);
    /* relaxed: the claim below confirms it; the owner wrote all slots itself. */
    uint64_t head = atomic_load_explicit(&ready->head, memory_order_relaxed);

    while (head != tail) {
        /* relaxed: the owner wrote it. */
        void *item = atomic_load_explicit(&ready->slots[head % WF_READY_CAPACITY],
                                          memory_order_relaxed);

        /* relaxed: the owner reuses the slot itself, in program order; a thief's claim that we
         * overtake fails on the value alone. */
        if (atomic_compare_exchange_weak_explicit(&ready->head, &head, head + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return item;
    }
    return NULL;
}

#endif
