/* SPDX-License-Identifier: MIT */
/* Parallel loops by a pool of threads that take pieces from a shared counter and meet at a barrier.
 * Questions and methods are those of weft's benchmarks of the same names. */
#include "loops.h"

#include "harness/loops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { WORKERS_MAX = 64 };

static struct {
    pthread_barrier_t barrier; /* before and after each loop */
    unsigned workers;
    void (*body)(size_t begin, size_t end); /* null ends the pool */
    size_t count, piece;
    _Atomic size_t next;
} pool;

static void take_pieces(void)
{
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&pool.next, pool.piece, memory_order_relaxed);
        size_t end = begin + pool.piece;

        if (begin >= pool.count)
            return;
        pool.body(begin, end < pool.count ? end : pool.count);
    }
}

static void *work(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_barrier_wait(&pool.barrier);
        if (!pool.body)
            return NULL;
        take_pieces();
        pthread_barrier_wait(&pool.barrier);
    }
}

static void run_loop(size_t count, size_t piece, void (*body)(size_t begin, size_t end))
{
    pool.body = body;
    pool.count = count;
    pool.piece = piece;
    atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
    pthread_barrier_wait(&pool.barrier);
    if (body) {
        take_pieces();
        pthread_barrier_wait(&pool.barrier);
    }
}

int run_in_pool(unsigned workers, int (*fn)(void *), void *arg)
{
    pthread_t threads[WORKERS_MAX];
    int result;

    pool.workers = workers;
    pthread_barrier_init(&pool.barrier, NULL, workers);
    /* A pool with a thread missing would wait for ever. */
    for (unsigned i = 1; i < workers; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            abort();
    result = fn(arg);
    run_loop(0, 1, NULL);
    for (unsigned i = 1; i < workers; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&pool.barrier);
    return result;
}

/* Even bodies: a few pieces for each thread. */
void bench_parallel_nbody(struct bench *b)
{
    nbody_prepare();
    bench_start(b);
    run_loop(NBODY_COUNT, NBODY_COUNT / (4 * pool.workers), nbody_rows);
    bench_stop(b);
    if (!nbody_is_right())
        bench_fail(b, "the pulls do not cancel out");
}

static void draw_rows(size_t begin, size_t end)
{
    for (size_t row = begin; row < end; row++)
        mandelbrot_row(row);
}

void bench_parallel_mandelbrot(struct bench *b)
{
    bench_start(b);
    run_loop(MANDELBROT_SIZE, 1, draw_rows);
    bench_stop(b);
    if (!mandelbrot_is_right())
        bench_fail(b, "the picture is wrong");
}

void bench_parallel_scan(struct bench *b)
{
    size_t piece = SCAN_BLOCKS / (4 * pool.workers);

    scan_prepare();
    bench_start(b);
    run_loop(SCAN_BLOCKS, piece, scan_sum_blocks);
    scan_join_blocks();
    run_loop(SCAN_BLOCKS, piece, scan_write_blocks);
    bench_stop(b);
    if (!scan_is_right())
        bench_fail(b, "the sums are wrong");
}
