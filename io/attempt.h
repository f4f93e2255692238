/* SPDX-License-Identifier: MIT */
/* Operations done by the system call itself, in the fiber, where that need not wait. */
#ifndef WF_IO_ATTEMPT_H
#define WF_IO_ATTEMPT_H

#include "io/op.h"

#include <stdbool.h>
#include <stdint.h>

/* For epoll: tries the operation, or has the pool do it; returns false where it would wait for its
 * descriptor.  It may suspend. */
bool wf_attempt(struct wf_op *op, weft_time deadline);

/* For a ring, which can do it otherwise: tries the operation if a flag of the call keeps it from
 * waiting whatever its descriptor is.  Returns false where there is no such call, or nothing was to
 * be had.  It suspends only for the rest of a file of which a part was in memory. */
bool wf_attempt_now(struct wf_op *op, weft_time deadline);

/* The events for which an operation waits that could not be done at once. */
uint32_t wf_attempt_events(const struct wf_op *op);

#endif
