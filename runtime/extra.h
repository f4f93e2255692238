/* SPDX-License-Identifier: MIT */
/*
 * What only some fibers have, and what is still to be done when their functions have returned:
 * defers, fiber-local values, then leaving the scope.  A fiber without any of it pays for one look
 * at `has_more`.
 */
#ifndef WF_RUNTIME_EXTRA_H
#define WF_RUNTIME_EXTRA_H

#include "arch/compiler.h"
#include "runtime/local.h"

#include <stdbool.h>

struct weft_fiber;
struct wf_defer;
struct wf_worker;

struct wf_extra {
    struct wf_defer *defers; /* the fiber: the youngest first */
    struct wf_locals locals; /* the fiber; before it runs, its spawner */
};

/* Puts a call before the others of a list.  Returns false when there is no memory.  Caller: whoever
 * the list belongs to. */
bool wf_defers_add(struct wf_defer **list, void (*fn)(void *), void *arg);

/* Makes the calls, the youngest first, and with them those that they add; may suspend.  Caller: as
 * above. */
WF_COLD void wf_defers_run(struct wf_defer **list);

/* The fiber's extra, which it gets if it has none yet; NULL when there is no memory.  Caller: the
 * fiber. */
WF_COLD struct wf_extra *wf_extra_of(struct weft_fiber *fiber);

/* Gives a fiber that is in no queue yet what its spawner has made for it. */
WF_COLD void wf_extra_give(struct weft_fiber *fiber, struct wf_extra *extra);

/* Does what is left to do at the end of the running fiber, which may suspend meanwhile.  Returns
 * the worker that it then runs on.  Caller: fiber_main(). */
WF_MUST_USE WF_COLD struct wf_worker *wf_extra_end(struct wf_worker *self,
                                                   struct weft_fiber *fiber);

#endif
