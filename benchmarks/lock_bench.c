/* SPDX-License-Identifier: MIT */
/* As a program that is built for speed has its locks. */
#define WEFT_MUTEX_CHECKS 0

#include "weft_bench.h"

#include <stdatomic.h>
#include <weft.h>

/*
 * mutex/uncontended
 *
 * Question  What does a lock and unlock cost that nobody else wants?
 * Method    b->batch pairs, one after the other, by one fiber on one worker.
 * Includes  two compare-and-swaps in a cache line that stays.
 * Excludes  waiting, and fetching the line from another core.
 * Distrust  nothing in particular: the mutex is not local, so the pairs cannot be left out.
 */
void bench_mutex_uncontended(struct bench *b)
{
    static weft_mutex mutex = WEFT_MUTEX_INIT;
    static uint64_t count; /* under the mutex */
    uint64_t before = count;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        if (weft_mutex_lock(&mutex, WEFT_FOREVER) == 0) {
            count++;
            weft_mutex_unlock(&mutex);
        }
    }
    bench_stop(b);
    if (count - before != b->batch)
        bench_fail(b, "some locks failed");
}

enum { CONTENDERS = 1000 };

struct contention {
    weft_mutex mutex;
    uint64_t count; /* under the mutex */
    _Atomic int is_over;
    _Atomic uint64_t locks;
    _Atomic uint64_t longest_ns;
    int is_timed;
};

static int contend(void *arg)
{
    struct contention *contention = arg;
    uint64_t locks = 0;
    uint64_t longest = 0;
    uint64_t known;

    /* relaxed: a hint that it is over. */
    while (atomic_load_explicit(&contention->is_over, memory_order_relaxed) == 0) {
        uint64_t start = contention->is_timed ? bench_now_ns() : 0;

        if (weft_mutex_lock(&contention->mutex, WEFT_FOREVER) != 0)
            break;
        if (contention->is_timed && bench_now_ns() - start > longest)
            longest = bench_now_ns() - start;
        contention->count++;
        weft_mutex_unlock(&contention->mutex);
        locks++;
    }
    /* relaxed: results, read after the joins. */
    atomic_fetch_add_explicit(&contention->locks, locks, memory_order_relaxed);
    known = atomic_load_explicit(&contention->longest_ns, memory_order_relaxed);
    while (longest > known &&
           !atomic_compare_exchange_weak(&contention->longest_ns, &known, longest))
        ;
    return 0;
}

static double run_contention(struct bench *b, struct contention *contention)
{
    static weft_fiber *fibers[CONTENDERS];
    uint64_t start = bench_now_ns();
    unsigned spawned = 0;
    uint64_t elapsed;

    while (spawned < CONTENDERS && weft_spawn(&fibers[spawned], contend, contention) == 0)
        spawned++;
    (void)weft_sleep(b->is_quick ? WEFT_SECOND / 4 : WEFT_SECOND);
    atomic_store(&contention->is_over, 1);
    for (unsigned i = 0; i < spawned; i++)
        (void)!weft_join(fibers[i], NULL, WEFT_FOREVER);
    elapsed = bench_now_ns() - start;
    if (spawned < CONTENDERS)
        bench_fail(b, "only %u fibers were spawned", spawned);
    if (contention->count != contention->locks)
        bench_fail(b, "two held the mutex at once");
    return (double)elapsed / (double)contention->locks;
}

/*
 * mutex/contended
 *
 * Question  How many critical sections pass through one mutex that a thousand want, and how long
 *           does the unluckiest of them wait?
 * Method    1,000 fibers on two workers lock, count and unlock without a pause for a second; then
 *           the same with a clock around each lock, for the longest wait.
 * Includes  spawning and joining the fibers.
 * Excludes  work outside the critical section: there is none.
 * Distrust  a busy machine: a worker that is off its CPU while it holds the mutex stops all.
 */
void bench_mutex_contended(struct bench *b)
{
    struct contention plain = {.mutex = WEFT_MUTEX_INIT};
    struct contention timed = {.mutex = WEFT_MUTEX_INIT, .is_timed = 1};
    double ns = run_contention(b, &plain);

    (void)run_contention(b, &timed);
    bench_report(b, "ns_per_op", 0, ns);
    bench_report(b, "longest_us", 0, (double)timed.longest_ns / 1e3);
}
