/* SPDX-License-Identifier: MIT */
/* Events, waits for an address, barriers and functions that are run once, with deadlines, cancels
 * and wakes all at the same moment. */
#include "../support/race.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

enum { TURNS = 30, PERMITS = 2 };

static struct {
    weft_event event;
    long count; /* plain on purpose: under the event */
    _Atomic(long) turns;
} guarded;

static void begin_event(int racers)
{
    (void)racers;
    guarded.event = (weft_event)WEFT_EVENT_AUTO_INIT;
    guarded.count = 0;
    atomic_store(&guarded.turns, 0);
    weft_event_set(&guarded.event);
}

/* An automatic event that is set is a lock: one at a time comes through. */
static int take_event(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = weft_event_wait(&guarded.event, race_deadline(random));

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        guarded.count++;
        (void)atomic_fetch_add(&guarded.turns, 1);
        race_pause(random, is_fiber);
        weft_event_set(&guarded.event);
    }
    return 0;
}

static void end_event(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(guarded.count, atomic_load(&guarded.turns));
    CHECK(weft_event_is_set(&guarded.event));
    CHECK(guarded.event.queue == NULL);
}

/* A set that goes to one who has given up is lost, and all wait for ever. */
WORKER_TEST(sync_stress, no_set_of_an_event_is_lost, STRESS_TIMEOUT_S)
{
    static const struct race race = {"sync_stress/event", begin_event, take_event, end_event};

    run_races(&race, *workers, stress_end_soon());
}

/* A semaphore of one word. */
static struct {
    _Atomic(uint32_t) permits;
    _Atomic(int) held;
} address;

static void begin_address(int racers)
{
    (void)racers;
    atomic_store(&address.permits, PERMITS);
}

static int take_permit(weft_time deadline)
{
    for (;;) {
        uint32_t permits = atomic_load(&address.permits);
        int error;

        while (permits > 0)
            if (atomic_compare_exchange_weak(&address.permits, &permits, permits - 1))
                return 0;
        error = weft_wait_on(&address.permits, 0, 4, deadline);
        if (error != 0 && error != -EAGAIN)
            return error;
    }
}

static int take_permits(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = take_permit(race_deadline(random));

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        CHECK(atomic_fetch_add(&address.held, 1) < PERMITS);
        race_pause(random, is_fiber);
        (void)atomic_fetch_sub(&address.held, 1);
        (void)atomic_fetch_add(&address.permits, 1);
        CHECK(weft_wake_on(&address.permits, 1) <= 1);
    }
    return 0;
}

static void end_address(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(address.permits, PERMITS);
    CHECK_EQ(weft_wake_on(&address.permits, SIZE_MAX), 0);
}

WORKER_TEST(sync_stress, no_wake_of_an_address_is_lost, STRESS_TIMEOUT_S)
{
    static const struct race race = {"sync_stress/address", begin_address, take_permits,
                                     end_address};

    run_races(&race, *workers, stress_end_soon());
}

static struct {
    weft_barrier barrier;
    _Atomic(long) serials;
} crossing;

static void begin_barrier(int racers)
{
    crossing.barrier = (weft_barrier)WEFT_BARRIER_INIT((uint32_t)racers);
    atomic_store(&crossing.serials, 0);
}

/* Returns how often it has crossed. */
static int cross_often(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        bool is_short = random_below(random, 150) == 0;
        int result;

        if (is_fiber && random_below(random, 8) == 0)
            (void)weft_yield();
        result = weft_barrier_wait(&crossing.barrier,
                                   is_short ? weft_after(5 * WEFT_MICROSECOND) : WEFT_FOREVER);
        (void)atomic_fetch_add(&crossing.serials, result == WEFT_BARRIER_SERIAL);
        if (result < 0) {
            CHECK(result == -EPIPE || result == -ECANCELED || (is_short && result == -ETIMEDOUT));
            CHECK(weft_barrier_is_broken(&crossing.barrier));
            return i;
        }
    }
    return TURNS;
}

static void end_barrier(const int *results, int racers)
{
    for (int i = 1; i < racers; i++)
        CHECK_EQ(results[i], results[0]);
    CHECK_EQ(atomic_load(&crossing.serials), results[0]);
    CHECK_EQ(weft_barrier_is_broken(&crossing.barrier), results[0] < TURNS);
    CHECK(crossing.barrier.queue == NULL);
}

/* A crossing that only some of them make leaves the others behind by one for ever. */
WORKER_TEST(sync_stress, all_cross_a_barrier_or_none, STRESS_TIMEOUT_S)
{
    static const struct race race = {"sync_stress/barrier", begin_barrier, cross_often,
                                     end_barrier};

    run_races(&race, *workers, stress_end_soon());
}

static struct {
    weft_once once;
    _Atomic(int) calls, inside, successes;
} only;

static void begin_once(int racers)
{
    (void)racers;
    only.once = (weft_once)WEFT_ONCE_INIT;
    atomic_store(&only.calls, 0);
    atomic_store(&only.successes, 0);
}

static int fail_or_not(void *arg)
{
    int number = atomic_fetch_add(&only.calls, 1);
    int error = 0;

    (void)arg;
    CHECK_EQ(atomic_fetch_add(&only.inside, 1), 0);
    if (weft_self() != NULL)
        error = weft_yield(); /* fails in a fiber that is cancelled */
    if (error == 0 && number % 3 != 0)
        error = -EIO;
    if (error == 0)
        (void)atomic_fetch_add(&only.successes, 1);
    CHECK_EQ(atomic_fetch_sub(&only.inside, 1), 1);
    return error;
}

/* Returns 1 if it was told that the function has been run. */
static int need_once(struct random *random, bool is_fiber)
{
    (void)is_fiber;
    for (int i = 0; i < TURNS; i++) {
        int error = weft_once_run(&only.once, fail_or_not, NULL, race_deadline(random));

        if (error == 0) {
            CHECK_EQ(atomic_load(&only.successes), 1);
            return 1;
        }
        CHECK(error == -EIO || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
    }
    return 0;
}

static void end_once(const int *results, int racers)
{
    (void)results;
    (void)racers;
    while (weft_once_run(&only.once, fail_or_not, NULL, WEFT_FOREVER) != 0)
        continue;
    CHECK_EQ(atomic_load(&only.successes), 1);
    CHECK(only.once.queue == NULL);
}

/* A turn that goes to one who has given up leaves those behind it asleep. */
WORKER_TEST(sync_stress, a_function_is_run_once_whoever_gives_up, STRESS_TIMEOUT_S)
{
    static const struct race race = {"sync_stress/once", begin_once, need_once, end_once};

    run_races(&race, *workers, stress_end_soon());
}
