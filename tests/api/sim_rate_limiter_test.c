/* SPDX-License-Identifier: MIT */
/* rate_limiter.h: turns in virtual time, where each comes when it is due and not when somebody
 * found the time to look.  Only builds whose atomic operations are points of the simulation let
 * others go on in the middle of a call. */
#include "../support/simulate.h"

#include <errno.h>
#include <stdlib.h>

enum { BURST = 100, GRANTED = 8, ROUNDS = 10, CROWD = 20 };
enum { MANY_SEEDS = TEST_IS_SANITIZED ? 100 : 500, FEW_SEEDS = 10, SEEDS_IN_CHAOS = 5 };

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

/* The only worker stays in one fiber until then. */
static void keep_the_worker_until(weft_time end)
{
    while (weft_now() < end)
        ;
}

#define REFILL WEFT_MILLISECOND /* of an empty bucket */

struct late {
    weft_rate_limiter limiter;
    weft_time took_at[CROWD];
    int taken;
    weft_time deadline; /* of one */
};

static struct late late_limiter(void)
{
    return (struct late){.limiter = WEFT_RATE_LIMITER_INIT(BURST, REFILL, BURST)};
}

static int take_a_burst(void *arg)
{
    struct late *late = arg;

    CHECK_EQ(weft_rate_limiter_acquire(&late->limiter, BURST, WEFT_FOREVER), 0);
    late->took_at[late->taken++] = weft_now(); /* there is one worker */
    return 0;
}

static int look_too_late(void *arg)
{
    struct late late = late_limiter();
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time begin = weft_now();

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(weft_scope_spawn(&scope, take_a_burst, &late), 0);
    CHECK_EQ(weft_sleep_until(begin + REFILL / 2), 0);
    CHECK_EQ(late.taken, 1);
    keep_the_worker_until(begin + (CROWD - 1) * REFILL);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(late.taken, CROWD);
    CHECK(late.took_at[2] - late.took_at[1] < REFILL / 2); /* of what came no more is kept */
    for (int i = 2; i < CROWD; i++)
        CHECK(late.took_at[i] - late.took_at[i - 2] > REFILL / 2);
    CHECK(late.took_at[CROWD - 1] - begin < 3 * CROWD * REFILL); /* nobody overslept */
    return 0;
}

static void simulate_one_worker(int (*fn)(void *))
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct weft_config config = WEFT_CONFIG_INIT;

    config.monitor = 3; /* it would put another worker to work */
    options.config = &config;
    options.workers = 1;
    cr_assert_eq(unsetenv("WEFT_WORKERS"), 0);
    cr_assert_eq(unsetenv("WEFT_MONITOR"), 0);
    for (options.seed = 1; options.seed <= FEW_SEEDS; options.seed++)
        cr_assert_eq(simulate(&options, fn, NULL), 0, "seed %d", (int)options.seed);
}

/* All of them are due when somebody looks at last, and the bucket holds enough for two. */
Test(sim_rate_limiter, turns_that_are_late_do_not_come_all_at_once)
{
    simulate_one_worker(look_too_late);
}

/* Runs when the one before waits. */
static weft_fiber *spawn_and_let_wait(int (*fn)(void *), void *arg)
{
    weft_fiber *fiber = must_spawn(fn, arg);

    CHECK_EQ(weft_sleep(REFILL / 10), 0);
    return fiber;
}

static int take_a_burst_in_time(void *arg)
{
    struct late *late = arg;

    return weft_rate_limiter_acquire(&late->limiter, BURST, late->deadline);
}

static int be_too_late_for_one(void *arg)
{
    struct late late = late_limiter();
    weft_time begin = weft_now();
    weft_fiber *fibers[4];

    (void)arg;
    CHECK_EQ(weft_rate_limiter_acquire(&late.limiter, BURST, 0), 0);
    late.deadline = begin + 7 * REFILL / 2;
    fibers[0] = spawn_and_let_wait(take_a_burst, &late);         /* after one */
    fibers[1] = spawn_and_let_wait(take_a_burst, &late);         /* after two */
    fibers[2] = spawn_and_let_wait(take_a_burst_in_time, &late); /* after three */
    fibers[3] = spawn_and_let_wait(take_a_burst, &late);
    keep_the_worker_until(begin + 13 * REFILL / 4);
    CHECK_EQ(must_join(fibers[2]), -ETIMEDOUT);
    CHECK(weft_now() >= late.deadline);
    CHECK_EQ(must_join(fibers[0]), 0);
    CHECK_EQ(must_join(fibers[1]), 0);
    CHECK_EQ(must_join(fibers[3]), 0);
    CHECK(late.took_at[2] - late.took_at[1] < 3 * REFILL / 2); /* not behind the one that failed */
    return 0;
}

/* It was accepted, since its turn was to come in time. */
Test(sim_rate_limiter, a_turn_that_became_too_late_ends_at_the_deadline)
{
    simulate_one_worker(be_too_late_for_one);
}

struct hourly {
    weft_rate_limiter limiter;
    weft_time begin;
};

#define HOUR (3600 * WEFT_SECOND)

/* Its turn comes after an hour. */
static int take_one_after_an_hour(void *arg)
{
    struct hourly *hourly = arg;

    CHECK_EQ(weft_rate_limiter_acquire(&hourly->limiter, 1, WEFT_FOREVER), 0);
    CHECK(weft_now() - hourly->begin >= HOUR);
    return 0;
}

static struct hourly empty_hourly(void)
{
    struct hourly hourly = {WEFT_RATE_LIMITER_INIT(1, HOUR, 1), weft_now()};

    CHECK_EQ(weft_rate_limiter_acquire(&hourly.limiter, 1, 0), 0);
    return hourly;
}

static void fail_at_once(void)
{
    struct hourly hourly = empty_hourly();
    weft_scope outer = WEFT_SCOPE_INIT;
    weft_scope inner = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open(&outer, hourly.begin + HOUR / 2), 0);
    CHECK_EQ(weft_scope_open(&inner, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rate_limiter_acquire(&hourly.limiter, 1, WEFT_FOREVER), -ETIMEDOUT);
    CHECK(weft_now() - hourly.begin < HOUR / 4);
    CHECK(!weft_scope_is_cancelled(&inner));
    CHECK_EQ(weft_scope_close(&inner, 0), 0);
    CHECK_EQ(weft_scope_close(&outer, 0), 0);
}

static void wait_in_a_shield(void)
{
    struct hourly hourly = empty_hourly();
    weft_scope outer = WEFT_SCOPE_INIT;
    weft_scope shield = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open(&outer, hourly.begin + HOUR / 2), 0);
    CHECK_EQ(weft_scope_open_shielded(&shield, WEFT_FOREVER), 0);
    CHECK_EQ(take_one_after_an_hour(&hourly), 0);
    CHECK_EQ(weft_scope_close(&shield, 0), 0);
    CHECK_EQ(weft_scope_close(&outer, 0), 0);
}

static void wait_while_another_moves_the_deadline(void)
{
    struct hourly hourly = empty_hourly();
    weft_scope scope = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open(&scope, hourly.begin + HOUR / 2), 0);
    CHECK_EQ(weft_scope_spawn(&scope, take_one_after_an_hour, &hourly), 0);
    CHECK_EQ(weft_sleep(HOUR / 4), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, hourly.begin + 2 * HOUR), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
}

static int use_scopes(void *arg)
{
    (void)arg;
    fail_at_once();
    wait_in_a_shield();
    wait_while_another_moves_the_deadline();
    return 0;
}

Test(sim_rate_limiter, only_deadlines_that_count_make_it_fail_at_once)
{
    simulate_one_worker(use_scopes);
}
