/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft.h>

enum { SETTLE_S = 3, WINDOW_S = 5, WINDOW_S_QUICK = 2 };

struct watch {
    unsigned window_s;
    uint64_t cpu_ns;
    uint64_t switches;
};

static int park(void *arg)
{
    (void)arg;
    return weft_sleep_until(weft_after(3600 * WEFT_SECOND));
}

static void *watch_process(void *arg)
{
    struct watch *watch = arg;

    sleep(SETTLE_S);
    watch->switches = bench_voluntary_switches();
    watch->cpu_ns = bench_cpu_ns();
    sleep(watch->window_s);
    watch->cpu_ns = bench_cpu_ns() - watch->cpu_ns;
    watch->switches = bench_voluntary_switches() - watch->switches;
    return NULL;
}

/* All fibers sleep while the thread watches. */
static void watch_from_outside(struct bench *b, struct watch *watch)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, watch_process, watch) != 0) {
        bench_fail(b, "no thread");
        return;
    }
    weft_sleep((SETTLE_S + watch->window_s + 1) * WEFT_SECOND);
    pthread_join(thread, NULL);
    bench_report(b, "cpu_us_per_s", 0, (double)watch->cpu_ns / 1e3 / watch->window_s);
    bench_report(b, "switches_per_s", 0, (double)watch->switches / watch->window_s);
}

/*
 * idle/parked=10000
 *
 * Question  What does a runtime cost that has nothing to do?
 * Method    10,000 fibers sleep for an hour, on two workers; three seconds later a thread that is
 *           none of the runtime's reads the process's CPU time and voluntary context switches, and
 *           again five seconds later (two with --quick).  A thread that makes a system call that
 *           blocks switches.
 * Includes  every thread of the process: workers, monitor, and what the peers have of that kind.
 * Excludes  system calls that do not block; `strace -c -f` counts them.  The second after the last
 *           activity, in which the monitor still watches: that is why no fiber does the measuring.
 * Distrust  what is below 0.1 ms in the window: that is the measuring thread.
 */
void bench_idle_parked(struct bench *b)
{
    uint64_t count = b->spec->parameter;
    weft_fiber **fibers = calloc(count, sizeof *fibers);
    struct watch watch = {b->is_quick ? WINDOW_S_QUICK : WINDOW_S, 0, 0};
    uint64_t spawned = 0;

    if (!fibers) {
        bench_fail(b, "out of memory");
        return;
    }
    while (spawned < count && weft_spawn(&fibers[spawned], park, NULL) == 0)
        spawned++;
    watch_from_outside(b, &watch);

    for (uint64_t i = 0; i < spawned; i++)
        weft_cancel(fibers[i]);
    for (uint64_t i = 0; i < spawned; i++) {
        int result = 0;

        /* Whoever was cancelled had been asleep. */
        if (weft_join(fibers[i], &result, WEFT_FOREVER) != 0 || result == 0)
            bench_fail(b, "a fiber was not asleep");
    }
    if (spawned < count)
        bench_fail(b, "only %llu fibers", (unsigned long long)spawned);
    free(fibers);
}
