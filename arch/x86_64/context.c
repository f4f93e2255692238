/* SPDX-License-Identifier: MIT */
/* Lays out the first frame of a context, which context.S takes for a saved one. */
#include "arch/context.h"

#include "arch/x86_64/context_offsets.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    uint32_t mxcsr;
    uint16_t x87_cw;
    uint16_t unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t return_address;
};

static_assert(offsetof(struct frame, mxcsr) == WF_FRAME_MXCSR, "context.S stores it there");
static_assert(offsetof(struct frame, x87_cw) == WF_FRAME_X87_CW, "context.S stores it there");
static_assert(offsetof(struct frame, r15) == WF_FRAME_R15, "context.S stores it there");
static_assert(offsetof(struct frame, r14) == WF_FRAME_R14, "context.S stores it there");
static_assert(offsetof(struct frame, r13) == WF_FRAME_R13, "context.S stores it there");
static_assert(offsetof(struct frame, r12) == WF_FRAME_R12, "context.S stores it there");
static_assert(offsetof(struct frame, rbx) == WF_FRAME_RBX, "context.S stores it there");
static_assert(offsetof(struct frame, rbp) == WF_FRAME_RBP, "context.S stores it there");
static_assert(offsetof(struct frame, return_address) == WF_FRAME_SIZE, "the call pushed it there");

void wf_context_begin(void);

void wf_context_init(struct wf_context *context, void *stack_top, void (*entry)(void *), void *arg)
{
    struct frame *frame = (struct frame *)stack_top - 1;

    assert((uintptr_t)stack_top % 16 == 0);
    *frame = (struct frame){
        .r12 = (uint64_t)(uintptr_t)arg,
        .rbx = (uint64_t)(uintptr_t)entry,
        .return_address = (uint64_t)(uintptr_t)wf_context_begin,
    };
    __asm__ volatile("stmxcsr %0" : "=m"(frame->mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(frame->x87_cw));
    context->sp = frame;
}

void *wf_context_where(const struct wf_context *context, void **frame)
{
    const struct frame *saved = context->sp;

    *frame = (void *)(uintptr_t)saved->rbp;
    return (void *)(uintptr_t)saved->return_address;
}
