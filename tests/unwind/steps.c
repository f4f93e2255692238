/* SPDX-License-Identifier: MIT */
/* What tests/unwind/run.py steps through: every way into and out of a context, then a fiber. */
#include "arch/context.h"
#include "registers.h"

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

/* What the registers hold that a function keeps for its caller: on each stack something else, so
 * that a rule which is missing shows.  The script reads this. */
static uint64_t registers[3][SAVED_REGISTERS];
enum { OUTSIDE, INSIDE, INSIDE_HANDED };

static void fill_registers(void)
{
    for (uint64_t stack = 0; stack < 3; stack++)
        for (uint64_t i = 0; i < SAVED_REGISTERS; i++)
            registers[stack][i] = 1000 * (stack + 1) + i;
}

static void call(int (*fn)(void), int stack)
{
    uint64_t after[SAVED_REGISTERS];

    (void)call_with_registers(fn, registers[stack], after);
}

/* The modes differ at every other switch, so that it loads them. */
static int switch_outwards(void)
{
    for (;;) {
        (void)fesetround(FE_UPWARD);
        (void)switch_contexts(&inside, &outside);
        (void)fesetround(FE_TONEAREST);
        (void)switch_contexts(&inside, &outside);
    }
    return 0;
}

static int switch_inwards(void)
{
    (void)switch_contexts(&outside, &inside);
    (void)switch_contexts(&outside, &inside);
    (void)switch_contexts(&outside, &inside);
    return 0;
}

static int hand_outwards(void)
{
    for (;;)
        (void)wf_context_hand_back(&inside, &outside, 0);
    return 0;
}

static int hand_inwards(void)
{
    (void)wf_context_hand_over(&outside, &inside, 0);
    (void)wf_context_hand_over(&outside, &inside, 0);
    return 0;
}

static void inner(void *arg, void *passed)
{
    (void)arg, (void)passed;
    call(switch_outwards, INSIDE);
}

static void inner_hands(void *arg, void *passed)
{
    (void)arg, (void)passed;
    call(hand_outwards, INSIDE_HANDED);
}

static void go_through(void)
{
    wf_context_init(&inside, stacks[0] + STACK_BYTES, inner, NULL, NULL);
    call(switch_inwards, OUTSIDE);
    wf_context_init(&inside, stacks[1] + STACK_BYTES, inner_hands, NULL, NULL);
    call(hand_inwards, OUTSIDE);
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

    fill_registers();
    steps_begin();
    go_through();
    steps_end();
    (void)fesetround(FE_TONEAREST);
    return weft_run(&config, first, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
