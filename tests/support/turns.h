/* SPDX-License-Identifier: MIT */
/*
 * Counts the scheduling turns between the moment when a fiber is ready and the one when it runs:
 * what docs/fairness.md bounds.  The bounds are those of one queue, so a measurement counts only if
 * the fiber came back on the worker it left and nothing was stolen meanwhile; with one worker that
 * is always so.
 */
#ifndef WEFT_TEST_TURNS_H
#define WEFT_TEST_TURNS_H

#include "check.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weft.h>

enum {
    /* docs/fairness.md: turns for each fiber ahead in the ready queue, and for the one itself. */
    TURNS_PER_READY = 9,
    /* Turns until the oldest fresh fiber, the timers, the ring and the injector are looked at,
     * where turns are short. */
    TURNS_PER_LOOK = 255,
};

struct turns {
    int worker;
    uint64_t turns;
    uint64_t steals;
};

static inline struct turns turns_now(void)
{
    struct turns now = {.worker = weft_worker_index()};
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read_worker((unsigned)now.worker, &stats), 0);
    now.turns = stats.turns;
    CHECK_EQ(weft_stats_read(&stats), 0);
    now.steals = stats.steals;
    return now;
}

/* Checks that at most `limit` turns have passed since `start`, and keeps the most in `*most`. */
static inline void turns_check(struct turns start, uint64_t limit, _Atomic(uint64_t) *most)
{
    struct turns now = turns_now();
    uint64_t passed = now.turns - start.turns;

    if (now.worker != start.worker || now.steals != start.steals)
        return;
    if (passed > limit)
        check_fail(__FILE__, __LINE__, "it waited for %llu turns, %llu are the limit",
                   (unsigned long long)passed, (unsigned long long)limit);
    /* Several workers may miss a higher value of another: it is for a lower bound only. */
    if (passed > atomic_load(most))
        atomic_store(most, passed);
}

#endif
