/* SPDX-License-Identifier: MIT */
#include "runtime/modes.h"

#include <weft/fiber.h>

void wf_modes_panic(const struct weft_fiber *fiber)
{
    wf_panic(
        "fiber %lu \"%s\" has changed MXCSR by other means than <fenv.h>, and suspends or ends: "
        "it must call weft_own_fp_modes() first, or put MXCSR back",
        (unsigned long)fiber->id, fiber->name);
}

void wf_modes_mend(struct wf_worker *self)
{
    if (WF_LIKELY(!wf_context_hides_modes(&self->context)))
        return;
    wf_context_restore_modes(&self->context);
    /* relaxed: one line is enough; it orders nothing. */
    if (atomic_exchange_explicit(&self->runtime->mended, 1, memory_order_relaxed) == 0)
        wf_complain(
            "a fiber has changed MXCSR by other means than <fenv.h>, and suspended or ended: "
            "others then computed in its modes. It must call weft_own_fp_modes() first, or "
            "put MXCSR back");
}

void weft_own_fp_modes(void)
{
    wf_context_own_modes();
}
