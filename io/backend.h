/* SPDX-License-Identifier: MIT */
/* What operations ask of a backend, beside what the scheduler asks of it (runtime/poller.h). */
#ifndef WF_IO_BACKEND_H
#define WF_IO_BACKEND_H

#include "io/op.h"

struct wf_poller;

/* Gives the operation to the backend of `self`, which wakes op->waiter when it is complete, with
 * op->result set.  Never fails: what cannot be queued now is queued after a submission.  Caller: a
 * fiber on `self`. */
void wf_backend_start(struct wf_worker *self, struct wf_op *op);

/* Prepares a request to the kernel to end the operation early; it completes as ever.  Caller: any
 * worker, which sees to it that the poller submits (wf_poller_submit()). */
void wf_backend_cancel(struct wf_poller *poller, struct wf_worker *self, const struct wf_op *op);

#endif
