/* SPDX-License-Identifier: MIT */
#include "race.h"

#include "check.h"
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { ROUNDS_PER_THREADS = 8 }; /* so many rounds for one with threads */

struct races {
    const struct race *race;
    weft_time end;
    uint64_t seed;
    uint64_t round_seed;
    _Atomic(uint64_t) streams;
};

static int take_turns(struct races *races, bool is_fiber)
{
    struct random random = random_stream(races->round_seed, atomic_fetch_add(&races->streams, 1));

    return races->race->take_turns(&random, is_fiber);
}

static int in_fiber(void *arg)
{
    return take_turns(arg, true);
}

static void *in_thread(void *arg)
{
    return (void *)(intptr_t)take_turns(arg, false);
}

static void run_round(struct races *races, struct random *random, int thread_count, int *results)
{
    weft_fiber *fibers[RACE_FIBERS];
    pthread_t threads[RACE_THREADS];

    for (int i = 0; i < thread_count; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, in_thread, races), 0);
    for (int i = 0; i < RACE_FIBERS; i++)
        fibers[i] = must_spawn(in_fiber, races);
    /* Each cancel comes at another moment of the race: those that are left when all have waited for
     * each other would tell nothing. */
    for (unsigned cancels = random_below(random, 3); cancels > 0; cancels--) {
        for (unsigned yields = random_below(random, 30); yields > 0; yields--)
            CHECK_EQ(weft_yield(), 0);
        weft_cancel(fibers[random_below(random, RACE_FIBERS)]);
    }
    for (int i = 0; i < RACE_FIBERS; i++)
        results[i] = must_join(fibers[i]);
    for (int i = 0; i < thread_count; i++) {
        void *result;

        CHECK_EQ(pthread_join(threads[i], &result), 0);
        results[RACE_FIBERS + i] = (int)(intptr_t)result;
    }
}

static int run_rounds(void *arg)
{
    struct races *races = arg;
    struct random random = random_stream(races->seed, 0);

    for (uint64_t round = 1; weft_now() < races->end; round++) {
        int thread_count = round % ROUNDS_PER_THREADS == 0 ? RACE_THREADS : 0;
        int results[RACERS_MAX];

        races->round_seed = races->seed + round;
        atomic_store(&races->streams, 1);
        races->race->begin(RACE_FIBERS + thread_count);
        run_round(races, &random, thread_count, results);
        races->race->end(results, RACE_FIBERS + thread_count);
    }
    return 0;
}

void run_races(const struct race *race, unsigned workers, weft_time end)
{
    struct races races = {.race = race, .end = end, .seed = random_seed(race->name)};

    cr_expect_eq(run_workers(workers, run_rounds, &races), 0);
}

weft_time race_deadline(struct random *random)
{
    return random_below(random, 3) == 0 ? WEFT_FOREVER
                                        : weft_after(random_below(random, 200) * WEFT_MICROSECOND);
}

void race_pause(struct random *random, bool is_fiber)
{
    if (is_fiber && random_below(random, 4) == 0)
        (void)weft_yield();
}
