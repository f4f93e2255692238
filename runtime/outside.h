/* SPDX-License-Identifier: MIT */
/*
 * What threads do to a runtime that they are no worker of: plain threads, and workers of other
 * runtimes.
 *
 * The hazard is the end of the runtime: what a visitor does can be the last thing that the runtime
 * waited for, and then its memory and its workers' rings are gone while the visitor still looks
 * for somebody to wake.  So a visitor is counted for as long as it touches the runtime, and neither
 * rings nor memory go before it has left.  Whoever enters must know that the runtime is there: by a
 * handle that is valid, or by a fiber that waits.
 *
 * After a fork() the child has the memory of its parent's runtimes, and none of their threads.  A
 * runtime knows its process; visitors compare.
 *
 *   Edge   From                         To                          Promises
 *   OS.1   leave: visitors acq_rel      await: visitors acq_rel     the visitor has done
 *   OS.2   await: visitors acq_rel      enter: visitors acq_rel     a later visitor finds the
 *                                                                   runtime DONE, and leaves
 */
#ifndef WF_RUNTIME_OUTSIDE_H
#define WF_RUNTIME_OUTSIDE_H

#include <stdbool.h>

struct weft_fiber;
struct weft_runtime;
struct wf_waiter;
struct wf_worker;

/* True in a child of the process that started the runtime: nothing can be done with it there. */
bool wf_outside_is_child(const struct weft_runtime *runtime);

void wf_outside_enter(struct weft_runtime *runtime);
void wf_outside_leave(struct weft_runtime *runtime);

/* Waits until every visitor has left.  Caller: a worker or the owner, once the runtime is DONE. */
void wf_outside_await_leave(struct weft_runtime *runtime);

/* Queues a fiber that is READY, in its own runtime.  Caller: a visitor. */
void wf_outside_push(struct weft_fiber *fiber);

/* wf_wake() for a waiter that is a plain thread, or belongs to another runtime.  Visits it. */
void wf_outside_wake(struct wf_waiter *waiter, int result);

#endif
