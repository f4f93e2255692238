/* SPDX-License-Identifier: MIT */
/* How often a worker that always has work looks at its timers (docs/fairness.md). */
#include "../support/fixture.h"
#include "../support/turns.h"

#include <stdlib.h>

enum {
    TIMES = 20,
    CROWD = 2,
    TURN_NS = 2000,     /* far from short */
    TURNS_USUALLY = 62, /* until the look, where turns are not short */
    TICK_NS = 65536,
};

struct watch {
    weft_time due;
    struct turns at; /* when a fiber of the crowd first saw that it was past `due` */
    bool is_past;
    bool stop;
    _Atomic(uint64_t) most;
};

static int compute(void *arg)
{
    struct watch *watch = arg;

    while (!watch->stop) {
        weft_time end = weft_now() + TURN_NS;

        while (weft_now() < end)
            continue;
        if (!watch->is_past && weft_now() >= watch->due) {
            watch->at = turns_now();
            watch->is_past = true;
        }
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int sleep_beside(void *arg)
{
    struct watch *watch = arg;
    weft_fiber *crowd[CROWD];

    watch->is_past = true;
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(weft_spawn(&crowd[i], compute, watch), 0);
    for (int i = 0; i < TIMES; i++) {
        /* On a tick of the wheels. */
        watch->due = (weft_now() + 3 * WEFT_MILLISECOND) / TICK_NS * TICK_NS;
        watch->is_past = false;
        CHECK_EQ(weft_sleep_until(watch->due), 0);
        /* It can have come here before anyone in the crowd has looked. */
        if (watch->is_past)
            turns_check(watch->at, TURNS_USUALLY + TURNS_PER_READY * (CROWD + 1), &watch->most);
        watch->is_past = true;
    }
    watch->stop = true;
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(weft_join(crowd[i], NULL, WEFT_FOREVER), 0);
    return 0;
}

/* The look is put off only where turns are so short that it would take a good part of the time. */
Test(look, comes_every_61_turns_where_turns_are_long, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3};
    struct watch watch = {.due = 0};

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos looks more often");
    cr_expect_eq(run_config(&config, sleep_beside, &watch), 0);
    cr_expect_gt(watch.most, 0, "nothing was measured");
}
