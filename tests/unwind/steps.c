/* SPDX-License-Identifier: MIT */
/* What tests/unwind/run.py steps through: every way into and out of a context, then a fiber. */
#include "../unit/ways.h"
#include "arch/context.h"

#include <fenv.h>
#include <stdint.h>
#include <stdlib.h>
#include <weft.h>

enum { STACK_BYTES = 64 * 1024 };

static char stacks[2][STACK_BYTES] __attribute__((aligned(16)));
static struct wf_context outside, inside;

/* Breakpoints. */
void steps_begin(void);
void steps_end(void);
void in_fiber(void);

void *switch_contexts(struct wf_context *from, struct wf_context *to);

__attribute__((noinline)) void steps_begin(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void steps_end(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void in_fiber(void)
{
    __asm__ volatile("");
}

/* The switch is inline; a function around it gives it a frame and a name. */
__attribute__((noinline)) void *switch_contexts(struct wf_context *from, struct wf_context *to)
{
    return wf_context_switch(from, to, NULL);
}

/* Keeps five values in registers over what comes between two of these: on the two stacks others, so
 * that a rule which is missing shows. */
#define KEEP(v) __asm__ volatile("" : "+r"(v[0]), "+r"(v[1]), "+r"(v[2]), "+r"(v[3]), "+r"(v[4]))

/* Switches; the modes differ at every other switch, so that it loads them. */
static void inner(void *arg, void *passed)
{
    uintptr_t v[5] = {11, 12, 13, 14, 15};

    (void)arg, (void)passed;
    for (;;) {
        KEEP(v);
        (void)fesetround(FE_UPWARD);
        (void)switch_contexts(&inside, &outside);
        (void)fesetround(FE_TONEAREST);
        (void)switch_contexts(&inside, &outside);
        KEEP(v);
    }
}

static void inner_hands_over(void *arg, void *passed)
{
    uintptr_t v[5] = {31, 32, 33, 34, 35};

    (void)arg, (void)passed;
    for (;;) {
        KEEP(v);
        (void)wf_context_hand_back(&inside, &outside, 0);
        KEEP(v);
    }
}

static void go_through(void)
{
    uintptr_t v[5] = {21, 22, 23, 24, 25};

    KEEP(v);
    for (int way = 0; way < WAYS; way++) {
        take_way(way);
        wf_context_init(&inside, stacks[0] + STACK_BYTES, inner, NULL);
        (void)switch_contexts(&outside, &inside);
        (void)switch_contexts(&outside, &inside);
        (void)switch_contexts(&outside, &inside);
    }
    wf_context_init(&inside, stacks[1] + STACK_BYTES, inner_hands_over, NULL);
    (void)wf_context_hand_over(&outside, &inside, 0);
    (void)wf_context_hand_over(&outside, &inside, 0);
    KEEP(v);
}

static int third_call(weft_fiber *unused)
{
    (void)unused;
    (void)weft_yield();
    in_fiber();
    return weft_yield();
}

static int in_the_fiber(void *arg)
{
    int error = third_call(arg);

    __asm__ volatile(""); /* keeps the call from being a jump */
    return error;
}

static int first(void *arg)
{
    weft_fiber *fiber;

    if (weft_spawn(&fiber, in_the_fiber, arg) != 0)
        return -1;
    return weft_join(fiber, NULL, WEFT_FOREVER);
}

int main(void)
{
    struct weft_config config = {.workers = 1};

    steps_begin();
    go_through();
    steps_end();
    (void)fesetround(FE_TONEAREST);
    return weft_run(&config, first, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
