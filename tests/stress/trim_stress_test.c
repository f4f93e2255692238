/* SPDX-License-Identifier: MIT */
/* Memory goes back while fibers come and go, at the scale that it is for. */
#define _GNU_SOURCE 1

#include "../support/memory.h"
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>

static int count_of_fibers(void)
{
    return is_soak() ? 1000 * 1000 : 100 * 1000;
}

static int give_all_back(void *arg)
{
    int count = count_of_fibers();
    unsigned long begin, most;
    weft_time end;

    (void)arg;
    (void)park_and_end(1000);
    CHECK_EQ(weft_sleep(WEFT_SECOND), 0);
    begin = memory_now().resident_kib;
    (void)park_and_end(count);
    end = weft_now();
    /* What they had touched is a hundred times as much, and the queues that they lay in were ten
     * times the slack. */
    most = begin + begin / 20 + 256;
    while (memory_now().resident_kib > most)
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    (void)fprintf(stderr, "memory of %d fibers was back after %ld ms\n", count,
                  (long)((weft_now() - end) / WEFT_MILLISECOND));
    return 0;
}

/* The test would wait for ever for memory that stays. */
Test(trim_stress, memory_of_many_fibers_goes_back, .timeout = STRESS_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has memory of its own for each stack");
    cr_expect_eq(run_config(&config, give_all_back, NULL), 0);
}

/* How much of its stack a fiber uses, and that nothing else uses it. */
static int use_stack(void *arg)
{
    volatile unsigned char frame[6000];
    unsigned char mark = (unsigned char)(uintptr_t)arg;

    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = mark;
    (void)weft_sleep((int64_t)(mark % 8) * WEFT_MILLISECOND);
    for (size_t i = 0; i < sizeof frame; i++)
        CHECK_EQ(frame[i], mark);
    return 0;
}

/* Bursts, and rests in which their memory goes: some of it while the next burst begins. */
static int burst_and_rest(void *arg)
{
    enum { BURST = TEST_IS_TSAN ? 200 : 1000 };
    static weft_fiber *fibers[BURST];
    weft_time end = stress_end();
    struct weft_stats stats = {.stacks_trimmed = 0};

    (void)arg;
    /* However few bursts there are on a busy machine: some memory has to have gone among them. */
    for (uintptr_t round = 1; weft_now() < end || stats.stacks_trimmed == 0; round++) {
        for (uintptr_t i = 0; i < BURST; i++)
            fibers[i] = must_spawn(use_stack, (void *)(round * i));
        for (int i = 0; i < BURST; i++)
            CHECK_EQ(must_join(fibers[i]), 0);
        CHECK_EQ(weft_sleep((int64_t)(round * 37 % 80) * WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    }
    return 0;
}

/* A stack that lost its memory under a fiber would lose what the fiber wrote. */
WORKER_TEST(trim_stress, fibers_keep_what_is_theirs, STRESS_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_size_kib = 32, .monitor = 1};

    cr_expect_eq(run_config(&config, burst_and_rest, NULL), 0);
    cr_expect_gt(run_stats().stacks_trimmed, 0);
}
