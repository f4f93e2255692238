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
 *   - the buffer pointer is published with seq_cst (relaxed in the paper, which is wrong on ARM):
 *     DQ.6 needs more than release;
 *   - a pop of the only item takes it like a thief, by the compare-and-swap alone;
 *   - indices are signed and never wrap; a thief may still read a buffer that the owner has left.
 *     So it says that it looks for as long as it does, and the owner frees old buffers when it
 *     finds nobody looking.
 *
 *   Edge   From                         To                         Promises
 *   DQ.1   push: bottom release         steal: bottom seq_cst      the slot's item is visible
 *   DQ.2   pop: bottom seq_cst          steal: bottom seq_cst      owner and thief do not both miss
 *                                                                  each other's claim
 *   DQ.3   steal/pop: top seq_cst       pop: top seq_cst           the same, other way round
 *   DQ.4   move: buffer seq_cst         steal: buffer seq_cst      the copied slots are visible
 *   DQ.5   steal: top compare-and-swap  push: top acquire          slot reads precede slot reuse
 *   DQ.6   enter: looks seq_cst         free: looks seq_cst        with DQ.4: the owner sees the
 *                                                                  thief, or it the new buffer
 *   DQ.7   leave: looks release         free: looks seq_cst        slot reads precede the end of
 *                                                                  a buffer
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

enum { WF_DEQUE_KEPT = 256 }; /* slots that a deque does not give back */

struct wf_deque_buffer {
    int64_t mask;                    /* immutable: of an index; one less than its slots */
    struct wf_deque_buffer *retired; /* owner: the next of those that were left */
    /* [mask + 1] slots follow */
};

struct wf_deque {
    /* Thieves write `top`; its own lines keep them off the owner's. */
    WF_CACHE_ALIGNED WF_ATOMIC(int64_t) top;
    WF_CACHE_ALIGNED WF_ATOMIC(int64_t) bottom; /* owner writes */
    WF_ATOMIC(struct wf_deque_buffer *) buffer; /* owner writes */
    struct wf_deque_buffer *retired;            /* owner: those that were left */
    WF_ATOMIC(uint32_t) excess;                 /* owner writes: 1 if there is something to trim */
    bool has_grown;                             /* owner: since the last wf_deque_trim() */
};

/* Whether a thief may have the address of a buffer.  One for each. */
struct wf_thief {
    WF_ATOMIC(uint32_t) looks; /* the thief writes */
};

/* Caller: the thief, before it steals from others, and after it.  Fibers do not run between. */
static inline void wf_thief_enter(struct wf_thief *thief)
{
    /* DQ.6 seq_cst: before our look at any buffer. */
    atomic_store_explicit(&thief->looks, 1, memory_order_seq_cst);
}

static inline void wf_thief_leave(struct wf_thief *thief)
{
    /* DQ.7 release: after our reads of it. */
    atomic_store_explicit(&thief->looks, 0, memory_order_release);
}

/* Caller: an owner that has left buffers.  False: this thief has the address of none of them. */
static inline bool wf_thief_looks(struct wf_thief *thief)
{
    /* DQ.6 and DQ.7 seq_cst: after our change of the buffer, and before its end. */
    return atomic_load_explicit(&thief->looks, memory_order_seq_cst) != 0;
}

/* Computed, not kept: one load less on the way of every fiber. */
static inline WF_ATOMIC(void *) * wf_deque_slot(struct wf_deque_buffer *buffer, int64_t index)
{
    return (WF_ATOMIC(void *) *)(void *)(buffer + 1) + (index & buffer->mask);
}

static inline size_t wf_deque_buffer_size(int64_t capacity)
{
    return sizeof(struct wf_deque_buffer) + (size_t)capacity * sizeof(WF_ATOMIC(void *));
}

static inline struct wf_deque_buffer *wf_deque_buffer_create(int64_t capacity)
{
    struct wf_deque_buffer *buffer = (struct wf_deque_buffer *)wf_alloc_pages(
        wf_deque_buffer_size(capacity));

    if (buffer == NULL)
        return NULL;
    buffer->mask = capacity - 1;
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

/* Frees the buffers that were left.  Caller: the owner, with no thief looking. */
static inline void wf_deque_free_retired(struct wf_deque *deque)
{
    struct wf_deque_buffer *buffer;

    while ((buffer = deque->retired) != NULL) {
        deque->retired = buffer->retired;
        wf_free_pages(buffer, wf_deque_buffer_size(buffer->mask + 1));
    }
}

/* Caller: the owner, when no thief can come any more. */
static inline void wf_deque_destroy(struct wf_deque *deque)
{
    /* relaxed: nobody else is left. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);

    wf_deque_free_retired(deque);
    if (buffer != NULL)
        wf_free_pages(buffer, wf_deque_buffer_size(buffer->mask + 1));
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
    old->retired = deque->retired;
    deque->retired = old;
    /* relaxed: a hint to whoever asks for a trim. */
    atomic_store_explicit(&deque->excess, 1, memory_order_relaxed);
    /* DQ.4 seq_cst: a thief that sees the new buffer sees the copied slots; DQ.6: before our look
     * for thieves. */
    atomic_store_explicit(&deque->buffer, buffer, memory_order_seq_cst);
}

/* Caller: the owner.  Returns NULL when there is no memory. */
static inline struct wf_deque_buffer *
wf_deque_grow(struct wf_deque *deque, struct wf_deque_buffer *old, int64_t top, int64_t bottom)
{
    struct wf_deque_buffer *buffer = wf_deque_buffer_create((old->mask + 1) * 2);

    if (buffer == NULL)
        return NULL;
    deque->has_grown = true;
    wf_deque_move(deque, old, buffer, top, bottom);
    return buffer;
}

/* Goes back to half the room, if a quarter is enough.  Caller: the owner.  Returns false if it does
 * not, or has no memory for that. */
static inline bool wf_deque_shrink(struct wf_deque *deque, int64_t kept)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* relaxed: an old value only means that more is copied. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *old = atomic_load_explicit(&deque->buffer, memory_order_relaxed);
    struct wf_deque_buffer *buffer = NULL;

    if (old->mask >= kept && bottom - top <= (old->mask + 1) / 4)
        buffer = wf_deque_buffer_create((old->mask + 1) / 2);
    if (buffer == NULL)
        return false;
    wf_deque_move(deque, old, buffer, top, bottom);
    return true;
}

/* Whether it has something to trim.  A hint.  Caller: anyone. */
static inline bool wf_deque_has_excess(struct wf_deque *deque)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&deque->excess, memory_order_relaxed) != 0;
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

/* Frees what was left, if it `may`, and notes what is still there.  After `all` has been trimmed
 * what is left is in use, or there is no memory: to ask again at once would be in vain.  Caller:
 * the owner; `may`: with no thief looking. */
static inline void wf_deque_clean(struct wf_deque *deque, bool may, bool all)
{
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);

    if (may)
        wf_deque_free_retired(deque);
    /* relaxed: a hint. */
    atomic_store_explicit(&deque->excess,
                          deque->retired != NULL || (!all && buffer->mask >= WF_DEQUE_KEPT) ? 1 : 0,
                          memory_order_relaxed);
}

WF_INLINE bool wf_deque_push_or_grow(struct wf_deque *deque, void *item, bool may_grow)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* DQ.5 acquire: the thief that freed the slot has read it. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    /* relaxed: only the owner writes it. */
    struct wf_deque_buffer *buffer = atomic_load_explicit(&deque->buffer, memory_order_relaxed);

    if (WF_UNLIKELY(bottom - top > buffer->mask)) {
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

/* The same without a claim.  Caller: the owner, which has passed the gate (gate.h). */
static inline void *wf_deque_pop_alone(struct wf_deque *deque)
{
    /* relaxed: only the owner writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;

    /* relaxed: while the gate is open nobody else writes it. */
    if (atomic_load_explicit(&deque->top, memory_order_relaxed) > bottom)
        return NULL;
    /* relaxed: the gate tells thieves. */
    atomic_store_explicit(&deque->bottom, bottom, memory_order_relaxed);
    /* relaxed: only the owner writes it, and it wrote the slot. */
    return atomic_load_explicit(
        wf_deque_slot(atomic_load_explicit(&deque->buffer, memory_order_relaxed), bottom),
        memory_order_relaxed);
}

/* Caller: the owner, or a thief that has entered.  Returns the oldest item, or NULL: nothing there,
 * or another was faster. */
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
    /* DQ.4 seq_cst: the slots that were copied into it are visible; DQ.6: after wf_thief_enter().
     */
    buffer = atomic_load_explicit(&deque->buffer, memory_order_seq_cst);
    /* relaxed: DQ.1 made it visible; if it is being reused, the claim fails. */
    item = atomic_load_explicit(wf_deque_slot(buffer, top), memory_order_relaxed);
    return wf_deque_claim(deque, top) ? item : NULL;
}

#endif
