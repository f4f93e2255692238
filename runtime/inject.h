/* SPDX-License-Identifier: MIT */
/*
 * The injector: one queue that all workers share, first in first out and without a bound, for work
 * that no worker's own queue can take.  It knows nothing of fibers: its items are links.
 *
 *   Edge   From                   To                      Promises
 *   IJ.1   push: count seq_cst    size: count seq_cst     a worker that announced its sleep, then
 *                                                         looks, sees a push that missed it
 */
#ifndef WF_RUNTIME_INJECT_H
#define WF_RUNTIME_INJECT_H

#include "arch/atomic.h"
#include "runtime/lock.h"

#include <stdbool.h>
#include <stdint.h>

struct wf_node {
    struct wf_node *next; /* whoever holds the node, or the lock of the queue it is in */
};

struct wf_inject {
    struct wf_lock lock;
    struct wf_node *head; /* under the lock */
    struct wf_node *tail; /* under the lock; garbage while head is NULL */
    WF_ATOMIC(uint64_t) count;
};

/* Appends `count` nodes linked from `first` to `last`.  Caller: anyone. */
void wf_inject_push(struct wf_inject *inject, struct wf_node *first, struct wf_node *last,
                    uint64_t count);

/* Takes the oldest node for which `accept(node, arg)` holds (NULL: any); NULL when there is none.
 * Caller: anyone. */
struct wf_node *wf_inject_pop(struct wf_inject *inject,
                              bool (*accept)(const struct wf_node *, const void *),
                              const void *arg);

/* Takes the oldest nodes, `limit` at most, linked in their order; NULL when there is none.
 * Caller: anyone. */
struct wf_node *wf_inject_take(struct wf_inject *inject, uint64_t limit);

/* Nodes in the queue.  Caller: anyone; ordered after the caller's earlier seq_cst operations. */
static inline uint64_t wf_inject_size(struct wf_inject *inject)
{
    /* IJ.1 seq_cst: after the caller's announcement, if it has made one. */
    return atomic_load_explicit(&inject->count, memory_order_seq_cst);
}

#endif
