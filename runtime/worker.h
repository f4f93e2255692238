/* SPDX-License-Identifier: MIT */
/* The scheduler loop, and the ways into its queues. */
#ifndef WF_RUNTIME_WORKER_H
#define WF_RUNTIME_WORKER_H

#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct weft_fiber;
struct weft_runtime;
struct wf_worker;

/* Runs fibers until the runtime is done.  Caller: the worker's thread. */
void wf_worker_loop(struct wf_worker *self);

/* One pass of that loop: runs fibers, looks further, or sleeps.  Caller: a worker on its own stack.
 */
void wf_worker_pass(struct wf_worker *self);

/* How often the end of a turn looks whether a helper could be had: guessed; a power of two. */
enum { WF_TURNS_PER_LOOK = 8 };

/* So often in a row runs a fiber that the one before made ready (rule 2 of worker.c): Tokio's
 * MAX_LIFO_POLLS_PER_TICK. */
enum { WF_NEXT_RUNS_MAX = 3 };

/* Why a fiber gives up its worker; carried out once its registers are saved. */
enum wf_request {
    WF_REQUEST_NOTHING, /* it was the loop that left */
    WF_REQUEST_WAIT,
    WF_REQUEST_YIELD,
    WF_REQUEST_EXIT,
};

/* Leaves the running fiber, which has begun a wait.  Returns when it runs again: the worker that it
 * then runs on, which can be another than `self`. */
WF_MUST_USE struct wf_worker *wf_worker_wait(struct wf_worker *self);

/* What the running fiber leaves for, in two steps: the fiber that the first returns, READY and in
 * no queue, or NULL for the loop, is passed to the second, which leaves. */
WF_MUST_USE struct weft_fiber *wf_worker_find_next(struct wf_worker *self);
WF_MUST_USE struct wf_worker *wf_worker_leave(struct wf_worker *self, enum wf_request request,
                                              struct weft_fiber *next);

/* Leaves the running fiber for good, for `next` if that is not NULL: a fiber that is READY and in
 * no queue. */
void wf_worker_exit(struct wf_worker *self, struct weft_fiber *next);

/* The first thing that a new fiber does, with what the switch has passed: the worker. */
void wf_worker_land(struct wf_worker *self);

/* Queue a fiber that is READY.  Caller: a worker.  Fresh ones run youngest first, ready ones in
 * their order, and the next one before all others. */
void wf_worker_push_fresh(struct wf_worker *self, struct weft_fiber *fiber);
void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber);
void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber);

/* Queues a READY fiber for whichever worker comes first.  Caller: a worker. */
void wf_worker_inject(struct wf_worker *self, struct weft_fiber *fiber);

/* Empties the next slot; NULL if it was empty.  Caller: anyone. */
struct weft_fiber *wf_worker_take_next(struct wf_worker *worker);

/*
 * Does for `worker` what it would do itself at its next scheduling point: expires its timers, gives
 * its prepared operations to the kernel, and wakes the fibers whose operations completed.  They
 * land in the queues of `self`.  Returns true if a fiber became ready.
 *
 * The kernel brings in what completes for a worker that computes at that worker's next timer tick
 * (docs/adr/0007): until then there is nothing to be had.
 *
 * Caller: `self`, for itself or for any other worker, whatever that one does at the moment.
 */
bool wf_worker_serve(struct wf_worker *self, struct wf_worker *worker);

/* Ends the sleep of `worker`, if it sleeps.  Caller: a worker of its runtime, or with NULL for
 * `self` a visitor (outside.h), after publishing what it shall see. */
bool wf_worker_notify(struct wf_worker *self, struct wf_worker *worker);

/* Notifies every worker, and the monitor.  Caller: as above. */
void wf_worker_notify_all(struct wf_worker *self, struct weft_runtime *runtime);

#endif
