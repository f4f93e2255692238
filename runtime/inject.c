/* SPDX-License-Identifier: MIT */
#include "runtime/inject.h"

void wf_inject_push(struct wf_inject *inject, struct wf_node *first, struct wf_node *last,
                    uint64_t count)
{
    last->next = NULL;
    wf_lock_acquire(&inject->lock);
    if (inject->head != NULL)
        inject->tail->next = first;
    else
        inject->head = first;
    inject->tail = last;
    /* IJ.1 seq_cst: before the caller's look for sleepers. */
    atomic_fetch_add_explicit(&inject->count, count, memory_order_seq_cst);
    wf_lock_release(&inject->lock);
}

struct wf_node *wf_inject_pop(struct wf_inject *inject,
                              bool (*accept)(const struct wf_node *, const void *), const void *arg)
{
    struct wf_node *previous = NULL;
    struct wf_node *node;

    if (wf_inject_size(inject) == 0)
        return NULL;
    wf_lock_acquire(&inject->lock);
    node = inject->head;
    while (node != NULL && accept != NULL && !accept(node, arg)) {
        previous = node;
        node = node->next;
    }
    if (node != NULL) {
        if (previous != NULL)
            previous->next = node->next;
        else
            inject->head = node->next;
        if (inject->tail == node)
            inject->tail = previous;
        /* relaxed: a count that is too high for a moment costs a look under the lock. */
        atomic_fetch_sub_explicit(&inject->count, 1, memory_order_relaxed);
    }
    wf_lock_release(&inject->lock);
    return node;
}

struct wf_node *wf_inject_take(struct wf_inject *inject, uint64_t limit)
{
    struct wf_node *first, *last;
    uint64_t count = 1;

    if (limit == 0 || wf_inject_size(inject) == 0)
        return NULL;
    wf_lock_acquire(&inject->lock);
    first = last = inject->head;
    if (first != NULL) {
        while (count < limit && last->next != NULL) {
            last = last->next;
            count++;
        }
        inject->head = last->next;
        last->next = NULL;
        /* relaxed: as in wf_inject_pop(). */
        atomic_fetch_sub_explicit(&inject->count, count, memory_order_relaxed);
    }
    wf_lock_release(&inject->lock);
    return first;
}
