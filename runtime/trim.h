/* SPDX-License-Identifier: MIT */
/*
 * When memory of stacks that nobody needs goes back to the system.  (docs/adr/0019)
 *
 * The monitor does it, so no fiber waits for it.  While workers are awake it reviews the stacks
 * every REVIEW_MS: workers hand half of what lies in their caches to the depot and give half of the
 * room in their queues back if they do not need it, and of what the depot has had to spare ever
 * since the last review half is given back.  When all have been asleep
 * for a while it gives back all that is free, and only then goes to sleep itself.
 *
 * Whoever is refused a stack may be so for those that lie in the cache of a worker that sleeps.  It
 * tells the monitor, which has the workers hand over all that they keep.
 *
 *   Edge   From                        To                         Promises
 *   DM.1   demand: is_wanted seq_cst   doze: is_wanted seq_cst    with MN.1: the monitor does not
 *                                                                 sleep over a demand
 */
#ifndef WF_RUNTIME_TRIM_H
#define WF_RUNTIME_TRIM_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct weft_runtime;
struct wf_worker;

/* Values of wf_worker.trim: what the monitor asks the worker to hand over of its cache. */
enum wf_trim_request {
    WF_TRIM_NOTHING,
    WF_TRIM_HALF,
    WF_TRIM_ALL,
};

/* The monitor's alone, but for the atomic. */
struct wf_trim {
    int64_t review_at;
    bool has_more;                 /* the last review left something to be given back */
    WF_ATOMIC(uint32_t) is_wanted; /* somebody was refused a stack; the monitor takes it back */
};

/* Caller: the monitor, at each of its looks. */
void wf_trim_look(struct weft_runtime *runtime, int64_t now);

/* Caller: the monitor, before it sleeps for long.  Returns false if it has to come again: there is
 * something left, or a worker has been woken to hand over what it has. */
bool wf_trim_settle(struct weft_runtime *runtime, int64_t now);

/* Whether somebody was refused a stack since the monitor last asked for all.  Caller: the monitor,
 * after it has announced its sleep. */
bool wf_trim_is_wanted(struct weft_runtime *runtime);

/* Has the workers hand over what they keep, for whoever asks for a stack later.  Caller: a worker
 * or a visitor that was refused one. */
WF_COLD void wf_trim_demand(struct weft_runtime *runtime);

/* Hands over all at once.  Caller: the worker. */
void wf_trim_all(struct wf_worker *self);

/* Does what the monitor has asked for, if it has.  Caller: the worker. */
void wf_trim_serve(struct wf_worker *self);

#endif
