/* SPDX-License-Identifier: MIT */
/* The two halves of the epoll backend: waiting (epoll.c) and doing (epoll_attempt.c). */
#ifndef WF_IO_EPOLL_H
#define WF_IO_EPOLL_H

#include "io/op.h"

#include <stdbool.h>

/* See wf_backend.attempt. */
bool wf_epoll_attempt(struct wf_op *op, weft_time deadline);

/* Counts an operation that its fiber, the caller, has done, and takes it out of its list.  Returns
 * true if it is time to let others run. */
bool wf_epoll_count_done(struct wf_worker *self, struct wf_op *op);

#endif
