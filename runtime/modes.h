/* SPDX-License-Identifier: MIT */
/*
 * Finds fibers that lose their floating-point modes and give them to others.
 *
 * The switch of x86-64 takes for granted that whoever changes MXCSR also changes the x87 control
 * word, as <fenv.h> does, or has called weft_own_fp_modes() (docs/adr/0004).  A fiber that does
 * neither and suspends leaves its MXCSR to whatever runs next.  Builds with checks abort there;
 * the others find it within some turns, tell once, and put the worker's modes back.
 */
#ifndef WF_RUNTIME_MODES_H
#define WF_RUNTIME_MODES_H

#include "runtime/model.h"

WF_NORETURN WF_COLD void wf_modes_panic(const struct weft_fiber *fiber);

/* Caller: the fiber, about to leave. */
WF_INLINE void wf_modes_check(const struct weft_fiber *fiber)
{
    if (WF_CHECK_LEVEL >= 2 && WF_UNLIKELY(wf_context_hides_modes(&fiber->context)))
        wf_modes_panic(fiber);
}

/* Caller: the worker's loop, every so many turns, since a look at MXCSR is what the switch saves.
 */
void wf_modes_mend(struct wf_worker *self);

#endif
