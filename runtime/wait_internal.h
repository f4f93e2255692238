/* SPDX-License-Identifier: MIT */
/* The scheduler's side of wait.h. */
#ifndef WF_RUNTIME_WAIT_INTERNAL_H
#define WF_RUNTIME_WAIT_INTERNAL_H

struct weft_fiber;
struct wf_waiter;
struct wf_worker;

/* Ends the running fiber's wait: makes it WAITING, or READY again if its wake came first.
 * Caller: the worker, on its own stack. */
void wf_wait_park(struct wf_worker *self, struct weft_fiber *fiber);

/* Interrupts a wait, if the fiber is in one and is cancelled.  Caller: a worker. */
void wf_wait_cancel(struct wf_worker *self, struct wf_waiter *waiter);

/* Interrupts the waits whose deadlines have passed. */
void wf_wait_expire(struct wf_worker *self);

/* Runs the interrupts that other workers have posted to this one. */
void wf_wait_drain_inbox(struct wf_worker *self);

#endif
