/* SPDX-License-Identifier: MIT */
/* Two contexts of one thread, for a test that switches between them. */
#ifndef WEFT_TEST_UNIT_TWO_CONTEXTS_H
#define WEFT_TEST_UNIT_TWO_CONTEXTS_H

#include "arch/context.h"
#include "arch/sanitizer.h"

enum { STACK_BYTES = 256 * 1024 };

static char stack[STACK_BYTES] __attribute__((aligned(16)));
static struct wf_context outside, inside;
static struct wf_san outside_san, inside_san;

static inline void prepare(void (*entry)(void *arg, void *passed), void *arg)
{
    wf_san_thread(&outside_san);
    wf_san_fiber(&inside_san, stack, sizeof stack);
    wf_context_init(&inside, stack + sizeof stack, entry, arg, NULL);
}

static inline void enter(void)
{
    wf_san_switch(&outside_san, &inside_san, false);
    (void)wf_context_switch(&outside, &inside, NULL);
    wf_san_switched(&outside_san, &inside_san);
}

static inline void leave(bool dies)
{
    wf_san_switch(&inside_san, &outside_san, dies);
    (void)wf_context_switch(&inside, &outside, NULL);
    if (!dies)
        wf_san_switched(&inside_san, &outside_san);
}

#endif
