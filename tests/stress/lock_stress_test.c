/* SPDX-License-Identifier: MIT */
/* Semaphores, conditions and readers-writer locks, with deadlines, cancels and wakes all at the
 * same moment. */
#define WEFT_LOCK_CHECKS 0

#include "../support/race.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

enum { TURNS = 30, PERMITS = 4 };

static struct {
    weft_semaphore semaphore;
    _Atomic(int) held;
} weighed;

static void begin_semaphore(int racers)
{
    (void)racers;
    weighed.semaphore = (weft_semaphore)WEFT_SEMAPHORE_INIT(PERMITS);
}

/* Now and then one wants more than there is.  All others come to wait behind it until it gives up,
 * and then nothing is released any more that could wake them. */
static int ask(struct random *random, int wanted)
{
    weft_time deadline = race_deadline(random);

    if (random_below(random, 8) == 0)
        return weft_semaphore_try_acquire(&weighed.semaphore, (uint64_t)wanted);
    if (wanted > PERMITS)
        deadline = weft_after(random_below(random, 200) * WEFT_MICROSECOND);
    return weft_semaphore_acquire(&weighed.semaphore, (uint64_t)wanted, deadline);
}

static int take_permits(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int wanted = 1 + (int)random_below(random, PERMITS + 1);
        int error = ask(random, wanted);

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        CHECK(atomic_fetch_add(&weighed.held, wanted) + wanted <= PERMITS);
        race_pause(random, is_fiber);
        (void)atomic_fetch_sub(&weighed.held, wanted);
        weft_semaphore_release(&weighed.semaphore, (uint64_t)wanted);
    }
    return 0;
}

static void end_semaphore(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(atomic_load(&weighed.held), 0);
    CHECK_EQ(weft_semaphore_available(&weighed.semaphore), PERMITS);
    CHECK(weighed.semaphore.queue == NULL);
}

/* A permit that goes to one who has given up is lost; one who wants many and gives up must let
 * those behind it through. */
WORKER_TEST(lock_stress, no_permit_of_a_semaphore_is_lost, STRESS_TIMEOUT_S)
{
    static const struct race race = {"lock_stress/semaphore", begin_semaphore, take_permits,
                                     end_semaphore};

    run_races(&race, *workers, stress_end_soon());
}

/* A semaphore made of a mutex and a condition. */
static struct {
    weft_mutex mutex;
    weft_condition has_permit;
    int permits; /* under the mutex: plain on purpose */
} made;

static void begin_condition(int racers)
{
    (void)racers;
    made.permits = PERMITS;
}

static int take_one(weft_time deadline)
{
    int error = weft_mutex_lock(&made.mutex, deadline);

    if (error != 0)
        return error;
    while (made.permits == 0 && error == 0)
        error = weft_condition_wait(&made.has_permit, &made.mutex, deadline);
    /* One that gave up may find a permit; whoever gave that has signalled another. */
    if (error == 0)
        made.permits--;
    weft_mutex_unlock(&made.mutex);
    return error;
}

/* The lock is short, but one that is cancelled may not wait for it. */
static void give_one(bool is_fiber)
{
    while (weft_mutex_try_lock(&made.mutex) != 0)
        if (is_fiber)
            (void)weft_yield();
    CHECK(made.permits < PERMITS);
    made.permits++;
    weft_condition_signal(&made.has_permit);
    weft_mutex_unlock(&made.mutex);
}

static int take_and_give(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = take_one(race_deadline(random));

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        race_pause(random, is_fiber);
        give_one(is_fiber);
    }
    return 0;
}

static void end_condition(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(made.permits, PERMITS);
    CHECK_EQ(made.mutex.word, 0);
    CHECK(made.mutex.queue == NULL);
    CHECK(made.has_permit.queue == NULL);
}

/* A signal that goes to one who has given up leaves a permit, and those who wait for it. */
WORKER_TEST(lock_stress, no_signal_of_a_condition_is_lost, STRESS_TIMEOUT_S)
{
    static const struct race race = {"lock_stress/condition", begin_condition, take_and_give,
                                     end_condition};

    run_races(&race, *workers, stress_end_soon());
}

/* What a writer has written, both or none; plain on purpose. */
static struct {
    weft_rwlock lock;
    long first, second;
    _Atomic(long) writes;
} shared;

static void begin_fair(int racers)
{
    (void)racers;
    shared.lock = (weft_rwlock)WEFT_RWLOCK_INIT;
    shared.first = shared.second = 0;
    atomic_store(&shared.writes, 0);
}

static void begin_prefer_readers(int racers)
{
    begin_fair(racers);
    shared.lock = (weft_rwlock)WEFT_RWLOCK_INIT_PREFER_READERS;
}

static int lock_shared(struct random *random, bool writes)
{
    bool only_tries = random_below(random, 8) == 0;
    weft_time deadline = race_deadline(random);

    if (writes)
        return only_tries ? weft_rwlock_try_write_lock(&shared.lock)
                          : weft_rwlock_write_lock(&shared.lock, deadline);
    return only_tries ? weft_rwlock_try_read_lock(&shared.lock)
                      : weft_rwlock_read_lock(&shared.lock, deadline);
}

static int read_and_write(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        bool writes = random_below(random, 3) == 0;
        int error = lock_shared(random, writes);

        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
        if (error == -ECANCELED)
            return 0;
        if (error != 0)
            continue;
        if (writes) {
            shared.first++;
            race_pause(random, is_fiber);
            shared.second++;
            (void)atomic_fetch_add(&shared.writes, 1);
        }
        if (writes && random_below(random, 2) == 0)
            weft_rwlock_downgrade(&shared.lock);
        CHECK_EQ(shared.first, shared.second);
        race_pause(random, is_fiber);
        CHECK_EQ(shared.first, shared.second);
        weft_rwlock_unlock(&shared.lock);
    }
    return 0;
}

static void end_rwlock(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(shared.first, atomic_load(&shared.writes));
    CHECK(shared.lock.queue == NULL && shared.lock.readers == NULL);
    weft_rwlock_destroy(&shared.lock); /* ends the program if somebody holds it */
}

/* A lock that goes to one who has given up stays locked; readers and a writer must never meet. */
WORKER_TEST(lock_stress, a_fair_rwlock_keeps_all_apart, STRESS_TIMEOUT_S)
{
    static const struct race race = {"lock_stress/fair", begin_fair, read_and_write, end_rwlock};

    run_races(&race, *workers, stress_end_soon());
}

WORKER_TEST(lock_stress, a_rwlock_that_prefers_readers_keeps_all_apart, STRESS_TIMEOUT_S)
{
    static const struct race race = {"lock_stress/prefer_readers", begin_prefer_readers,
                                     read_and_write, end_rwlock};

    run_races(&race, *workers, stress_end_soon());
}
