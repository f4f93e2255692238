/* SPDX-License-Identifier: MIT */
/* Thousands of sleepers with random deadlines, some of them cancelled. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>

enum { SLEEPERS = TEST_IS_TSAN ? 1500 : 10000 };

struct sleeper {
    weft_time deadline;
    weft_fiber *fiber;
    int outcome;
};

struct crowd {
    uint64_t seed;
    int64_t span;
    struct sleeper sleepers[SLEEPERS];
};

static int sleep_once(void *arg)
{
    struct sleeper *sleeper = arg;

    sleeper->outcome = weft_sleep_until(sleeper->deadline);
    if (sleeper->outcome == 0)
        CHECK(weft_now() >= sleeper->deadline);
    else
        CHECK_EQ(sleeper->outcome, -ECANCELED);
    return sleeper->outcome;
}

static int sleep_all(void *arg)
{
    struct crowd *crowd = arg;
    struct random random = random_stream(crowd->seed, 1);
    weft_time start = weft_now();

    for (int i = 0; i < SLEEPERS; i++) {
        struct sleeper *sleeper = &crowd->sleepers[i];
        sleeper->deadline = start + (int64_t)(random_next(&random) % (uint64_t)crowd->span);
        sleeper->fiber = must_spawn(sleep_once, sleeper);
    }
    for (int i = 0; i < SLEEPERS; i += 3) {
        if (i % 600 == 0)
            CHECK_EQ(weft_sleep(random_below(&random, 1000) * WEFT_MICROSECOND), 0);
        weft_cancel(crowd->sleepers[i].fiber);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        struct sleeper *sleeper = &crowd->sleepers[i];
        int result = must_join(sleeper->fiber); /* before the look at what it left behind */
        CHECK_EQ(result, sleeper->outcome);
        if (i % 3)
            CHECK_EQ(sleeper->outcome, 0);
    }
    return 0;
}

/* Every sleeper wakes, none early, and those that were cancelled do not wait.  A timer that is
 * filed in the wrong slot comes a turn of the wheel late, which here is never. */
WORKER_TEST(timer_stress, every_sleeper_wakes_in_time, STRESS_TIMEOUT_S)
{
    static struct crowd crowd;
    struct weft_config config = {.workers = *workers, .stack_size_kib = 32};

    crowd.seed = random_seed("timer_stress");
    for (crowd.span = 1 * WEFT_MILLISECOND; crowd.span <= 1000 * WEFT_MILLISECOND; crowd.span *= 10)
        cr_assert_eq(run_config(&config, sleep_all, &crowd), 0);
}

static int sleep_same(void *arg)
{
    struct crowd *crowd = arg;
    weft_time deadline = weft_after(200 * WEFT_MILLISECOND);

    for (int i = 0; i < SLEEPERS; i++) {
        crowd->sleepers[i].deadline = deadline;
        crowd->sleepers[i].fiber = must_spawn(sleep_once, &crowd->sleepers[i]);
    }
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(must_join(crowd->sleepers[i].fiber), 0);
    return 0;
}

/* All in one tick: more expiries at once than any queue has room for. */
WORKER_TEST(timer_stress, all_in_one_tick, STRESS_TIMEOUT_S)
{
    static struct crowd crowd;
    struct weft_config config = {.workers = *workers, .stack_size_kib = 32};

    cr_assert_eq(run_config(&config, sleep_same, &crowd), 0);
}
