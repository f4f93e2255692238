/* SPDX-License-Identifier: MIT */
/* Lays out the first frame of a context, which context.S takes for a saved one. */
#include "arch/context.h"

#include "arch/aarch64/context_offsets.h"
#include "arch/cpu.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    uint64_t x29, x30;
    uint64_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
    uint64_t d8_to_d15[8];
    uint64_t fpcr;
    uint64_t unused;
};

static_assert(offsetof(struct frame, x29) == WF_FRAME_X29, "context.S stores it there");
static_assert(offsetof(struct frame, x30) == WF_FRAME_X29 + 8, "context.S stores it there");
static_assert(offsetof(struct frame, x19) == WF_FRAME_X19, "context.S stores it there");
static_assert(offsetof(struct frame, x27) == WF_FRAME_X27, "context.S stores it there");
static_assert(offsetof(struct frame, d8_to_d15) == WF_FRAME_D8, "context.S stores it there");
static_assert(offsetof(struct frame, fpcr) == WF_FRAME_FPCR, "context.S stores it there");
static_assert(sizeof(struct frame) == WF_FRAME_SIZE, "context.S drops that much");

void wf_context_begin(void);

/* As `paciasp` would, with that stack pointer (pacia1716; nothing without the extension). */
static uint64_t sign(void (*code)(void), const void *sp)
{
    register uint64_t x17 __asm__("x17") = (uint64_t)(uintptr_t)code;
    register uint64_t x16 __asm__("x16") = (uint64_t)(uintptr_t)sp;

    __asm__("hint #8" : "+r"(x17) : "r"(x16));
    return x17;
}

void wf_context_init(struct wf_context *context, void *stack_top,
                     void (*entry)(void *arg, void *passed), void *arg,
                     const struct wf_context *running)
{
    struct frame *frame = (struct frame *)stack_top - 1;

    assert((uintptr_t)stack_top % 16 == 0);
    *frame = (struct frame){
        .x30 = sign(wf_context_begin, stack_top),
        .x19 = (uint64_t)(uintptr_t)entry,
        .x20 = (uint64_t)(uintptr_t)arg,
    };
    frame->fpcr = wf_context_modes(running);
    context->sp = frame;
}

uint64_t wf_context_modes(const struct wf_context *running)
{
    uint64_t fpcr;

    (void)running;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}

void wf_context_set_modes(struct wf_context *running, uint64_t modes)
{
    if (wf_context_modes(running) != modes)
        __asm__ volatile("msr fpcr, %0" : : "r"(modes));
}

void *wf_context_where(const struct wf_context *context, void **frame)
{
    const struct frame *saved = context->sp;

    *frame = (void *)(uintptr_t)saved->x29;
    return wf_cpu_plain_address((void *)(uintptr_t)saved->x30);
}
