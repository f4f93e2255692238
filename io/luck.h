/* SPDX-License-Identifier: MIT */
/* Whether to try at once what might have to wait, by how that went before. */
#ifndef WF_IO_LUCK_H
#define WF_IO_LUCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether an attempt has lately been worth its call.  After attempts in vain more and more of them
 * are left out, so what has to wait each time pays for one in 32.  Zero is a good one.
 */
struct wf_luck {
    uint8_t vain : 3;  /* attempts, one after another, as far as it counts */
    uint8_t skips : 5; /* operations without an attempt that are still due */
};

enum { WF_LUCK_VAIN_MAX = 5 };

static inline bool wf_luck_try(struct wf_luck *luck)
{
    if (luck->skips == 0)
        return true;
    luck->skips--;
    return false;
}

static inline void wf_luck_note(struct wf_luck *luck, bool was_done)
{
    if (was_done) {
        luck->vain = 0;
        return;
    }
    if (luck->vain < WF_LUCK_VAIN_MAX)
        luck->vain++;
    luck->skips = ((1U << luck->vain) - 1) & 31;
}

#endif
