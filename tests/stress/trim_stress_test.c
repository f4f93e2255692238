/* SPDX-License-Identifier: MIT */
/* Memory goes back while fibers come and go, at the scale that it is for. */
#define _GNU_SOURCE 1

#include "stress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static unsigned long resident_kib(void)
{
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu %lu", &size, &pages), 2);
    (void)fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

static void park_and_end(weft_fiber **fibers, int count)
{
    for (int i = 0; i < count; i++) {
        fibers[i] = must_spawn(sleep_for_ever, NULL);
        if (i % 64 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    for (int i = 0; i < count; i++) {
        weft_cancel(fibers[i]);
        if (i % 64 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
}

static int count_of_fibers(void)
{
    const char *soak = getenv("WEFT_SOAK");

    return soak != NULL && soak[0] == '1' ? 1000 * 1000 : 100 * 1000;
}

static int give_all_back(void *arg)
{
    int count = count_of_fibers();
    weft_fiber **fibers = calloc((size_t)count, sizeof(weft_fiber *));
    unsigned long begin, most;
    weft_time end;

    (void)arg;
    CHECK(fibers != NULL);
    for (int i = 0; i < count; i++)
        fibers[i] = weft_self(); /* their pages belong to the beginning */
    park_and_end(fibers, 1000);
    CHECK_EQ(weft_sleep(WEFT_SECOND), 0);
    begin = resident_kib();
    park_and_end(fibers, count);
    end = weft_now();
    /* What they had touched is a hundred times as much.  Queues that have grown stay
     * (docs/limits.md): where one worker has all fibers, two slots for each and as many in what the
     * queue outgrew. */
    most = begin + begin / 20 + (unsigned long)count * 4 * sizeof(void *) / 1024;
    while (resident_kib() > most)
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    (void)fprintf(stderr, "memory of %d fibers was back after %ld ms\n", count,
                  (long)((weft_now() - end) / WEFT_MILLISECOND));
    free(fibers);
    return 0;
}

/* The test would wait for ever for memory that stays. */
Test(trim_stress, memory_of_many_fibers_goes_back, .timeout = STRESS_TIMEOUT_S)
{
    struct weft_config config = {.monitor = 1};

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

    (void)arg;
    for (uintptr_t round = 1; weft_now() < end; round++) {
        for (uintptr_t i = 0; i < BURST; i++)
            fibers[i] = must_spawn(use_stack, (void *)(round * i));
        for (int i = 0; i < BURST; i++)
            CHECK_EQ(must_join(fibers[i]), 0);
        CHECK_EQ(weft_sleep((int64_t)(round % 80) * WEFT_MILLISECOND), 0);
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
