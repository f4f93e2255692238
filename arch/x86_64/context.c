/* SPDX-License-Identifier: MIT */
/* Makes a context of x86-64, and tells where one is. */
#include "arch/context.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(offsetof(struct wf_context, sp) == 0, "the switch stores it there");
static_assert(offsetof(struct wf_context, bp) == 8, "the switch stores it there");
static_assert(offsetof(struct wf_context, bx) == 16, "the switch stores it there");
static_assert(offsetof(struct wf_context, pc) == 24, "the switch stores it there");
static_assert(offsetof(struct wf_context, r12_to_r15) == 32, "context.S stores them there");

bool wf_context_hides_modes(const struct wf_context *running)
{
    uint32_t x87_word = wf_control_x87_word();

    return wf_control_tells(&running->modes, x87_word) &&
           wf_control_read(x87_word).mxcsr != running->modes.mxcsr;
}

void wf_context_restore_modes(const struct wf_context *running)
{
    __builtin_ia32_ldmxcsr(running->modes.mxcsr);
}

void wf_context_own_modes(void)
{
    wf_control_load_x87(wf_control_x87_word() | WF_CONTROL_OWN);
}

void wf_context_begin(void);
void wf_context_begin_handed(void);

void wf_context_init(struct wf_context *context, void *stack_top,
                     void (*entry)(void *arg, void *passed), void *arg,
                     const struct wf_context *running)
{
    uint32_t x87_word = wf_control_x87_word();
    void **top = stack_top;

    assert((uintptr_t)stack_top % 16 == 0);
    top[-1] = arg;
    top[-2] = (void *)(uintptr_t)wf_context_begin_handed;
    context->sp = top - 2;
    context->bp = NULL;
    context->bx = (void *)(uintptr_t)entry;
    context->pc = (void *)(uintptr_t)wf_context_begin;
    context->modes = running != NULL && wf_control_tells(&running->modes, x87_word)
                         ? running->modes
                         : wf_control_read(x87_word);
}

void *wf_context_where(const struct wf_context *context, void **frame)
{
    *frame = context->bp;
    return context->pc;
}
