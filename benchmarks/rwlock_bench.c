/* SPDX-License-Identifier: MIT */
#define WEFT_LOCK_CHECKS 0 /* as in a program that is built for speed */

#include "weft_bench.h"

#include <stdatomic.h>
#include <weft.h>

enum { READERS_MAX = 1000, OPS_PER_WRITE = 20 };

struct library {
    weft_rwlock lock;
    uint64_t value; /* under the lock */
    _Atomic int is_over;
    _Atomic uint64_t ops;
    _Atomic uint64_t writes;
};

/* One of OPS_PER_WRITE writes.  Returns how many did. */
static uint64_t use(struct library *library, uint64_t number, uint64_t count)
{
    uint64_t writes = 0;

    for (uint64_t i = 0; i < count; i++) {
        if ((number + i) % OPS_PER_WRITE == 0) {
            if (weft_rwlock_write_lock(&library->lock, WEFT_FOREVER) != 0)
                break;
            library->value++;
            writes++;
        } else {
            if (weft_rwlock_read_lock(&library->lock, WEFT_FOREVER) != 0 ||
                library->value == UINT64_MAX)
                break;
        }
        weft_rwlock_unlock(&library->lock);
    }
    return writes;
}

static int use_until_over(void *arg)
{
    struct library *library = arg;
    uint64_t number = weft_fiber_id(weft_self());
    uint64_t ops = 0;
    uint64_t writes = 0;

    /* relaxed: a hint that it is over. */
    while (atomic_load_explicit(&library->is_over, memory_order_relaxed) == 0) {
        writes += use(library, number + ops, 1);
        ops++;
    }
    /* relaxed: results, read after the joins. */
    atomic_fetch_add_explicit(&library->ops, ops, memory_order_relaxed);
    atomic_fetch_add_explicit(&library->writes, writes, memory_order_relaxed);
    return 0;
}

/*
 * rwlock/read_mostly/fibers=N
 *
 * Question  What does a lock and unlock cost where 19 of 20 only read?
 * Method    fibers=1: b->batch pairs, one after the other, on one worker.  fibers=1000: a thousand
 *           fibers on two workers lock, look or count, and unlock without a pause for a second.
 * Includes  with a thousand, spawning and joining them.
 * Excludes  work while the lock is held or free: there is none.
 * Distrust  a busy machine: a worker that is off its CPU while it holds the lock stops all.
 */
void bench_rwlock_alone(struct bench *b)
{
    static struct library library = {.lock = WEFT_RWLOCK_INIT};
    uint64_t before = library.value;
    uint64_t writes;

    bench_start(b);
    writes = use(&library, 0, b->batch);
    bench_stop(b);
    if (writes != (b->batch + OPS_PER_WRITE - 1) / OPS_PER_WRITE ||
        library.value - before != writes)
        bench_fail(b, "some locks failed");
}

void bench_rwlock_read_mostly(struct bench *b)
{
    static weft_fiber *fibers[READERS_MAX];
    struct library library = {.lock = WEFT_RWLOCK_INIT};
    uint64_t start = bench_now_ns();
    unsigned spawned = 0;

    while (spawned < READERS_MAX && weft_spawn(&fibers[spawned], use_until_over, &library) == 0)
        spawned++;
    (void)weft_sleep(b->is_quick ? WEFT_SECOND / 4 : WEFT_SECOND);
    atomic_store(&library.is_over, 1);
    for (unsigned i = 0; i < spawned; i++)
        (void)!weft_join(fibers[i], NULL, WEFT_FOREVER);
    bench_report(b, "ns_per_op", 0, (double)(bench_now_ns() - start) / (double)library.ops);
    if (spawned < READERS_MAX)
        bench_fail(b, "only %u fibers were spawned", spawned);
    if (library.value != library.writes)
        bench_fail(b, "two wrote at once");
}
