/* SPDX-License-Identifier: MIT */
/* Load that was spread over workers gathers on one again when one is enough. */
#include "fixture.h"

#include <stdatomic.h>
#include <stdlib.h>

/* On a machine that is so busy that a thread waits for a third of this time, nothing gathers. */
#define NAP (25 * WEFT_MILLISECOND)

enum { SLEEPERS = 4 };

struct crowd {
    _Atomic(int) worker[SLEEPERS]; /* where each ran last */
    _Atomic(int) is_over;
};

static int sleep_and_say_where(void *arg)
{
    struct crowd *crowd = arg;
    static _Atomic(int) count;
    int number = atomic_fetch_add(&count, 1);

    while (!atomic_load(&crowd->is_over)) {
        atomic_store(&crowd->worker[number], weft_worker_index());
        CHECK_EQ(weft_sleep(NAP), 0);
    }
    return 0;
}

/* How many of the crowd were on the caller's worker when they last ran. */
static unsigned count_here(struct crowd *crowd)
{
    int here = weft_worker_index();
    unsigned count = 0;

    for (int i = 0; i < SLEEPERS; i++)
        count += atomic_load(&crowd->worker[i]) == here;
    return count;
}

/* Keeps the worker, so that others expire its timers and run the fibers, until one has moved. */
static void drive_apart(struct crowd *crowd)
{
    if (weft_worker_count() > 1)
        while (count_here(crowd) == SLEEPERS)
            continue;
}

static void await_together(struct crowd *crowd)
{
    while (count_here(crowd) < SLEEPERS)
        CHECK_EQ(weft_sleep(NAP), 0);
}

static uint64_t count_gathered(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.gathered;
}

static int part_and_meet(void *arg)
{
    struct crowd *crowd = arg;
    weft_fiber *sleepers[SLEEPERS];

    for (int i = 0; i < SLEEPERS; i++)
        sleepers[i] = must_spawn(sleep_and_say_where, crowd);
    /* A busy machine can bring them together by another way. */
    do {
        CHECK_EQ(weft_sleep(NAP), 0);
        drive_apart(crowd);
        await_together(crowd);
    } while (weft_worker_count() > 1 && count_gathered() == 0);
    atomic_store(&crowd->is_over, 1);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(must_join(sleepers[i]), 0);
    return 0;
}

/* Fibers that sleep most of the time would stay where a busy moment left them, and each worker
 * would wake for its own. */
WORKER_TEST(gather, sleepers_come_together, TEST_TIMEOUT_S)
{
    struct crowd crowd = {.is_over = 0};
    /* Short windows, so that it takes milliseconds. */
    struct weft_config config = {.workers = *workers, .wake_backlog_us = 100};

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos resumes every fiber on another worker");
    cr_expect_eq(run_config(&config, part_and_meet, &crowd), 0);
    cr_expect(*workers > 1 || run_stats().gathered == 0);
}
