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

bool wf_context_loads_at_once;

/* AMD's processors take 0.3 ns for a load, whatever the flags; others may be like Intel's, which
 * take 70 where they differ. */
__attribute__((constructor)) static void choose_loads(void)
{
    __builtin_cpu_init();
    wf_context_loads_at_once = __builtin_cpu_is("amd");
}

void wf_context_begin(void);
void wf_context_begin_handed(void);

void wf_context_init(struct wf_context *context, void *stack_top,
                     void (*entry)(void *arg, void *passed), void *arg)
{
    void **top = stack_top;

    assert((uintptr_t)stack_top % 16 == 0);
    top[-1] = arg;
    top[-2] = (void *)(uintptr_t)wf_context_begin_handed;
    context->sp = top - 2;
    context->bp = NULL;
    context->bx = (void *)(uintptr_t)entry;
    context->pc = (void *)(uintptr_t)wf_context_begin;
    wf_context_store_modes(context);
}

void *wf_context_where(const struct wf_context *context, void **frame)
{
    *frame = context->bp;
    return context->pc;
}
