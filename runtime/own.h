/* SPDX-License-Identifier: MIT */
/* What a worker takes from its own queues, within the gate (gate.h) or by claims. */
#ifndef WF_RUNTIME_OWN_H
#define WF_RUNTIME_OWN_H

#include "runtime/model.h"

WF_INLINE struct weft_fiber *wf_own_take_fresh(struct wf_worker *self, bool is_alone)
{
    return is_alone ? wf_deque_pop_alone(&self->fresh) : wf_deque_pop(&self->fresh);
}

WF_INLINE struct weft_fiber *wf_own_take_ready(struct wf_worker *self, bool is_alone)
{
    return is_alone ? wf_ready_pop_alone(&self->ready) : wf_ready_pop(&self->ready);
}

/* Fibers in the worker's queues, but for the next slot.  A hint for anyone but the worker. */
WF_INLINE uint64_t wf_own_backlog(struct wf_worker *worker)
{
    return wf_ready_size(&worker->ready) + (uint64_t)wf_deque_size(&worker->fresh);
}

/* Whether there is something that a helper could do.  What came from outside waits in the injector,
 * and is in no worker's backlog.  A hint. */
WF_INLINE bool wf_own_has_backlog(struct wf_worker *self)
{
    return wf_own_backlog(self) >= 2 || wf_inject_size(&self->runtime->inject) >= 2;
}

/* Of the two queues the one whose turn it is, or else the other; NULL if both are empty.
 * `is_alone`: the caller is within the gate. */
WF_INLINE struct weft_fiber *wf_own_take_in_turn(struct wf_worker *self, bool is_alone)
{
    struct weft_fiber *fiber;

    if (wf_deque_size(&self->fresh) == 0)
        return wf_own_take_ready(self, is_alone);
    /* A flag of its own: runs of the next slot in between can keep step with any count of turns. */
    self->is_fresh_first = !self->is_fresh_first;
    fiber = self->is_fresh_first ? wf_own_take_fresh(self, is_alone)
                                 : wf_own_take_ready(self, is_alone);
    if (fiber != NULL)
        return fiber;
    return self->is_fresh_first ? wf_own_take_ready(self, is_alone)
                                : wf_own_take_fresh(self, is_alone);
}

/* The fiber of the next slot, which `*is_next` tells, or else of the queues. */
WF_INLINE struct weft_fiber *wf_own_take(struct wf_worker *self, bool *is_next)
{
    bool is_alone = wf_gate_pass(&self->gate);
    struct weft_fiber *fiber = is_alone ? wf_next_take_alone(&self->next)
                                        : wf_next_take(&self->next);

    *is_next = fiber != NULL;
    if (fiber == NULL)
        fiber = wf_own_take_in_turn(self, is_alone);
    if (is_alone)
        wf_gate_leave(&self->gate);
    return fiber;
}

#endif
