/* SPDX-License-Identifier: MIT */
/*
 * Spare workers: threads beyond the configured ones, for the time in which all of these are stuck.
 *
 * A spare is a worker like any other, with queues, timers and a ring, but it is pinned to no CPU.
 * The monitor makes it when it is needed first, and calls it to work or sends it to the reserve.
 * In the reserve it runs no fiber: it hands what becomes ready, from its ring or its timers, to
 * the injector, and sleeps otherwise.  Its thread stays until the end of the run, since the kernel
 * cancels the operations that a thread has submitted when that thread ends.  What else it has of
 * the system it gives back after a rest, as soon as nothing is under way there: the burst that it
 * was called in may have been the only one.  All spares' stacks are one mapping, made at the start.
 *
 *   Edge   From                      To                        Promises
 *   SP.1   join: crew seq_cst        walk: crew seq_cst        the new worker's fields; with RT.1:
 *                                                              it sees the end of the run, or is
 *                                                              woken for it
 *   SP.2   call: duty seq_cst        rest: duty seq_cst        with PK.2: a call and a sleep in
 *                                                              the reserve do not both go unseen
 */
#ifndef WF_RUNTIME_SPARE_H
#define WF_RUNTIME_SPARE_H

#include <stdbool.h>
#include <stdint.h>

struct weft_runtime;
struct wf_worker;

enum wf_duty {
    WF_DUTY_WORK, /* of all but spares, always */
    WF_DUTY_RESERVE,
};

/* Maps the stacks of the threads that there may be.  0 or -ENOMEM.  Caller: the starter. */
int wf_spare_map(struct weft_runtime *runtime);
void wf_spare_unmap(struct weft_runtime *runtime);

/* All the functions below: the monitor calls them. */

/* Puts one more spare to work, if there is one. */
void wf_spare_call(struct weft_runtime *runtime);

/* Whether the system refused it what it needs when it was called last. */
bool wf_spare_is_hindered(struct wf_worker *spare);

/* Sends every spare to the reserve. */
void wf_spare_dismiss(struct weft_runtime *runtime);

/* Waits for the end of the spares' threads.  Caller: the starter, after the monitor has ended. */
void wf_spare_join(struct weft_runtime *runtime);

#endif
