/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <stdlib.h>
#include <weft.h>

enum { SETTLE_S = 1, WINDOW_S = 10, WINDOW_S_QUICK = 2 };

static int park(void *arg)
{
    (void)arg;
    return weft_sleep_until(weft_after(3600 * WEFT_SECOND));
}

/*
 * idle/parked=10000
 *
 * Question  What does a runtime cost that has nothing to do?
 * Method    10,000 fibers sleep for an hour, on two workers; a second later one more sleeps for ten
 *           seconds (two with --quick) and reads the process's CPU time and voluntary context
 *           switches before and after.  A thread that makes a blocking system call switches.
 * Includes  every thread of the process: workers, monitor, and what the peers have of that kind.
 * Excludes  system calls that do not block; `strace -c -f` counts them.
 * Distrust  nothing below 10 us per second: that is the fiber that measures.
 */
void bench_idle_parked(struct bench *b)
{
    uint64_t count = b->spec->parameter;
    weft_fiber **fibers = calloc(count, sizeof *fibers);
    unsigned window_s = b->is_quick ? WINDOW_S_QUICK : WINDOW_S;
    uint64_t spawned = 0;
    uint64_t cpu_ns, switches;

    if (!fibers) {
        bench_fail(b, "out of memory");
        return;
    }
    while (spawned < count && weft_spawn(&fibers[spawned], park, NULL) == 0)
        spawned++;
    weft_sleep(SETTLE_S * WEFT_SECOND);
    switches = bench_voluntary_switches();
    cpu_ns = bench_cpu_ns();
    weft_sleep(window_s * WEFT_SECOND);
    cpu_ns = bench_cpu_ns() - cpu_ns;
    switches = bench_voluntary_switches() - switches;
    bench_report(b, "cpu_us_per_s", 0, (double)cpu_ns / 1e3 / window_s);
    bench_report(b, "switches_per_s", 0, (double)switches / window_s);

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
