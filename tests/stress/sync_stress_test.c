/* SPDX-License-Identifier: MIT */
/* Events, waits for an address, barriers and functions that are run once, with deadlines, cancels
 * and wakes all at the same moment. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { FIBERS = 12, THREADS = 2, ALL = FIBERS + THREADS, TURNS = 30, PERMITS = 2 };

struct race {
    weft_event event;
    weft_barrier barrier;
    weft_once once;
    _Atomic(uint32_t) permits;
    uint64_t seed;
    long count; /* plain on purpose: under the event */
    _Atomic(long) turns;
    _Atomic(int) held;
    _Atomic(long) serials;
    _Atomic(int) successes;
    _Atomic(int) inside;
    _Atomic(uint64_t) streams;
    int (*take_turns)(struct race *race, struct random *random, bool is_fiber);
};

static int in_fiber(void *arg)
{
    struct race *race = arg;
    struct random random = random_stream(race->seed, atomic_fetch_add(&race->streams, 1));

    return race->take_turns(race, &random, true);
}

static void *in_thread(void *arg)
{
    struct race *race = arg;
    struct random random = random_stream(race->seed, atomic_fetch_add(&race->streams, 1));

    return (void *)(intptr_t)race->take_turns(race, &random, false);
}

static weft_time some_deadline(struct random *random)
{
    return random_below(random, 3) == 0 ? WEFT_FOREVER
                                        : weft_after(random_below(random, 200) * WEFT_MICROSECOND);
}

/* Lets FIBERS fibers, some of them cancelled, and now and then THREADS threads take their turns.
 * `results` gets what each of them returned; returns how many they were. */
static int run_race(struct race *race, struct random *random, int thread_count, int *results)
{
    weft_fiber *fibers[FIBERS];
    pthread_t threads[THREADS];

    for (int i = 0; i < thread_count; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, in_thread, race), 0);
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(in_fiber, race);
    /* Each cancel comes at another moment of the race: those that are left when all have waited for
     * each other would tell nothing. */
    for (unsigned cancels = random_below(random, 3); cancels > 0; cancels--) {
        for (unsigned yields = random_below(random, 30); yields > 0; yields--)
            CHECK_EQ(weft_yield(), 0);
        weft_cancel(fibers[random_below(random, FIBERS)]);
    }
    for (int i = 0; i < FIBERS; i++)
        results[i] = must_join(fibers[i]);
    for (int i = 0; i < thread_count; i++) {
        void *result;

        CHECK_EQ(pthread_join(threads[i], &result), 0);
        results[FIBERS + i] = (int)(intptr_t)result;
    }
    return FIBERS + thread_count;
}

/* An automatic event that is set is a lock: one at a time comes through. */
static int take_event(struct race *race, struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = weft_event_wait(&race->event, some_deadline(random));

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        race->count++;
        (void)atomic_fetch_add(&race->turns, 1);
        if (is_fiber && random_below(random, 4) == 0)
            (void)weft_yield();
        weft_event_set(&race->event);
    }
    return 0;
}

static int race_for_the_event(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);
    weft_time end = stress_end_soon();

    for (uint64_t round = 1; weft_now() < end; round++) {
        struct race race = {
            .event = WEFT_EVENT_AUTO_INIT, .seed = seed + round, .take_turns = take_event};
        int results[ALL];

        weft_event_set(&race.event);
        (void)run_race(&race, &random, round % 8 == 0 ? THREADS : 0, results);
        CHECK_EQ(race.count, atomic_load(&race.turns));
        CHECK(weft_event_is_set(&race.event));
        CHECK(race.event.queue == NULL);
    }
    return 0;
}

/* A set that goes to one who has given up is lost, and all wait for ever. */
WORKER_TEST(sync_stress, no_set_of_an_event_is_lost, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("sync_stress/event");

    cr_expect_eq(run_workers(*workers, race_for_the_event, &seed), 0);
}

/* A semaphore of one word. */
static int take_permit(struct race *race, weft_time deadline)
{
    for (;;) {
        uint32_t permits = atomic_load(&race->permits);
        int error;

        while (permits > 0)
            if (atomic_compare_exchange_weak(&race->permits, &permits, permits - 1))
                return 0;
        error = weft_wait_on(&race->permits, 0, 4, deadline);
        if (error != 0 && error != -EAGAIN)
            return error;
    }
}

static int take_permits(struct race *race, struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = take_permit(race, some_deadline(random));

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        CHECK(atomic_fetch_add(&race->held, 1) < PERMITS);
        if (is_fiber && random_below(random, 4) == 0)
            (void)weft_yield();
        (void)atomic_fetch_sub(&race->held, 1);
        (void)atomic_fetch_add(&race->permits, 1);
        CHECK(weft_wake_on(&race->permits, 1) <= 1);
    }
    return 0;
}

static int race_for_permits(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);
    weft_time end = stress_end_soon();

    for (uint64_t round = 1; weft_now() < end; round++) {
        struct race race = {.permits = PERMITS, .seed = seed + round, .take_turns = take_permits};
        int results[ALL];

        (void)run_race(&race, &random, round % 8 == 0 ? THREADS : 0, results);
        CHECK_EQ(race.permits, PERMITS);
        CHECK_EQ(weft_wake_on(&race.permits, SIZE_MAX), 0);
    }
    return 0;
}

WORKER_TEST(sync_stress, no_wake_of_an_address_is_lost, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("sync_stress/address");

    cr_expect_eq(run_workers(*workers, race_for_permits, &seed), 0);
}

/* Returns how often it has crossed. */
static int cross_often(struct race *race, struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        bool is_short = random_below(random, 150) == 0;
        int result;

        if (is_fiber && random_below(random, 8) == 0)
            (void)weft_yield();
        result = weft_barrier_wait(&race->barrier,
                                   is_short ? weft_after(5 * WEFT_MICROSECOND) : WEFT_FOREVER);
        (void)atomic_fetch_add(&race->serials, result == WEFT_BARRIER_SERIAL);
        if (result < 0) {
            CHECK(result == -EPIPE || result == -ECANCELED || (is_short && result == -ETIMEDOUT));
            CHECK(weft_barrier_is_broken(&race->barrier));
            return i;
        }
    }
    return TURNS;
}

static int race_to_the_barrier(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);
    weft_time end = stress_end_soon();

    for (uint64_t round = 1; weft_now() < end; round++) {
        int thread_count = round % 8 == 0 ? THREADS : 0;
        struct race race = {.barrier = WEFT_BARRIER_INIT((uint32_t)(FIBERS + thread_count)),
                            .seed = seed + round,
                            .take_turns = cross_often};
        int results[ALL];
        int count = run_race(&race, &random, thread_count, results);

        for (int i = 1; i < count; i++)
            CHECK_EQ(results[i], results[0]);
        CHECK_EQ(atomic_load(&race.serials), results[0]);
        CHECK_EQ(weft_barrier_is_broken(&race.barrier), results[0] < TURNS);
        CHECK(race.barrier.queue == NULL);
    }
    return 0;
}

/* A crossing that only some of them make leaves the others behind by one for ever. */
WORKER_TEST(sync_stress, all_cross_a_barrier_or_none, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("sync_stress/barrier");

    cr_expect_eq(run_workers(*workers, race_to_the_barrier, &seed), 0);
}

static int fail_or_not(void *arg)
{
    struct race *race = arg;
    uint64_t number = atomic_fetch_add(&race->streams, 1);
    int error = 0;

    CHECK_EQ(atomic_fetch_add(&race->inside, 1), 0);
    if (weft_self() != NULL)
        error = weft_yield(); /* fails in a fiber that is cancelled */
    if (error == 0 && number % 3 != 0)
        error = -EIO;
    if (error == 0)
        (void)atomic_fetch_add(&race->successes, 1);
    CHECK_EQ(atomic_fetch_sub(&race->inside, 1), 1);
    return error;
}

/* Returns 1 if it was told that the function has been run. */
static int need_once(struct race *race, struct random *random, bool is_fiber)
{
    (void)is_fiber;
    for (int i = 0; i < TURNS; i++) {
        int error = weft_once_run(&race->once, fail_or_not, race, some_deadline(random));

        if (error == 0) {
            CHECK_EQ(atomic_load(&race->successes), 1);
            return 1;
        }
        CHECK(error == -EIO || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
    }
    return 0;
}

static int race_to_be_first(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);
    weft_time end = stress_end_soon();

    for (uint64_t round = 1; weft_now() < end; round++) {
        struct race race = {.once = WEFT_ONCE_INIT, .seed = seed + round, .take_turns = need_once};
        int results[ALL];

        (void)run_race(&race, &random, round % 8 == 0 ? THREADS : 0, results);
        while (weft_once_run(&race.once, fail_or_not, &race, WEFT_FOREVER) != 0)
            continue;
        CHECK_EQ(atomic_load(&race.successes), 1);
        CHECK(race.once.queue == NULL);
    }
    return 0;
}

/* A turn that goes to one who has given up leaves those behind it asleep. */
WORKER_TEST(sync_stress, a_function_is_run_once_whoever_gives_up, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("sync_stress/once");

    cr_expect_eq(run_workers(*workers, race_to_be_first, &seed), 0);
}
