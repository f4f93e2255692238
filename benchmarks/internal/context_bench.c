/* SPDX-License-Identifier: MIT */
/*
 * switch/raw: the context switch itself, an internal function, without any scheduler.
 *
 * Question  What does it cost to leave one context and continue another?
 * Method    two contexts on one thread switch to and fro, b->batch round trips of two switches.
 * Includes  saving and loading registers and control words, the indirect jump, one increment per
 *           round trip.
 * Excludes  queues, states, everything that decides whom to switch to.
 * Distrust  a figure below 1 ns (the compiler removed the loop), and small differences between
 *           runs on a machine whose frequency changes.
 *
 * inexact=1  one side does an inexact addition before each of its switches, so the status flags of
 *            the two contexts differ: a switch that reloads the flags for that pays some 70 ns.
 *            The addition itself (about 1 ns) is included.
 * fenv=1     the two contexts round differently, so every switch must load the control word: the
 *            most that a switch can cost.
 */
#include "internal/context_bench.h"

#include "arch/context.h"
#include "harness/inexact.h"

#include <fenv.h>
#include <stdalign.h>
#include <stdbool.h>

enum { STACK_SIZE = 64 * 1024 };

struct pair {
    struct wf_context main;
    struct wf_context other;
    uint64_t turns;   /* how often the other context has run */
    bool is_rounding; /* whether the other context still has its own rounding mode */
};

static alignas(64) char stack[STACK_SIZE];

static void turn_plain(void *arg, void *passed)
{
    struct pair *pair = arg;

    (void)passed;
    for (;;) {
        pair->turns++;
        (void)wf_context_switch(&pair->other, &pair->main, NULL);
    }
}

static void turn_inexact(void *arg, void *passed)
{
    struct pair *pair = arg;

    (void)passed;
    for (;;) {
        pair->turns++;
        do_inexact_addition();
        (void)wf_context_switch(&pair->other, &pair->main, NULL);
    }
}

static void turn_rounding(void *arg, void *passed)
{
    struct pair *pair = arg;

    (void)passed;
    fesetround(FE_TOWARDZERO);
    for (;;) {
        pair->turns++;
        (void)wf_context_switch(&pair->other, &pair->main, NULL);
        pair->is_rounding = fegetround() == FE_TOWARDZERO;
    }
}

static void switch_to_and_fro(struct bench *b, void (*turn)(void *arg, void *passed))
{
    struct pair pair = {.turns = 0};

    feclearexcept(FE_ALL_EXCEPT);
    wf_context_init(&pair.other, stack + STACK_SIZE, turn, &pair, NULL);
    (void)wf_context_switch(&pair.main, &pair.other, NULL);
    pair.turns = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        (void)wf_context_switch(&pair.main, &pair.other, NULL);
    bench_stop(b);

    if (pair.turns != b->batch)
        bench_fail(b, "the other context ran %llu times", (unsigned long long)pair.turns);
    if (turn == turn_rounding && !pair.is_rounding)
        bench_fail(b, "the other context lost its rounding mode");
    if (fegetround() != FE_TONEAREST)
        bench_fail(b, "the main context lost its rounding mode");
}

void bench_switch_raw(struct bench *b)
{
    switch_to_and_fro(b, turn_plain);
}

void bench_switch_raw_inexact(struct bench *b)
{
    switch_to_and_fro(b, turn_inexact);
}

void bench_switch_raw_fenv(struct bench *b)
{
    switch_to_and_fro(b, turn_rounding);
}
