/* SPDX-License-Identifier: MIT */
/*
 * What only some fibers have, and what is still to be done when their functions have returned:
 * defers, then leaving the scope.  A fiber without any of it pays for one look at `has_more`.
 */
#ifndef WF_RUNTIME_EXTRA_H
#define WF_RUNTIME_EXTRA_H

#include "arch/compiler.h"

struct weft_fiber;
struct wf_defer;
struct wf_worker;

struct wf_extra {
    struct wf_defer *defers; /* the fiber: the youngest first */
};

/* Does what is left to do at the end of the running fiber, which may suspend meanwhile.  Returns
 * the worker that it then runs on.  Caller: fiber_main(). */
WF_MUST_USE WF_COLD struct wf_worker *wf_extra_end(struct wf_worker *self,
                                                   struct weft_fiber *fiber);

#endif
