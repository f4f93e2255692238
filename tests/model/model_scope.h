// SPDX-License-Identifier: MIT
// What the sources of scopes call and a model of them does not run: pollers, fiber-local values,
// stacks, the end of a runtime.  Included after them.
#ifndef MODEL_SCOPE_H
#define MODEL_SCOPE_H

#include "model.h"

void wf_poller_submit(struct wf_poller *, struct wf_worker *)
{
}
void wf_poller_interrupt(struct wf_poller *)
{
}
bool wf_local_has_heirs(struct wf_worker *)
{
    return false;
}
int wf_local_inherit(struct wf_extra **)
{
    return 0;
}
void wf_local_disinherit(struct wf_extra *)
{
}
void wf_extra_give(struct weft_fiber *, struct wf_extra *)
{
    RL_ASSERT(false);
}
void wf_outside_push(struct weft_fiber *)
{
    RL_ASSERT(false);
}
void wf_outside_enter(struct weft_runtime *)
{
}
void wf_outside_leave(struct weft_runtime *)
{
}
bool wf_outside_is_child(const struct weft_runtime *)
{
    return false;
}
unsigned wf_fiber_class(const struct weft_runtime *, const struct weft_fiber_attr *)
{
    return 0;
}

#endif
