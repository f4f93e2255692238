/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weft.h>

enum { NAPS = 20 };

struct storm {
    _Atomic uint64_t early; /* naps that ended before their deadline */
    _Atomic uint64_t naps;
};

static int nap(void *arg)
{
    struct storm *storm = arg;

    for (int i = 0; i < NAPS; i++) {
        weft_time deadline = weft_after(WEFT_MILLISECOND * (1 + i % 5));

        /* relaxed: counts, read after the joins. */
        if (weft_sleep_until(deadline) == 0)
            atomic_fetch_add_explicit(&storm->naps, 1, memory_order_relaxed);
        if (weft_now() < deadline)
            atomic_fetch_add_explicit(&storm->early, 1, memory_order_relaxed);
    }
    return 0;
}

/*
 * timer/sleep_storm/n=10000
 *
 * Question  How far behind does the timer fall when thousands of fibers nap at once?
 * Method    n fibers nap 20 times each, for 1-5 ms in turn; the time until all have ended.  Sixty
 *           milliseconds is what an infinitely fast machine would need.
 * Includes  arming and firing 20 n timers, waking, switching, spawning and joining n fibers.
 * Excludes  cancelled timers.
 * Distrust  a busy machine.  A nap that ended early fails the run.
 */
void bench_timer_sleep_storm(struct bench *b)
{
    enum { FIBERS_MAX = 10000 };
    static weft_fiber *fibers[FIBERS_MAX];
    struct storm storm = {0, 0};
    uint64_t count = b->spec->parameter;
    uint64_t spawned = 0;

    bench_start(b);
    while (spawned < count && spawned < FIBERS_MAX &&
           weft_spawn(&fibers[spawned], nap, &storm) == 0)
        spawned++;
    for (uint64_t i = 0; i < spawned; i++) {
        if (weft_join(fibers[i], NULL, WEFT_FOREVER) != 0)
            bench_fail(b, "join failed");
    }
    bench_stop(b);

    /* relaxed: the joins order both. */
    if (atomic_load_explicit(&storm.naps, memory_order_relaxed) != count * NAPS)
        bench_fail(b, "only %llu fibers were spawned, or some naps failed",
                   (unsigned long long)spawned);
    if (atomic_load_explicit(&storm.early, memory_order_relaxed) != 0)
        bench_fail(b, "some naps ended early");
}

enum { SPARES = 1024, TIMES = 4096 };

static weft_time random_time(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return weft_after((int64_t)((*state >> 16) % 3600) * WEFT_SECOND + 60 * WEFT_SECOND);
}

/* Filled once, so that the times are within the next hour for all samples. */
static const weft_time *random_times(void)
{
    static weft_time times[TIMES];
    uint64_t state = 1;

    for (unsigned i = 0; i < TIMES && times[TIMES - 1] == 0; i++)
        times[i] = random_time(&state);
    return times;
}

/* Scopes with a deadline each, one inside the other, and SPARES without one in the innermost. */
static weft_scope *open_scopes(uint64_t count)
{
    weft_scope *scopes = calloc(count + SPARES, sizeof *scopes);
    uint64_t state = 2;

    for (uint64_t i = 0; scopes != NULL && i < count + SPARES; i++)
        (void)weft_scope_open(&scopes[i], i < count ? random_time(&state) : WEFT_FOREVER);
    return scopes;
}

static int close_scopes(weft_scope *scopes, uint64_t count)
{
    int failed = 0;

    for (uint64_t i = count + SPARES; i-- > 0;)
        failed |= weft_scope_close(&scopes[i], 0);
    free(scopes);
    return failed;
}

uint64_t weft_bench_timers_armed(void)
{
    struct weft_stats stats;

    return weft_stats_read(&stats) == 0 ? stats.timers_armed : 0;
}

/*
 * timer/arm_cancel
 *
 * Question  What does a timer cost that is armed and cancelled, while a million others are armed?
 * Method    n scopes have deadlines in the next hour; one of SPARES more gets a random deadline and
 *           then none, b->batch times.  A deadline of a scope is what weft has for a timer that
 *           does something by itself: it is in the worker's wheel from the moment that it is set,
 *           as a peer's timer is in its heap or wheel.
 * Includes  the locks of the wheel and of the scope.
 * Excludes  reading the clock, expiry; opening and closing the scopes.
 * Distrust  nothing in particular.  A run that armed fewer fails, and one in which a scope ended.
 */
void bench_timer_arm_cancel(struct bench *b)
{
    const weft_time *times = random_times();
    uint64_t armed = weft_bench_timers_armed();
    weft_scope *scopes = open_scopes(b->spec->parameter);
    weft_scope *spares;

    if (scopes == NULL) {
        bench_fail(b, "no memory");
        return;
    }
    spares = &scopes[b->spec->parameter];
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        (void)weft_scope_set_deadline(&spares[i % SPARES], times[i % TIMES]);
        (void)weft_scope_set_deadline(&spares[i % SPARES], WEFT_FOREVER);
    }
    bench_stop(b);
    if (weft_bench_timers_armed() - armed < b->spec->parameter + b->batch)
        bench_fail(b, "some deadlines were not armed");
    if (close_scopes(scopes, b->spec->parameter) != 0)
        bench_fail(b, "some deadlines passed");
}

/*
 * timer/object/arm_cancel
 *
 * Question  What does a timer object cost that is armed and cancelled before anybody waits for it?
 * Method    one of SPARES is armed for a random time and cancelled, b->batch times, by one fiber.
 * Includes  the timer's lock, twice.
 * Excludes  reading the clock, and the wheel: a timer object is in it only while somebody waits.
 * Distrust  a comparison with timers that are armed all the time: that is timer/arm_cancel.
 */
void bench_timer_object_arm_cancel(struct bench *b)
{
    static weft_timer spares[SPARES];
    const weft_time *times = random_times();
    uint64_t cancelled = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        weft_timer *timer = &spares[i % SPARES];

        (void)weft_timer_arm(timer, times[i % TIMES], 0, WEFT_TIMER_SKIP);
        cancelled += weft_timer_cancel(timer);
    }
    bench_stop(b);
    if (cancelled != b->batch)
        bench_fail(b, "some timers were not armed");
}

struct extension {
    weft_timer timer;
    int64_t result;
};

static int wait_for_timer(void *arg)
{
    struct extension *extension = arg;

    extension->result = weft_timer_wait(&extension->timer, WEFT_FOREVER);
    return 0;
}

/*
 * timer/extend
 *
 * Question  What does it cost to move an idle timeout that never comes?
 * Method    a fiber waits for a timer; another moves it to a later time b->batch times, with the
 *           clock read once for all.
 * Includes  the compare-and-swap.
 * Excludes  reading the clock; the wait that finds the time moved, once in the old timeout.
 * Distrust  nothing in particular.
 */
void bench_timer_extend(struct bench *b)
{
    struct extension extension = {.timer = WEFT_TIMER_INIT};
    weft_time when = weft_after(3600 * WEFT_SECOND);
    weft_fiber *fiber;

    (void)weft_timer_arm(&extension.timer, when, 0, WEFT_TIMER_SKIP);
    if (weft_spawn(&fiber, wait_for_timer, &extension) != 0) {
        bench_fail(b, "spawn failed");
        return;
    }
    for (int i = 0; i < 3; i++)
        (void)weft_yield();
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        (void)weft_timer_move(&extension.timer, ++when);
    bench_stop(b);
    if (weft_timer_next(&extension.timer) != when)
        bench_fail(b, "some moves failed");
    (void)weft_timer_cancel(&extension.timer);
    if (weft_join(fiber, NULL, WEFT_FOREVER) != 0 || extension.result != -ENODATA)
        bench_fail(b, "nobody waited");
}
