/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weft.h>

/* Rounds are short, or the monitor took who spawns for stuck, and a spare worker would help. */
enum { ROUND = 100 };
enum { STRIDE = 260 * 1024 }; /* a stack of 256 KiB and its guard */

#define PATIENCE_NS (UINT64_C(60) * 1000000000)

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

/* Spawns some more and waits until they are asleep.  Returns how many there are then. */
static uint64_t grow_crowd(struct crowd *crowd, weft_fiber **fibers, uint64_t from, uint64_t to)
{
    uint64_t start = bench_now_ns();

    while (from < to && weft_spawn(&fibers[from], park, crowd) == 0)
        from++;
    /* On one worker whoever has arrived is asleep by the time that anyone else runs.  relaxed: a
     * count. */
    while (atomic_load_explicit(&crowd->arrived, memory_order_relaxed) < from &&
           bench_now_ns() - start < PATIENCE_NS)
        weft_yield();
    return from;
}

static void end_crowd(struct bench *b, struct crowd *crowd, weft_fiber **fibers, uint64_t spawned)
{
    /* relaxed: a count. */
    if (atomic_load_explicit(&crowd->arrived, memory_order_relaxed) != b->spec->parameter)
        bench_fail(b, "only %llu of the fibers could be spawned and ran",
                   (unsigned long long)spawned);
    release_crowd(b, fibers, spawned);
    /* relaxed: the joins order it. */
    if (atomic_load_explicit(&crowd->cancelled, memory_order_relaxed) != b->spec->parameter)
        bench_fail(b, "some fibers were not asleep");
    free(fibers);
}

/* Room for the handles, touched; or NULL, and the benchmark has failed. */
static weft_fiber **make_handles(struct bench *b)
{
    weft_fiber **fibers = malloc(b->spec->parameter * sizeof *fibers);

    if (fibers == NULL)
        bench_fail(b, "out of memory");
    else
        memset(fibers, 1, b->spec->parameter * sizeof *fibers);
    return fibers;
}

static double bytes_per_fiber(const struct bench *b, uint64_t before)
{
    return ((double)bench_resident_bytes() - (double)before) / (double)b->spec->parameter;
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
    weft_fiber **fibers = make_handles(b);
    struct crowd crowd = {0, 0};
    uint64_t before = bench_resident_bytes(), spawned;

    if (fibers == NULL)
        return;
    spawned = grow_crowd(&crowd, fibers, 0, b->spec->parameter);
    bench_value(b, bytes_per_fiber(b, before));
    end_crowd(b, &crowd, fibers, spawned);
}

/* The reference: one page fault in as much address space as a stack and its guard take, in a
 * mapping like those of the stacks.  Nanoseconds, or 0 if the memory is not to be had. */
static uint64_t fault_round(char **mapping)
{
    char *base = mmap(NULL, ROUND * STRIDE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    uint64_t start;

    if (base == MAP_FAILED)
        return 0;
    *mapping = base;
    (void)madvise(base, ROUND * STRIDE, MADV_NOHUGEPAGE);
    start = bench_now_ns();
    for (size_t i = 1; i <= ROUND; i++)
        *(volatile char *)(base + i * STRIDE - 1) = 1;
    return bench_now_ns() - start;
}

struct rounds {
    char **mappings; /* of the references */
    double *ratios;
    uint64_t count;
    uint64_t weft_ns;
};

static bool make_rounds(struct rounds *rounds, uint64_t count)
{
    *rounds = (struct rounds){calloc(count, sizeof(char *)), calloc(count, sizeof(double)), count,
                              0};
    return rounds->mappings != NULL && rounds->ratios != NULL;
}

static void free_rounds(struct rounds *rounds)
{
    for (uint64_t i = 0; rounds->mappings != NULL && i < rounds->count; i++) {
        if (rounds->mappings[i] != NULL)
            (void)munmap(rounds->mappings[i], ROUND * STRIDE);
    }
    free(rounds->mappings);
    rounds->mappings = NULL;
}

/* Fibers and faults take turns, and turns at being first.  Returns how many fibers there are. */
static uint64_t measure_rounds(struct rounds *rounds, struct crowd *crowd, weft_fiber **fibers)
{
    uint64_t spawned = 0;

    for (uint64_t i = 0; i < rounds->count && spawned == i * ROUND; i++) {
        uint64_t faults = i % 2 == 0 ? fault_round(&rounds->mappings[i]) : 0, weft;
        uint64_t start = bench_now_ns();

        spawned = grow_crowd(crowd, fibers, spawned, spawned + ROUND);
        weft = bench_now_ns() - start;
        if (i % 2 != 0)
            faults = fault_round(&rounds->mappings[i]);
        if (faults == 0)
            break;
        rounds->weft_ns += weft;
        rounds->ratios[i] = (double)weft / (double)faults;
    }
    return spawned;
}

/*
 * memory/parked/n=1000000
 *
 * Question  Do a million guarded fibers fit, in how much memory, and what do they cost to make?
 * Method    As above, but in rounds: a hundred fibers are spawned and run until they are asleep,
 *           and a hundred pages are touched, one at the end of each 260 KiB of mappings like those
 *           of the stacks.  The two take turns at being first, and both keep their pages until the
 *           last round, so both take theirs from the same stock.  ns_per_op is the time of the
 *           fibers over n, times_page_faults the median of the rounds' ratios.
 * Includes  mapping the stacks and their guards; in the reference the faults and the page tables
 *           that they need, but neither mapping nor guards.
 * Excludes  what the rows above exclude, and the time to end the fibers.
 * Distrust  ns_per_op in a virtual machine: where the host takes back what the guest frees, a first
 *           touch can take ten times as long, in long runs of pages.  times_page_faults where most
 *           pages are such: it is nearer to one then.
 */
void bench_memory_million(struct bench *b)
{
    weft_fiber **fibers = make_handles(b);
    struct crowd crowd = {0, 0};
    uint64_t before, spawned = 0;
    struct rounds rounds;

    if (fibers == NULL)
        return;
    if (make_rounds(&rounds, b->spec->parameter / ROUND)) {
        before = bench_resident_bytes();
        spawned = measure_rounds(&rounds, &crowd, fibers);
        free_rounds(&rounds); /* so that only weft's pages count */
        bench_report(b, "bytes_per_fiber", 0, bytes_per_fiber(b, before));
        bench_report(b, "ns_per_op", 0, (double)rounds.weft_ns / (double)b->spec->parameter);
        bench_report(b, "times_page_faults", 0, bench_percentile(rounds.ratios, rounds.count, 0.5));
    }
    end_crowd(b, &crowd, fibers, spawned);
    free_rounds(&rounds);
    free(rounds.ratios);
}
