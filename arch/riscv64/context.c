/* SPDX-License-Identifier: MIT */
/* Lays out the first frame of a context, which context.S takes for a saved one. */
#include "arch/context.h"

#include "arch/riscv64/context_offsets.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    uint64_t fs[12];
    uint64_t s[12]; /* s0 is the frame pointer */
    uint64_t frm;
    uint64_t ra;
};

static_assert(offsetof(struct frame, fs) == WF_FRAME_FS, "context.S stores it there");
static_assert(offsetof(struct frame, s) == WF_FRAME_S, "context.S stores it there");
static_assert(offsetof(struct frame, frm) == WF_FRAME_FRM, "context.S stores it there");
static_assert(offsetof(struct frame, ra) == WF_FRAME_RA, "context.S stores it there");
static_assert(sizeof(struct frame) == WF_FRAME_SIZE, "context.S drops that much");

void wf_context_begin(void);

void wf_context_init(struct wf_context *context, void *stack_top,
                     void (*entry)(void *arg, void *passed), void *arg,
                     const struct wf_context *running)
{
    struct frame *frame = (struct frame *)stack_top - 1;

    assert((uintptr_t)stack_top % 16 == 0);
    *frame = (struct frame){
        .s = {[1] = (uint64_t)(uintptr_t)entry, [2] = (uint64_t)(uintptr_t)arg},
        .ra = (uint64_t)(uintptr_t)wf_context_begin,
    };
    frame->frm = wf_context_modes(running);
    context->sp = frame;
}

uint64_t wf_context_modes(const struct wf_context *running)
{
    uint64_t frm;

    (void)running;
    __asm__ volatile("frrm %0" : "=r"(frm));
    return frm;
}

void wf_context_set_modes(struct wf_context *running, uint64_t modes)
{
    (void)running;
    __asm__ volatile("fsrm %0" : : "r"(modes));
}

void *wf_context_where(const struct wf_context *context, void **frame)
{
    const struct frame *saved = context->sp;

    *frame = (void *)(uintptr_t)saved->s[0];
    return (void *)(uintptr_t)saved->ra;
}
