/* SPDX-License-Identifier: MIT */
/*
 * timer/wheel/arm_cancel: the wheel in which every wait with a deadline has an entry, an internal
 * structure, without any scheduler.
 *
 * Question  What does a deadline cost that does not pass, while a million others are pending?
 * Method    n entries lie in the wheel, at random times in the next hour; one of SPARES more is
 *           armed for a random time and cancelled, b->batch times.
 * Includes  the wheel's lock, twice, and its lists.
 * Excludes  reading the clock, expiry, contention.
 * Distrust  nothing in particular.
 *
 * timer/wheel/replace: instead, any one of the n is cancelled and armed for another time.  It and
 * its neighbours in the list lie anywhere in memory, so what is measured is cache misses.
 */
#include "internal/wheel_bench.h"

#include "runtime/timer.h"

#include <stdlib.h>

enum { SPARES = 1024, TIMES = 4096 };

static const int64_t start = INT64_C(1000000000000);

struct crowd {
    struct wf_wheel wheel;
    int64_t times[TIMES];
    struct wf_timer spares[SPARES];
    uint64_t count;
    struct wf_timer timers[];
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 16;
}

static int64_t random_time(uint64_t *state)
{
    return start + (int64_t)(next_random(state) % UINT64_C(3600000000000)) + 1000000000;
}

static struct crowd *make_crowd(uint64_t count)
{
    struct crowd *crowd = calloc(1, sizeof *crowd + count * sizeof crowd->timers[0]);
    uint64_t state = 1;

    if (crowd == NULL)
        return NULL;
    crowd->count = count;
    wf_wheel_init(&crowd->wheel, start);
    for (unsigned i = 0; i < TIMES; i++)
        crowd->times[i] = random_time(&state);
    for (uint64_t i = 0; i < count; i++)
        wf_timer_arm(&crowd->wheel, &crowd->timers[i], random_time(&state));
    return crowd;
}

void bench_wheel_arm_cancel(struct bench *b)
{
    static struct crowd *crowd; /* for all samples */

    if (crowd == NULL)
        crowd = make_crowd(b->spec->parameter);
    if (crowd == NULL) {
        bench_fail(b, "no memory");
        return;
    }
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        struct wf_timer *timer = &crowd->spares[i % SPARES];

        wf_timer_arm(&crowd->wheel, timer, crowd->times[i % TIMES]);
        wf_timer_cancel(timer);
    }
    bench_stop(b);
    if (wf_wheel_next(&crowd->wheel) == INT64_MAX)
        bench_fail(b, "the wheel is empty");
}

void bench_wheel_replace(struct bench *b)
{
    static struct crowd *crowd; /* for all samples */
    static uint64_t state = 2;

    if (crowd == NULL)
        crowd = make_crowd(b->spec->parameter);
    if (crowd == NULL) {
        bench_fail(b, "no memory");
        return;
    }
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        struct wf_timer *timer = &crowd->timers[next_random(&state) % crowd->count];

        wf_timer_cancel(timer);
        wf_timer_arm(&crowd->wheel, timer, crowd->times[i % TIMES]);
    }
    bench_stop(b);
    if (wf_wheel_next(&crowd->wheel) == INT64_MAX)
        bench_fail(b, "the wheel is empty");
}
