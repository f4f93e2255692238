/* SPDX-License-Identifier: MIT */
/* Locks, deadlines, cancels and unlocks of one mutex, all at the same moment. */
#define WEFT_MUTEX_CHECKS 0

#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { FIBERS = 12, THREADS = 2, TURNS = 40 };

struct race {
    weft_mutex mutex;
    uint64_t seed;
    long count; /* under the mutex: plain on purpose */
    _Atomic(long) locks;
    _Atomic(uint64_t) streams;
};

static void take_turns(struct race *race, bool is_fiber)
{
    struct random random = random_stream(race->seed, atomic_fetch_add(&race->streams, 1));

    for (int i = 0; i < TURNS; i++) {
        weft_time deadline = random_below(&random, 3) == 0
                                 ? WEFT_FOREVER
                                 : weft_after(random_below(&random, 200) * WEFT_MICROSECOND);
        int error = random_below(&random, 8) == 0 ? weft_mutex_try_lock(&race->mutex)
                                                  : weft_mutex_lock(&race->mutex, deadline);

        if (error != 0) {
            CHECK(error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
            if (error == -ECANCELED)
                return;
            continue;
        }
        race->count++;
        (void)atomic_fetch_add(&race->locks, 1);
        if (is_fiber && random_below(&random, 4) == 0)
            (void)weft_yield();
        weft_mutex_unlock(&race->mutex);
    }
}

static int take_turns_in_fiber(void *arg)
{
    take_turns(arg, true);
    return 0;
}

static void *take_turns_in_thread(void *arg)
{
    take_turns(arg, false);
    return NULL;
}

static int race_for_the_lock(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);
    weft_time end = stress_end();

    for (uint64_t round = 1; weft_now() < end; round++) {
        struct race race = {.mutex = WEFT_MUTEX_INIT, .seed = seed + round};
        weft_fiber *fibers[FIBERS];
        pthread_t threads[THREADS];
        unsigned thread_count = round % 8 == 0 ? THREADS : 0;

        for (unsigned i = 0; i < thread_count; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, take_turns_in_thread, &race), 0);
        for (int i = 0; i < FIBERS; i++)
            fibers[i] = must_spawn(take_turns_in_fiber, &race);
        for (int i = 0; i < FIBERS; i++) {
            if (random_below(&random, 3) == 0)
                weft_cancel(fibers[random_below(&random, FIBERS - (unsigned)i) + (unsigned)i]);
            CHECK_EQ(must_join(fibers[i]), 0);
        }
        for (unsigned i = 0; i < thread_count; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(race.count, atomic_load(&race.locks));
        CHECK_EQ(race.mutex.word, 0);
        CHECK(race.mutex.queue == NULL);
    }
    return 0;
}

/* A lock that goes to one who has given up stays locked for ever; a wake that does leaves those
 * behind it asleep. */
WORKER_TEST(mutex_stress, no_lock_and_no_wake_is_lost, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("mutex_stress");

    cr_expect_eq(run_workers(*workers, race_for_the_lock, &seed), 0);
}
