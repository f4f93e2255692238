/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

struct measure {
    double bytes_per_fiber;
    double ns_per_fiber; /* from the first spawn until the last is asleep */
};

/* Parks the fibers, measures, and ends them. */
static struct measure measure_crowd(struct bench *b, uint64_t count)
{
    weft_fiber **fibers = malloc(count * sizeof *fibers);
    struct measure measure = {0, 0};
    struct crowd crowd = {0, 0};
    uint64_t spawned = 0;
    uint64_t before, start;

    if (!fibers) {
        bench_fail(b, "out of memory");
        return measure;
    }
    memset(fibers, 1, count * sizeof *fibers);
    before = bench_resident_bytes();
    start = bench_now_ns();
    while (spawned < count && weft_spawn(&fibers[spawned], park, &crowd) == 0)
        spawned++;
    /* On one worker whoever has arrived is asleep by the time that anyone else runs.  relaxed: a
     * count. */
    for (int i = 0; i < 60000 && spawned == count; i++) {
        if (atomic_load_explicit(&crowd.arrived, memory_order_relaxed) == count)
            break;
        weft_sleep(WEFT_MILLISECOND);
    }
    measure.ns_per_fiber = (double)(bench_now_ns() - start) / (double)count;
    measure.bytes_per_fiber = ((double)bench_resident_bytes() - (double)before) / (double)count;

    /* relaxed: a count. */
    if (atomic_load_explicit(&crowd.arrived, memory_order_relaxed) != count)
        bench_fail(b, "only %llu of the fibers could be spawned and ran",
                   (unsigned long long)spawned);
    release_crowd(b, fibers, spawned);
    /* relaxed: the joins order it. */
    if (atomic_load_explicit(&crowd.cancelled, memory_order_relaxed) != count)
        bench_fail(b, "some fibers were not asleep");
    free(fibers);
    return measure;
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
    bench_value(b, measure_crowd(b, b->spec->parameter).bytes_per_fiber);
}

/* What a page fault costs in mappings like those of the stacks: nanoseconds, or 0 if the memory is
 * not to be had. */
static double measure_faults(uint64_t count)
{
    enum { STACKS = 64, STRIDE = 260 * 1024 }; /* of a slab; a stack of 256 KiB and its guard */
    uint64_t slabs = (count + STACKS - 1) / STACKS, mapped = 0;
    char **bases = malloc(slabs * sizeof *bases);
    uint64_t elapsed = 0;

    while (bases != NULL && mapped < slabs) {
        char *base = mmap(NULL, STACKS * STRIDE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        uint64_t start;

        if (base == MAP_FAILED)
            break;
        (void)madvise(base, STACKS * STRIDE, MADV_NOHUGEPAGE);
        bases[mapped++] = base;
        start = bench_now_ns();
        for (size_t i = 1; i <= STACKS; i++)
            *(volatile char *)(base + i * STRIDE - 1) = 1;
        elapsed += bench_now_ns() - start;
    }
    for (uint64_t i = 0; i < mapped; i++)
        (void)munmap(bases[i], STACKS * STRIDE);
    free(bases);
    return mapped == slabs ? (double)elapsed / (double)(slabs * STACKS) : 0;
}

/*
 * memory/parked/n=1000000
 *
 * Question  Do a million guarded fibers fit, in how much memory, and what do they cost to make?
 * Method    As above; ns_per_op is the time from the first spawn until the last is asleep, over n.
 *           Before and after it as many pages are touched, one at the end of each 260 KiB of
 *           mappings like those of the stacks.  times_page_faults is ns_per_op over the mean of the
 *           two.  Before that, once more without measuring: a virtual machine may have to get the
 *           memory from its host first, which takes longer than the fault.
 * Includes  mapping the stacks and their guards; in the reference the faults and the page tables
 *           that they need, but not the mapping.
 * Excludes  what the rows above exclude, and the time to end the fibers.
 * Distrust  times_page_faults where the machine does something else: both are mostly kernel time.
 *           The second reference finds memory that the process has just given back.
 */
void bench_memory_million(struct bench *b)
{
    uint64_t count = b->spec->parameter;
    double warm_up = measure_faults(count), before = warm_up > 0 ? measure_faults(count) : 0;
    struct measure measure = measure_crowd(b, count);
    double after = measure_faults(count);

    if (before <= 0 || after <= 0) {
        bench_fail(b, "no memory for the reference");
        return;
    }
    bench_report(b, "bytes_per_fiber", 0, measure.bytes_per_fiber);
    bench_report(b, "ns_per_op", 0, measure.ns_per_fiber);
    bench_report(b, "times_page_faults", 0, measure.ns_per_fiber * 2 / (before + after));
}
