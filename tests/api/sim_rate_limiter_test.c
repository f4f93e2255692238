/* SPDX-License-Identifier: MIT */
/* rate_limiter.h: turns in virtual time, where each comes when it is due and not when somebody
 * found the time to look.  Only builds whose atomic operations are points of the simulation let
 * others go on in the middle of a call. */
#include "../support/simulate.h"

#include <errno.h>
#include <stdlib.h>

enum { BURST = 100, GRANTED = 8, ROUNDS = 10 };
enum { MANY_SEEDS = TEST_IS_SANITIZED ? 100 : 500, SEEDS_IN_CHAOS = 5 };

/* A permit is a second. */
#define TURN(count) ((count)*WEFT_SECOND)

TestSuite(sim_rate_limiter, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

struct turns {
    weft_rate_limiter limiter;
    weft_time begin;
    weft_fiber *before; /* has the turn before the last one, and gives it up */
};

static int take_one(void *arg)
{
    struct turns *turns = arg;

    return weft_rate_limiter_acquire(&turns->limiter, 1, WEFT_FOREVER);
}

static int take_half(void *arg)
{
    struct turns *turns = arg;

    return weft_rate_limiter_acquire(&turns->limiter, BURST / 2, WEFT_FOREVER);
}

static int cancel_half(void *arg)
{
    struct turns *turns = arg;

    CHECK_EQ(weft_sleep_until(turns->begin + TURN(GRANTED)), 0);
    weft_cancel(turns->before);
    return 0;
}

/* The last one finds that the first turns have come; while it wakes those, the one before it gives
 * up. */
static void take_the_last_turn(void)
{
    struct turns turns = {.limiter = WEFT_RATE_LIMITER_INIT(1, WEFT_SECOND, BURST)};
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *canceller;
    weft_time took;

    turns.begin = weft_now();
    CHECK_EQ(weft_rate_limiter_acquire(&turns.limiter, BURST, 0), 0);
    for (int i = 0; i < GRANTED; i++)
        CHECK_EQ(weft_scope_spawn(&scope, take_one, &turns), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 2), 0);
    turns.before = must_spawn(take_half, &turns);
    canceller = must_spawn(cancel_half, &turns);
    CHECK_EQ(weft_sleep_until(turns.begin + TURN(GRANTED)), 0);
    CHECK_EQ(weft_rate_limiter_acquire(&turns.limiter, 5, WEFT_FOREVER), 0);
    took = weft_now() - turns.begin;
    CHECK_EQ(must_join(canceller), 0);
    CHECK_EQ(must_join(turns.before), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK(took >= TURN(GRANTED + 5));
    CHECK(took < TURN(GRANTED + 5 + BURST / 4)); /* not behind the half */
}

static int take_many_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        take_the_last_turn();
    return 0;
}

Test(sim_rate_limiter, a_turn_that_comes_earlier_is_not_lost_on_the_way_to_sleep)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    /* Chaos wakes whoever waits over and over, for as long as a permit takes. */
    int seeds = getenv("WEFT_CHAOS") != NULL ? SEEDS_IN_CHAOS : MANY_SEEDS;

    options.workers = 4; /* and some of them late, so that timers are, too */
    options.faults = WEFT_SIM_STALL;
    options.fault_ppm = 200000;
    for (options.seed = 1; options.seed <= (uint64_t)seeds; options.seed++)
        cr_assert_eq(simulate(&options, take_many_turns, NULL), 0, "seed %d", (int)options.seed);
}
