/* SPDX-License-Identifier: MIT */
/*
 * When memory of stacks that nobody needs goes back to the system.  (docs/adr/0019)
 *
 * The monitor does it, so no fiber waits for it.  While workers are awake it reviews the stacks
 * every REVIEW_MS: workers hand half of what lies in their caches to the depot and give half of the
 * room in their queues back if they do not need it, and of what the depot has had to spare ever
 * since the last review half is given back.  When all have been asleep
 * for a while it gives back all that is free, and only then goes to sleep itself.
 */
#ifndef WF_RUNTIME_TRIM_H
#define WF_RUNTIME_TRIM_H

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

/* The monitor's alone. */
struct wf_trim {
    int64_t review_at;
    bool has_more; /* the last review left something to be given back */
};

/* Caller: the monitor, at each of its looks. */
void wf_trim_look(struct weft_runtime *runtime, int64_t now);

/* Caller: the monitor, before it sleeps for long.  Returns false if it has to come again: there is
 * something left, or a worker has been woken to hand over what it has. */
bool wf_trim_settle(struct weft_runtime *runtime, int64_t now);

/* Hands over all at once.  Caller: the worker. */
void wf_trim_all(struct wf_worker *self);

/* Does what the monitor has asked for, if it has.  Caller: the worker. */
void wf_trim_serve(struct wf_worker *self);

#endif
