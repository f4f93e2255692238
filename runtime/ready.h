/* SPDX-License-Identifier: MIT */
/*
 * The ready queue of a worker, first in first out, for fibers that were woken or have yielded.  The
 * owner pushes at the tail; the owner and thieves take from the head.  It grows when it is full:
 * whoever is in it keeps its place, which is what the bounds in docs/fairness.md rest on.
 *
 * It is a deque (deque.h) of which nobody pops the bottom.  That is why several items can be
 * claimed at once: the owner comes to the slots above `top` by the same compare-and-swap as the
 * thieves, and fills a slot anew only after it has seen `top` pass it.  (As in the run queue of Go,
 * runtime/proc.go runqget and runqgrab, which is bounded and spills.)
 *
 * The edges are those of the deque: DQ.1 for what is in a slot, DQ.4 for a queue that has grown,
 * DQ.5 for a slot that is used again.
 */
#ifndef WF_RUNTIME_READY_H
#define WF_RUNTIME_READY_H

#include "runtime/deque.h"

struct wf_ready {
    struct wf_deque queue; /* top: the head, bottom: the tail */
};

/* Returns false when there is no memory.  The struct is zeroed by the caller. */
static inline bool wf_ready_init(struct wf_ready *ready, int64_t capacity)
{
    return wf_deque_init(&ready->queue, capacity);
}

/* Caller: the owner, when no thief can come any more. */
static inline void wf_ready_destroy(struct wf_ready *ready)
{
    wf_deque_destroy(&ready->queue);
}

/* Items in the queue, exact for the owner where nobody steals, a hint otherwise. */
static inline uint64_t wf_ready_size(struct wf_ready *ready)
{
    return (uint64_t)wf_deque_size(&ready->queue);
}

/* Caller: the owner.  Returns false, having pushed nothing, when there is no memory to grow. */
static inline bool wf_ready_push(struct wf_ready *ready, void *item)
{
    return wf_deque_push(&ready->queue, item);
}

/* The same, but a full queue does not grow. */
static inline bool wf_ready_push_if_room(struct wf_ready *ready, void *item)
{
    return wf_deque_push_if_room(&ready->queue, item);
}

/*
 * Takes the oldest items into `items`: half of what is there, rounded up, but `limit` at most.
 *
 * Caller: a thief that has entered.  Returns how many; 0: nothing there, or another was faster.
 */
static inline uint64_t wf_ready_take_half(struct wf_ready *ready, void **items, uint64_t limit)
{
    struct wf_deque *queue = &ready->queue;
    /* DQ.1 acquire: not after the look at the tail, which would then be the older of the two. */
    int64_t head = atomic_load_explicit(&queue->top, memory_order_acquire);
    /* DQ.1 acquire: the items up to the tail are visible. */
    int64_t tail = atomic_load_explicit(&queue->bottom, memory_order_acquire);
    /* DQ.4 seq_cst: the slots that were copied into it are visible; DQ.6: after wf_thief_enter().
     */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&queue->buffer, memory_order_seq_cst);
    int64_t count = tail - head - (tail - head) / 2;

    /* An old head with a new tail can span more than the ring: then the claim would fail. */
    if (tail <= head || tail - head > buffer->mask + 1)
        return 0;
    if ((uint64_t)count > limit)
        count = (int64_t)limit;
    for (int64_t i = 0; i < count; i++) {
        /* relaxed: DQ.1 made it visible; if it is being reused, the claim fails. */
        items[i] = atomic_load_explicit(wf_deque_slot(buffer, head + i), memory_order_relaxed);
    }
    /* DQ.5 release: our reads come before the owner's reuse; relaxed on failure: nothing used. */
    if (!atomic_compare_exchange_strong_explicit(&queue->top, &head, head + count,
                                                 memory_order_release, memory_order_relaxed))
        return 0;
    return (uint64_t)count;
}

/* Caller: the owner.  Returns the oldest item, or NULL. */
static inline void *wf_ready_pop(struct wf_ready *ready)
{
    struct wf_deque *queue = &ready->queue;
    /* relaxed: only the owner writes it. */
    int64_t tail = atomic_load_explicit(&queue->bottom, memory_order_relaxed);
    /* relaxed: the claim below confirms it; the owner wrote all slots itself. */
    int64_t head = atomic_load_explicit(&queue->top, memory_order_relaxed);
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&queue->buffer, memory_order_relaxed);

    while (head != tail) {
        /* relaxed: the owner wrote it. */
        void *item = atomic_load_explicit(wf_deque_slot(buffer, head), memory_order_relaxed);

        /* relaxed: the owner reuses the slot itself, in program order; a thief's claim that we
         * overtake fails on the value alone. */
        if (atomic_compare_exchange_weak_explicit(&queue->top, &head, head + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return item;
    }
    return NULL;
}

/* The same without a claim.  Caller: the owner, which has passed the gate (gate.h). */
static inline void *wf_ready_pop_alone(struct wf_ready *ready)
{
    struct wf_deque *queue = &ready->queue;
    /* relaxed: only the owner writes it. */
    int64_t tail = atomic_load_explicit(&queue->bottom, memory_order_relaxed);
    /* relaxed: so it does while the gate is open. */
    int64_t head = atomic_load_explicit(&queue->top, memory_order_relaxed);

    if (head == tail)
        return NULL;
    /* relaxed: the gate tells thieves. */
    atomic_store_explicit(&queue->top, head + 1, memory_order_relaxed);
    /* relaxed: only the owner writes it, and it wrote the slot. */
    return atomic_load_explicit(
        wf_deque_slot(atomic_load_explicit(&queue->buffer, memory_order_relaxed), head),
        memory_order_relaxed);
}

#endif
