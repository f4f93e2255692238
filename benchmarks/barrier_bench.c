/* SPDX-License-Identifier: MIT */
/* Many that are woken at once: by a barrier, and by a condition variable's broadcast.  The
 * parameter is how many. */
#define WEFT_LOCK_CHECKS 0 /* as in a program that is built for speed */

#include "weft_bench.h"

#include <weft.h>

enum { PARTIES_MAX = 1000 };

/* Returns how many of `count` could be spawned. */
static unsigned spawn_all(weft_fiber **fibers, unsigned count, int (*fn)(void *), void *arg)
{
    unsigned spawned = 0;

    while (spawned < count && weft_spawn(&fibers[spawned], fn, arg) == 0)
        spawned++;
    return spawned;
}

static void join_all(struct bench *b, weft_fiber **fibers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int result = -1;

        if (weft_join(fibers[i], &result, WEFT_FOREVER) != 0 || result < 0)
            bench_fail(b, "one of them ended with %d", result);
    }
}

struct march {
    struct bench *bench;
    weft_barrier barrier;
    uint64_t steps;   /* that are timed; one more comes before them */
    uint64_t serials; /* of the one that arrived last: one at a time */
};

static int march_along(void *arg)
{
    struct march *march = arg;
    int result = 0;

    for (uint64_t i = 0; i <= march->steps && result >= 0; i++) {
        result = weft_barrier_wait(&march->barrier, WEFT_FOREVER);
        if (result != WEFT_BARRIER_SERIAL)
            continue;
        march->serials++;
        if (i == 0)
            bench_start(march->bench);
        if (i == march->steps)
            bench_stop(march->bench);
    }
    return result;
}

/*
 * barrier/cross
 *
 * Question  What does it cost a party to come to a barrier and to leave it with the others?
 * Method    So many fibers on two workers (two of them: on one) cross one barrier again and again;
 *           a batch is so many crossings, and an operation one party's part in one.
 *           All cross once before the clock starts.
 * Includes  a switch for each party but the last.
 * Excludes  spawning and joining the parties, which for threads costs more than many crossings;
 *           work between the crossings: there is none.
 * Distrust  a busy machine: all wait for the one that is off its CPU.
 */
void bench_barrier_cross(struct bench *b)
{
    static weft_fiber *fibers[PARTIES_MAX];
    unsigned parties = (unsigned)b->spec->parameter;
    struct march march = {.bench = b, .barrier = WEFT_BARRIER_INIT(parties), .steps = b->batch};
    unsigned spawned;

    spawned = spawn_all(fibers, parties, march_along, &march);
    if (spawned < parties)
        weft_barrier_break(&march.barrier);
    join_all(b, fibers, spawned);
    if (march.serials != b->batch + 1)
        bench_fail(b, "%llu of the crossings took place", (unsigned long long)march.serials);
}

struct audience {
    weft_mutex mutex;
    weft_condition changed;
    weft_condition assembled;
    uint64_t rounds;  /* that are timed; one more comes after them */
    uint64_t round;   /* under the mutex, as are the next two */
    uint64_t waiting; /* in this round */
    uint64_t woken;
    unsigned count;
};

static int hear(void *arg)
{
    struct audience *audience = arg;
    int error = weft_mutex_lock(&audience->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    for (uint64_t i = 0; i <= audience->rounds && error == 0; i++) {
        if (++audience->waiting == audience->count)
            weft_condition_signal(&audience->assembled);
        while (audience->round == i && error == 0)
            error = weft_condition_wait(&audience->changed, &audience->mutex, WEFT_FOREVER);
        audience->woken++;
    }
    weft_mutex_unlock(&audience->mutex);
    return error;
}

/* Times from where all wait for the first time until they do so for the last. */
static int address(struct bench *b, struct audience *audience)
{
    int error = weft_mutex_lock(&audience->mutex, WEFT_FOREVER);

    if (error != 0)
        return error;
    while (audience->round <= audience->rounds && error == 0) {
        while (audience->waiting < audience->count && error == 0)
            error = weft_condition_wait(&audience->assembled, &audience->mutex, WEFT_FOREVER);
        if (audience->round == 0)
            bench_start(b);
        if (audience->round == audience->rounds)
            bench_stop(b);
        audience->waiting = 0;
        audience->round++;
        weft_condition_broadcast(&audience->changed);
    }
    weft_mutex_unlock(&audience->mutex);
    return error;
}

/*
 * condvar/broadcast
 *
 * Question  What does a broadcast cost for each that it wakes?
 * Method    So many fibers on two workers wait under one mutex for the next round, which another
 *           begins by a broadcast once all of them wait; a batch is so many rounds, from when all
 *           wait for the first time until they do again after the last.
 * Includes  waiting, waking, and locking the mutex again, one after another.
 * Excludes  spawning and joining them; work between the rounds: there is none.
 * Distrust  a busy machine, as for barrier/cross.
 */
void bench_condvar_broadcast(struct bench *b)
{
    static weft_fiber *fibers[PARTIES_MAX];
    static struct audience audience; /* also for those that are left where some are not spawned */

    audience = (struct audience){.mutex = WEFT_MUTEX_INIT,
                                 .changed = WEFT_CONDITION_INIT,
                                 .assembled = WEFT_CONDITION_INIT,
                                 .rounds = b->batch};
    audience.count = (unsigned)b->spec->parameter;
    if (spawn_all(fibers, audience.count, hear, &audience) < audience.count) {
        bench_fail(b, "not all were spawned");
        return;
    }
    if (address(b, &audience) != 0)
        bench_fail(b, "the rounds were broken off");
    join_all(b, fibers, audience.count);
    if (audience.woken != (b->batch + 1) * audience.count)
        bench_fail(b, "some were not woken");
}
