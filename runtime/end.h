/* SPDX-License-Identifier: MIT */
/* How the end of a runtime begins, and how anyone knows that the last fiber has ended. */
#ifndef WF_RUNTIME_END_H
#define WF_RUNTIME_END_H

#include <stdbool.h>

struct weft_runtime;
struct wf_worker;

/* From now on no fiber is spawned, and none waits but those that wait already.  Returns true if the
 * end had not begun: the caller then sees to it that wf_end_cancel() is called. */
bool wf_end_begin(struct weft_runtime *runtime);

/* Cancels every fiber that waits.  Caller: a worker of the runtime. */
void wf_end_cancel(struct wf_worker *self, struct weft_runtime *runtime);

/* Ends the runtime if its end has begun and no fiber is left.  `self` is NULL for a visitor
 * (outside.h).  Caller: whoever has begun the end,
 * or has counted a fiber that ended, or one that was not made after all. */
void wf_end_check(struct wf_worker *self, struct weft_runtime *runtime);

#endif
