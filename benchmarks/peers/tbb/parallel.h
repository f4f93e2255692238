/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_TBB_PARALLEL_H
#define WEFT_BENCH_TBB_PARALLEL_H

#include "harness/bench.h"

void bench_forkjoin_matmul(bench *b);
void bench_forkjoin_integrate(bench *b);
void bench_forkjoin_cilksort(bench *b);
void bench_forkjoin_strassen(bench *b);
void bench_forkjoin_knapsack(bench *b);
void bench_parallel_nbody(bench *b);
void bench_parallel_mandelbrot(bench *b);
void bench_parallel_scan(bench *b);

#endif
