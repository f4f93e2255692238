/* SPDX-License-Identifier: MIT */
/*
 * The next slot of a worker: the fiber that it runs before all others.  The worker alone fills it;
 * the worker and thieves empty it.
 *
 *   Edge   From                    To                      Promises
 *   NX.1   put: next release       take: next acq_rel      the fiber's fields
 */
#ifndef WF_RUNTIME_NEXT_H
#define WF_RUNTIME_NEXT_H

#include "arch/atomic.h"

#include <stddef.h>

struct weft_fiber;

typedef WF_ATOMIC(struct weft_fiber *) wf_next_slot;

/* Returns the fiber that was there, which is the caller's to queue, or NULL.  Caller: the owner. */
static inline struct weft_fiber *wf_next_put(wf_next_slot *next, struct weft_fiber *fiber)
{
    /* relaxed: only the owner fills the slot; if a thief empties it meanwhile, the exchange below
     * finds it empty. */
    if (atomic_load_explicit(next, memory_order_relaxed) == NULL) {
        /* NX.1 release: the fiber's fields. */
        atomic_store_explicit(next, fiber, memory_order_release);
        return NULL;
    }
    /* NX.1 acq_rel: the fiber's fields, and those of the old one. */
    return atomic_exchange_explicit(next, fiber, memory_order_acq_rel);
}

/* The same without a claim.  Caller: the owner, which has passed the gate (gate.h). */
static inline struct weft_fiber *wf_next_take_alone(wf_next_slot *next)
{
    /* relaxed: the owner filled it itself. */
    struct weft_fiber *fiber = atomic_load_explicit(next, memory_order_relaxed);

    /* relaxed: the gate tells thieves. */
    if (fiber != NULL)
        atomic_store_explicit(next, NULL, memory_order_relaxed);
    return fiber;
}

/* Returns NULL if the slot is empty.  Caller: anyone. */
static inline struct weft_fiber *wf_next_take(wf_next_slot *next)
{
    /* relaxed: the exchange decides; it is spared while the slot is empty. */
    if (atomic_load_explicit(next, memory_order_relaxed) == NULL)
        return NULL;
    /* NX.1 acq_rel: the fiber's fields. */
    return atomic_exchange_explicit(next, NULL, memory_order_acq_rel);
}

#endif
