/* SPDX-License-Identifier: MIT */
/*
 * Two fibers per core spawn, join, detach, cancel, sleep and yield at random, and their children
 * do so too.  At the end every counter must agree: spawned = started = finished = freed.
 */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

enum { HELD_MAX = 32, DEPTH_MAX = 3 };

struct stress {
    uint64_t seed;
    weft_time end;
    int alive_max;
    _Atomic(int) alive;
    _Atomic(uint64_t) spawned;
    _Atomic(uint64_t) ran;
    _Atomic(uint64_t) joined;
    _Atomic(uint64_t) detached;
};

struct child {
    struct stress *stress;
    int depth;
    int result;
};

struct held {
    weft_fiber *fiber;
    int expected;
};

static int live(void *arg);

static struct held spawn_child(struct stress *stress, struct random *random, int depth)
{
    struct child *child = malloc(sizeof *child);
    struct held held = {NULL, (int)random_below(random, 1000)};

    CHECK(child != NULL);
    *child = (struct child){stress, depth, held.expected};
    if (weft_spawn(&held.fiber, live, child) != 0) {
        CHECK(weft_is_cancelled());
        free(child);
        held.fiber = NULL;
        return held;
    }
    (void)atomic_fetch_add(&stress->spawned, 1);
    (void)atomic_fetch_add(&stress->alive, 1);
    return held;
}

/* Gives a handle up by one of the documented ways. */
static void give_up(struct stress *stress, struct random *random, struct held *held)
{
    int result = -1;
    int error;

    switch (random_below(random, 4)) {
    case 0:
        weft_cancel(held->fiber);
        weft_detach(held->fiber);
        break;
    case 1:
        weft_detach(held->fiber);
        break;
    case 2:
        weft_cancel(held->fiber);
        /* fall through */
    default:
        error = weft_join(held->fiber, &result, weft_after(random_below(random, 300) * 1000));
        if (error == 0) {
            CHECK_EQ(result, held->expected);
            (void)atomic_fetch_add(&stress->joined, 1);
            held->fiber = NULL;
            return;
        }
        CHECK(error == -ETIMEDOUT || error == -ECANCELED);
        weft_detach(held->fiber);
        break;
    }
    (void)atomic_fetch_add(&stress->detached, 1);
    held->fiber = NULL;
}

static void pause_somehow(struct random *random)
{
    if (random_below(random, 3) > 0)
        (void)weft_yield();
    else
        (void)weft_sleep(random_below(random, 400) * WEFT_MICROSECOND);
}

static void take_steps(struct stress *stress, struct random *random, int depth, unsigned steps)
{
    struct held held[HELD_MAX] = {{NULL, 0}};

    for (unsigned step = 0; step < steps && weft_now() < stress->end; step++) {
        struct held *one = &held[random_below(random, HELD_MAX)];
        if (one->fiber)
            give_up(stress, random, one);
        else if (depth < DEPTH_MAX && atomic_load(&stress->alive) < stress->alive_max)
            *one = spawn_child(stress, random, depth + 1);
        if (random_below(random, 4) == 0)
            pause_somehow(random);
    }
    for (int i = 0; i < HELD_MAX; i++)
        if (held[i].fiber)
            give_up(stress, random, &held[i]);
}

static int live(void *arg)
{
    struct child child = *(struct child *)arg;
    struct random random = random_stream(child.stress->seed, weft_fiber_id(weft_self()));

    free(arg);
    (void)atomic_fetch_add(&child.stress->ran, 1);
    take_steps(child.stress, &random, child.depth, random_below(&random, 12));
    (void)atomic_fetch_sub(&child.stress->alive, 1);
    return child.result;
}

static int drive(void *arg)
{
    struct stress *stress = arg;
    struct random random = random_stream(stress->seed, weft_fiber_id(weft_self()));

    take_steps(stress, &random, 0, UINT32_MAX);
    return 0;
}

static int start_drivers(void *arg)
{
    enum { DRIVERS_MAX = 256 };
    static weft_fiber *drivers[DRIVERS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct stress *stress = arg;
    int count = cores < 1 ? 2 : cores > DRIVERS_MAX / 2 ? DRIVERS_MAX : (int)cores * 2;

    for (int i = 0; i < count; i++)
        drivers[i] = must_spawn(drive, stress);
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(drivers[i]), 0);
    while (atomic_load(&stress->alive) > 0) /* those that were detached */
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    return count;
}

static void run_stress(unsigned workers, uint32_t chaos)
{
    struct weft_config config = {.workers = workers, .chaos = chaos, .stack_size_kib = 64};
    struct stress stress = {.seed = random_seed("spawn_stress"),
                            .end = stress_end(),
                            .alive_max = TEST_FIBERS_ALIVE_MAX / 2};
    int drivers = run_config(&config, start_drivers, &stress);

    cr_expect_gt(stress.spawned, 100, "hardly anything happened");
    cr_expect_eq(stress.ran, stress.spawned);
    cr_expect_eq(stress.joined + stress.detached, stress.spawned);
    cr_expect_eq(run_stats().fibers_spawned, stress.spawned + (uint64_t)drivers + 1);
}

/* Any fiber that is lost, run twice, freed twice or never: the counters of the test, of the
 * runtime and the allocator disagree. */
WORKER_TEST(spawn_stress, every_fiber_is_accounted_for, STRESS_TIMEOUT_S)
{
    run_stress(*workers, 0);
}

/* The same with a migration at every resume. */
WORKER_TEST(spawn_stress, every_fiber_is_accounted_for_in_chaos, STRESS_TIMEOUT_S)
{
    run_stress(*workers, 1);
}
