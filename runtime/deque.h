/* SPDX-License-Identifier: MIT */
/*
 * The work-stealing deque: its owner pushes and pops at the bottom, thieves take from the top.
 *
 * The hazard is the last item, which the owner and a thief can both want, and a thief that reads a
 * slot while the owner writes it anew.  The first is decided by a compare-and-swap on `top`; the
 * second is harmless because the thief reads before that compare-and-swap, which then fails.
 *
 * Chase and Lev, "Dynamic Circular Work-Stealing Deque" (SPAA 2005), with the C11 orders of Le,
 * Pop, Cohen and Zappa Nardelli (PPoPP 2013) and these deviations:
 *   - no fences: `bottom` and `top` are accessed with seq_cst instead, which ThreadSanitizer and
 *     model checkers understand and which costs the same on x86-64;
 *   - the buffer pointer is published with release (relaxed in the paper, which is wrong on ARM);
 *   - a pop of the only item takes it like a thief, by the compare-and-swap alone;
 *   - indices are signed and never wrap; old buffers are kept until the deque is destroyed, since
 *     a thief may still read one.  Those that were left for smaller ones lose their memory, so
 *     that a thief reads NULL there, and are taken again when the deque grows.
 *
 *   Edge   From                         To                         Promises
 *   DQ.1   push: bottom release         steal: bottom seq_cst      the slot's item is visible
 *   DQ.2   pop: bottom seq_cst          steal: bottom seq_cst      owner and thief do not both miss
 *                                                                  each other's claim
 *   DQ.3   steal/pop: top seq_cst       pop: top seq_cst           the same, other way round
 *   DQ.4   grow: buffer release         steal: buffer acquire      the copied slots are visible
 *   DQ.5   steal: top compare-and-swap  push: top acquire          slot reads precede slot reuse
 *
 * The ready queue (ready.h) is one of these, with ways of its own to take from the top.
 */
#ifndef WF_RUNTIME_DEQUE_H
#define WF_RUNTIME_DEQUE_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/alloc.h"

#include <stdbool.h>
#include <stdint.h>

enum { WF_DEQUE_KEPT = 2048 }; /* slots that a deque does not give back */

struct wf_deque_buffer {
    int64_t capacity;                /* immutable */
    struct wf_deque_buffer *retired; /* owner: the next of those that are not used now */
    /* [capacity] slots follow */
};

struct wf_deque {
    /* Thieves write `top`; its own lines keep them off the owner's. */
    WF_CACHE_ALIGNED WF_ATOMIC(int64_t) top;
    WF_CACHE_ALIGNED WF_ATOMIC(int64_t) bottom; /* owner writes */
    WF_ATOMIC(struct wf_deque_buffer *) buffer; /* owner writes */
    bool has_grown;                             /* owner: since the last wf_deque_trim() */
};

/* Computed, not kept: one load less on the way of every fiber. */
static inline WF_ATOMIC(void *) * wf_deque_slot(struct wf_deque_buffer *buffer, int64_t index)
{
    return (WF_ATOMIC(void *) *)(void *)(buffer + 1) + (index & (buffer->capacity - 1));
}

static inline struct wf_deque_buffer *wf_deque_buffer_create(int64_t capacity)
{
    size_t size = sizeof(struct wf_deque_buffer) + (size_t)capacity * sizeof(WF_ATOMIC(void *));
    struct wf_deque_buffer *buffer = (struct wf_deque_buffer *)wf_alloc(size);

    if (buffer == NULL)
        return NULL;
    buffer->capacity = capacity;
    for (int64_t i = 0; i < capacity; i++)
        atomic_init(wf_deque_slot(buffer, i), NULL);
    return buffer;
}

/* `capacity` slots at the start, a power of two.  Returns false when there is no memory.  The
 * struct is zeroed by the caller. */
static inline bool wf_deque_init(struct wf_deque *deque, int64_t capacity)
{
    struct wf_deque_buffer *buffer = wf_deque_buffer_create(capacity);

    /* relaxed: no other thread knows the deque yet. */
    atomic_store_explicit(&deque->buffer, buffer, memory_order_relaxed);
    return buffer != NULL;
}

/* Caller: the owner, when no thief can come any more. */
static inline void wf_deque_destroy(struct wf_deque *deque)
{
    /* relaxed: nobody else is left. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);

    while (buffer != NULL) {
        struct wf_deque_buffer *retired = buffer->retired;

        wf_free(buffer);
        buffer = retired;
    }
}

/* Items in the deque, exact for the owner between its calls, a hint for anyone else. */
static inline int64_t wf_deque_size(struct wf_deque *deque)
{
    /* relaxed: a hint. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* relaxed: a hint. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);

    return bottom > top ? bottom - top : 0;
}

/* Takes the retired buffer of so many slots out of the list that begins at `buffer`.  Caller: the
 * owner.  NULL if there is none. */
static inline struct wf_deque_buffer *wf_deque_take_retired(struct wf_deque_buffer *buffer,
                                                            int64_t capacity)
{
    for (; buffer->retired != NULL; buffer = buffer->retired) {
        struct wf_deque_buffer *found = buffer->retired;

        if (found->capacity != capacity)
            continue;
        buffer->retired = found->retired;
        return found;
    }
    return NULL;
}

/* Goes on in another buffer.  Caller: the owner. */
static inline void wf_deque_move(struct wf_deque *deque, struct wf_deque_buffer *old,
                                 struct wf_deque_buffer *buffer, int64_t top, int64_t bottom)
{
    for (int64_t i = top; i < bottom; i++) {
        /* relaxed: the owner wrote it, or DQ.4 publishes it. */
        void *item = atomic_load_explicit(wf_deque_slot(old, i), memory_order_relaxed);
        /* relaxed: DQ.4 publishes it. */
        atomic_store_explicit(wf_deque_slot(buffer, i), item, memory_order_relaxed);
    }
    buffer->retired = old;
    /* DQ.4 release: a thief that sees the new buffer sees the copied slots. */
    atomic_store_explicit(&deque->buffer, buffer, memory_order_release);
}

/* Caller: the owner.  Returns NULL when there is no memory. */
static inline struct wf_deque_buffer *
wf_deque_grow(struct wf_deque *deque, struct wf_deque_buffer *old, int64_t top, int64_t bottom)
{
    struct wf_deque_buffer *buffer = wf_deque_take_retired(old, old->capacity * 2);

    if (buffer == NULL)
        buffer = wf_deque_buffer_create(old->capacity * 2);
    if (buffer == NULL)
        return NULL;
    deque->has_grown = true;
    wf_deque_move(deque, old, buffer, top, bottom);
    return buffer;
}

/* Goes back to half the room, if a quarter is enough, and gives the memory of the other buffer
 * back. Caller: the owner.  Returns false if it does not. */
static inline bool wf_deque_shrink(struct wf_deque *deque, int64_t kept)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* relaxed: an old value only means that more is copied. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *old = atomic_load_explicit(&deque->buffer, memory_order_relaxed);
    struct wf_deque_buffer *buffer = NULL;

    if (old->capacity > kept && bottom - top <= old->capacity / 4)
        buffer = wf_deque_take_retired(old, old->capacity / 2);
    if (buffer == NULL)
        return false;
    wf_deque_move(deque, old, buffer, top, bottom);
    wf_alloc_discard(old + 1, (size_t)old->capacity * sizeof(WF_ATOMIC(void *)));
    return true;
}

/* Whether it has more room than it keeps.  Caller: anyone. */
static inline bool wf_deque_is_large(struct wf_deque *deque)
{
    /* DQ.4 acquire: its capacity. */
    return atomic_load_explicit(&deque->buffer, memory_order_acquire)->capacity > WF_DEQUE_KEPT;
}

/* Gives room back: half, if the deque has not grown since the last time, or `all` that it does not
 * need.  Caller: the owner. */
static inline void wf_deque_trim(struct wf_deque *deque, bool all)
{
    bool has_grown = deque->has_grown;

    deque->has_grown = false;
    if (has_grown && !all)
        return;
    while (wf_deque_shrink(deque, WF_DEQUE_KEPT) && all)
        continue;
}

WF_INLINE bool wf_deque_push_or_grow(struct wf_deque *deque, void *item, bool may_grow)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* DQ.5 acquire: the thief that freed the slot has read it. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);

    if (WF_UNLIKELY(bottom - top >= buffer->capacity)) {
        buffer = may_grow ? wf_deque_grow(deque, buffer, top, bottom) : NULL;
        if (buffer == NULL)
            return false;
    }
    /* relaxed: DQ.1 publishes it. */
    atomic_store_explicit(wf_deque_slot(buffer, bottom), item, memory_order_relaxed);
    /* DQ.1 release: a thief that sees the new bottom sees the item. */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return true;
}

/* Caller: the owner.  Returns false, having pushed nothing, when there is no memory to grow. */
static inline bool wf_deque_push(struct wf_deque *deque, void *item)
{
    return wf_deque_push_or_grow(deque, item, true);
}

/* The same, but a full deque does not grow. */
static inline bool wf_deque_push_if_room(struct wf_deque *deque, void *item)
{
    return wf_deque_push_or_grow(deque, item, false);
}

/* Claims the item at `top` against everyone else. */
static inline bool wf_deque_claim(struct wf_deque *deque, int64_t top)
{
    /* DQ.3 seq_cst, DQ.5: one claim wins, and our read of the slot comes before it; relaxed on
     * failure: the loser uses nothing. */
    return atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* Caller: the owner.  Returns the youngest item, or NULL. */
static inline void *wf_deque_pop(struct wf_deque *deque)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    /* relaxed: an old value only means one more item to try for. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
    struct wf_deque_buffer *buffer;
    void *item;

    if (top > bottom)
        return NULL;
    /* relaxed: only the owner writes it. */
    buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);
    /* relaxed: the owner wrote it. */
    item = atomic_load_explicit(wf_deque_slot(buffer, bottom), memory_order_relaxed);
    if (top == bottom)
        return wf_deque_claim(deque, top) ? item : NULL;

    /* DQ.2 seq_cst: claim the slot before looking where the thieves are. */
    atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);
    /* DQ.3 seq_cst: a thief that missed our claim has moved top, and we see it. */
    top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    if (top < bottom)
        return item;
    if (top > bottom || !wf_deque_claim(deque, top))
        item = NULL;
    /* relaxed: the deque is empty, and no item hangs on this store. */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);
    return item;
}

/* Caller: anyone.  Returns the oldest item, or NULL: nothing there, or another was faster. */
static inline void *wf_deque_steal(struct wf_deque *deque)
{
    /* DQ.3 seq_cst: before the look at bottom. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    /* DQ.1 and DQ.2 seq_cst: the item is visible, or the owner's claim is. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
    struct wf_deque_buffer *buffer;
    void *item;

    if (top >= bottom)
        return NULL;
    /* DQ.4 acquire: the slots that were copied into it are visible. */
    buffer = atomic_load_explicit(&deque->buffer, memory_order_acquire);
    /* relaxed: DQ.1 made it visible; if it is being reused, the claim fails. */
    item = atomic_load_explicit(wf_deque_slot(buffer, top), memory_order_relaxed);
    /* NULL: the buffer is not used any more and has lost its memory.  The item is in another. */
    return item != NULL && wf_deque_claim(deque, top) ? item : NULL;
}

#endif
