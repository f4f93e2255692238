/* SPDX-License-Identifier: MIT */
/* What operations ask of a backend, beside what the scheduler asks of it (runtime/poller.h). */
#ifndef WF_IO_BACKEND_H
#define WF_IO_BACKEND_H

#include "io/op.h"

struct wf_poller;

/* Gives the operation to the backend, which wakes op->waiter when it is complete, with op->result
 * set.  Never fails: what cannot be queued now is queued after a submission.  Caller: a fiber on
 * the poller's worker. */
void wf_backend_start(struct wf_poller *poller, struct wf_op *op);

/* Asks the kernel to end the operation early; it completes as ever.  Caller: the poller's
 * worker. */
void wf_backend_cancel(struct wf_poller *poller, const struct wf_op *op);

#endif
