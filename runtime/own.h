/* SPDX-License-Identifier: MIT */
/* What a worker has in its own queues. */
#ifndef WF_RUNTIME_OWN_H
#define WF_RUNTIME_OWN_H

#include "runtime/model.h"

/* Fibers in the worker's queues, but for the next slot.  A hint for anyone but the worker. */
WF_INLINE uint64_t wf_own_backlog(struct wf_worker *worker)
{
    return wf_ready_size(&worker->ready) + (uint64_t)wf_deque_size(&worker->fresh);
}

/* Whether there is something that a helper could do.  What came from outside waits in the injector,
 * and is in no worker's backlog.  A hint. */
WF_INLINE bool wf_own_has_backlog(struct wf_worker *self)
{
    return wf_own_backlog(self) >= 2 || wf_inject_size(&self->runtime->inject) >= 2;
}

#endif
