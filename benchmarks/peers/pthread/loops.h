/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_PTHREAD_LOOPS_H
#define WEFT_BENCH_PTHREAD_LOOPS_H

#include "harness/bench.h"

/* A pool of so many threads, the calling one included. */
int run_in_pool(unsigned workers, int (*fn)(void *), void *arg);

void bench_parallel_nbody(struct bench *b);
void bench_parallel_mandelbrot(struct bench *b);
void bench_parallel_scan(struct bench *b);

#endif
