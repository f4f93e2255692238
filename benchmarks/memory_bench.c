/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

struct crowd {
    _Atomic uint64_t arrived;
    _Atomic uint64_t cancelled; /* left their sleep because they were told to */
};

static int park(void *arg)
{
    struct crowd *crowd = arg;

    /* relaxed: a count; everyone is on one worker. */
    atomic_fetch_add_explicit(&crowd->arrived, 1, memory_order_relaxed);
    if (weft_sleep_until(weft_after(3600 * WEFT_SECOND)) == -ECANCELED) {
        /* relaxed: a count, read after the joins. */
        atomic_fetch_add_explicit(&crowd->cancelled, 1, memory_order_relaxed);
    }
    return 0;
}

static void release_crowd(struct bench *b, weft_fiber **fibers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        weft_cancel(fibers[i]);
    for (uint64_t i = 0; i < count; i++) {
        if (weft_join(fibers[i], NULL, WEFT_FOREVER) != 0)
            bench_fail(b, "join failed");
    }
}

/*
 * memory/parked/n=10000, n=100000
 *
 * Question  What does a fiber cost in memory while it waits?
 * Method    n fibers with default stacks and guards run to a sleep of an hour; then
 *           (VmRSS + VmPTE afterwards - before) / n.
 * Includes  the touched part of the stack, the record, its timer, the runtime's tables, page
 *           tables, and what the allocator keeps.
 * Excludes  the array of handles (touched before), address space, kernel memory that is not page
 *           tables (mappings, the records of guards).
 * Distrust  n=10000 more than n=100000: the kernel counts resident pages per CPU and may be
 *           behind by some tens of pages.  A run in which not all were asleep fails.
 */
void bench_memory_parked(struct bench *b)
{
    uint64_t count = b->spec->parameter;
    weft_fiber **fibers = malloc(count * sizeof *fibers);
    struct crowd crowd = {0, 0};
    uint64_t spawned = 0;
    uint64_t before, after;

    if (!fibers) {
        bench_fail(b, "out of memory");
        return;
    }
    memset(fibers, 1, count * sizeof *fibers);
    before = bench_resident_bytes();
    while (spawned < count && weft_spawn(&fibers[spawned], park, &crowd) == 0)
        spawned++;
    /* On one worker whoever has arrived is asleep by the time that anyone else runs.  relaxed: a
     * count. */
    for (int i = 0; i < 60000 && spawned == count; i++) {
        if (atomic_load_explicit(&crowd.arrived, memory_order_relaxed) == count)
            break;
        weft_sleep(WEFT_MILLISECOND);
    }
    after = bench_resident_bytes();
    bench_value(b, ((double)after - (double)before) / (double)count);

    /* relaxed: a count. */
    if (atomic_load_explicit(&crowd.arrived, memory_order_relaxed) != count)
        bench_fail(b, "only %llu of the fibers could be spawned and ran",
                   (unsigned long long)spawned);
    release_crowd(b, fibers, spawned);
    /* relaxed: the joins order it. */
    if (atomic_load_explicit(&crowd.cancelled, memory_order_relaxed) != count)
        bench_fail(b, "some fibers were not asleep");
    free(fibers);
}
