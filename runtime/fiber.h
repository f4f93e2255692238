/* SPDX-License-Identifier: MIT */
/* A fiber's beginning and end, for the scheduler. */
#ifndef WF_RUNTIME_FIBER_H
#define WF_RUNTIME_FIBER_H

struct weft_fiber;
struct wf_worker;

/* Makes the runtime's first fiber, detached.  0 or -ENOMEM.  Caller: worker 0, in its loop. */
int wf_fiber_spawn_main(struct wf_worker *self);

/* Tells the joiner, or frees the fiber if it is detached.  Caller: the worker that ran it, after
 * the fiber's last switch. */
void wf_fiber_finish(struct wf_worker *self, struct weft_fiber *fiber);

#endif
