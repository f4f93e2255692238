/* SPDX-License-Identifier: MIT */
/*
 * How a worker takes its next fiber from its own queues: rules 1 and 2 of worker.c.  Within the
 * gate (gate.h) it does so by plain loads and stores, otherwise by claims.
 */
#ifndef WF_RUNTIME_TAKE_H
#define WF_RUNTIME_TAKE_H

#include "runtime/model.h"
#include "runtime/worker.h"

WF_INLINE struct weft_fiber *wf_take_fresh(struct wf_worker *self, bool is_alone)
{
    return is_alone ? wf_deque_pop_alone(&self->fresh) : wf_deque_pop(&self->fresh);
}

WF_INLINE struct weft_fiber *wf_take_ready(struct wf_worker *self, bool is_alone)
{
    return is_alone ? wf_ready_pop_alone(&self->ready) : wf_ready_pop(&self->ready);
}

/* Of the two queues the one whose turn it is, or else the other; NULL if both are empty.
 * `is_alone`: the caller is within the gate. */
WF_INLINE struct weft_fiber *wf_take_in_turn(struct wf_worker *self, bool is_alone)
{
    struct weft_fiber *fiber;

    if (wf_deque_size(&self->fresh) == 0)
        return wf_take_ready(self, is_alone);
    /* A flag of its own: runs of the next slot in between can keep step with any count of turns. */
    self->is_fresh_first = !self->is_fresh_first;
    fiber = self->is_fresh_first ? wf_take_fresh(self, is_alone) : wf_take_ready(self, is_alone);
    if (fiber != NULL)
        return fiber;
    return self->is_fresh_first ? wf_take_ready(self, is_alone) : wf_take_fresh(self, is_alone);
}

/* The fiber from the next slot has had its runs: it goes behind the ready ones.  Returns who runs
 * in its place, or the fiber itself if there is nobody. */
static WF_NOINLINE struct weft_fiber *wf_take_put_last(struct wf_worker *self,
                                                       struct weft_fiber *fiber)
{
    struct weft_fiber *first = wf_take_in_turn(self, false);

    self->next_runs = 0;
    if (first != NULL)
        wf_worker_push_ready(self, fiber);
    return first != NULL ? first : fiber;
}

/* The fiber was in the next slot. */
WF_INLINE struct weft_fiber *wf_take_as_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    return WF_LIKELY(++self->next_runs <= WF_NEXT_RUNS_MAX) ? fiber : wf_take_put_last(self, fiber);
}

/* Apart: inline, the other way would have to hold the addresses that claims need. */
static WF_NOINLINE struct weft_fiber *wf_take_by_claims(struct wf_worker *self)
{
    struct weft_fiber *fiber = wf_next_take(&self->next);

    if (fiber != NULL)
        return wf_take_as_next(self, fiber);
    self->next_runs = 0;
    return wf_take_in_turn(self, false);
}

/* The fiber of the next slot, or else of the queues; NULL if they are empty.  Caller: a worker. */
WF_INLINE struct weft_fiber *wf_take(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    if (WF_UNLIKELY(!wf_gate_pass(&self->gate)))
        return wf_take_by_claims(self);
    fiber = wf_next_take_alone(&self->next);
    if (fiber == NULL) {
        self->next_runs = 0;
        fiber = wf_take_in_turn(self, true);
        wf_gate_leave(&self->gate);
        return fiber;
    }
    wf_gate_leave(&self->gate);
    return wf_take_as_next(self, fiber);
}

#endif
