/* SPDX-License-Identifier: MIT */
/* Locks, deadlines, cancels and unlocks of one mutex, all at the same moment: a plain one, one that
 * knows its holder, and a recursive one. */
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

/* Returns false where the racer has been cancelled and shall end. */
static bool may_go_on(int error)
{
    CHECK(error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
    return error != -ECANCELED;
}

static int lock_plain(struct random *random)
{
    weft_time deadline = race_deadline(random);

    return random_below(random, 8) == 0 ? weft_mutex_try_lock(&mutex)
                                        : weft_mutex_lock(&mutex, deadline);
}

/* Now and then by one who was compiled without checks. */
static int lock_checked(struct random *random)
{
    switch (random_below(random, 8)) {
    case 0:
        return weft_mutex_try_lock_checked(&mutex);
    case 1:
        return lock_plain(random);
    default:
        return weft_mutex_lock_checked(&mutex, race_deadline(random));
    }
}

static int take_turns_by(int (*lock)(struct random *), struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        int error = lock(random);

        if (error != 0) {
            if (!may_go_on(error))
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

static int take_turns(struct random *random, bool is_fiber)
{
    return take_turns_by(lock_plain, random, is_fiber);
}

static int take_checked_turns(struct random *random, bool is_fiber)
{
    return take_turns_by(lock_checked, random, is_fiber);
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

/* One who gave up, and is taken for the holder all the same, stops the one who is at its unlock. */
WORKER_TEST(mutex_stress, holders_are_known_one_at_a_time, STRESS_TIMEOUT_S)
{
    static const struct race race = {"mutex_stress/checked", begin, take_checked_turns, end};

    run_races(&race, *workers, stress_end_soon());
}

struct shared {
    weft_mutex mutex;
    int users; /* under the mutex */
};

static struct shared *things[TURNS];
static _Atomic(int) frees;

static void begin_shared(int racers)
{
    for (int i = 0; i < TURNS; i++) {
        things[i] = calloc(1, sizeof *things[i]);
        CHECK(things[i] != NULL);
        things[i]->users = racers;
    }
    atomic_store(&frees, 0);
}

/* Also one that is cancelled, and so may not wait, has to. */
static void must_lock(weft_mutex *wanted, bool is_fiber)
{
    if (weft_mutex_lock(wanted, WEFT_FOREVER) == 0)
        return;
    while (weft_mutex_try_lock(wanted) != 0)
        if (is_fiber)
            (void)weft_yield();
}

static int leave_each(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        struct shared *thing = things[i];
        bool is_last;

        must_lock(&thing->mutex, is_fiber);
        if (random_below(random, 8) == 0)
            race_pause(random, is_fiber);
        is_last = --thing->users == 0;
        weft_mutex_unlock(&thing->mutex);
        if (is_last) {
            free(thing);
            atomic_fetch_add(&frees, 1);
        }
    }
    return 0;
}

static void end_shared(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(atomic_load(&frees), TURNS);
}

/* Whoever comes last frees it, while others are still in their unlock. */
WORKER_TEST(mutex_stress, the_last_holder_may_free_it, STRESS_TIMEOUT_S)
{
    static const struct race race = {"mutex_stress/free", begin_shared, leave_each, end_shared};

    run_races(&race, *workers, stress_end_soon());
}

static struct {
    weft_recursive_mutex mutex;
    long count; /* under the mutex, as is the next: plain on purpose */
    unsigned depth;
    _Atomic(long) locks;
} nested;

static void begin_nested(int racers)
{
    (void)racers;
    nested.mutex = (weft_recursive_mutex)WEFT_RECURSIVE_MUTEX_INIT;
    nested.count = 0;
    nested.depth = 0;
    atomic_store(&nested.locks, 0);
}

/* Caller has locked it once, and so often again.  It is never refused, cancelled or not, and nobody
 * comes in before the last unlock. */
static void go_in(struct random *random, bool is_fiber, unsigned more)
{
    unsigned depth = ++nested.depth;

    nested.count++;
    (void)atomic_fetch_add(&nested.locks, 1);
    race_pause(random, is_fiber);
    if (more > 0) {
        if (random_below(random, 2) == 0)
            CHECK_EQ(weft_recursive_mutex_try_lock(&nested.mutex), 0);
        else
            CHECK_EQ(weft_recursive_mutex_lock(&nested.mutex, race_deadline(random)), 0);
        go_in(random, is_fiber, more - 1);
        race_pause(random, is_fiber);
    }
    CHECK_EQ(nested.depth, depth);
    nested.depth--;
    weft_recursive_mutex_unlock(&nested.mutex);
}

static int take_nested_turns(struct random *random, bool is_fiber)
{
    for (int i = 0; i < TURNS; i++) {
        weft_time deadline = race_deadline(random);
        int error = random_below(random, 8) == 0
                        ? weft_recursive_mutex_try_lock(&nested.mutex)
                        : weft_recursive_mutex_lock(&nested.mutex, deadline);

        if (error != 0) {
            if (!may_go_on(error))
                return 0;
            continue;
        }
        CHECK_EQ(nested.depth, 0);
        go_in(random, is_fiber, random_below(random, 4));
    }
    return 0;
}

static void end_nested(const int *results, int racers)
{
    (void)results;
    (void)racers;
    CHECK_EQ(nested.count, atomic_load(&nested.locks));
    CHECK_EQ(nested.mutex.depth, 0);
    CHECK_EQ(nested.mutex.owner, 0);
    CHECK_EQ(nested.mutex.mutex.word, 0);
    CHECK(nested.mutex.mutex.queue == NULL);
}

/* One who takes itself for the holder after its last unlock goes in beside another; a level that is
 * not counted lets another in too early, one that is counted twice nobody for ever. */
WORKER_TEST(mutex_stress, a_recursive_one_is_its_holders_to_the_last_unlock, STRESS_TIMEOUT_S)
{
    static const struct race race = {"mutex_stress/recursive", begin_nested, take_nested_turns,
                                     end_nested};

    run_races(&race, *workers, stress_end_soon());
}
