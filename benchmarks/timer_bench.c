/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <stdatomic.h>
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
