/* SPDX-License-Identifier: MIT */
/* Locks, deadlines, cancels and unlocks of one mutex, all at the same moment. */
#define WEFT_LOCK_CHECKS 0

#include "../support/race.h"
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>

enum { TURNS = 40 };

static weft_mutex mutex;
static long count; /* under the mutex: plain on purpose */
static _Atomic(long) locks;

static void begin(int racers)
{
    (void)racers;
    mutex = (weft_mutex)WEFT_MUTEX_INIT;
    count = 0;
    atomic_store(&locks, 0);
}

static int take_turns(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        weft_time deadline = race_deadline(random);
        int error = random_below(random, 8) == 0 ? weft_mutex_try_lock(&mutex)
                                                 : weft_mutex_lock(&mutex, deadline);

        if (error != 0) {
            CHECK(error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
            if (error == -ECANCELED)
                return 0;
            continue;
        }
        count++;
        (void)atomic_fetch_add(&locks, 1);
        race_pause(random, is_fiber);
        weft_mutex_unlock(&mutex);
    }
    return 0;
}

static void end(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(count, atomic_load(&locks));
    CHECK_EQ(mutex.word, 0);
    CHECK(mutex.queue == NULL);
}

/* A lock that goes to one who has given up stays locked for ever; a wake that does leaves those
 * behind it asleep. */
WORKER_TEST(mutex_stress, no_lock_and_no_wake_is_lost, STRESS_TIMEOUT_S)
{
    static const struct race race = {"mutex_stress", begin, take_turns, end};

    run_races(&race, *workers, stress_end());
}
