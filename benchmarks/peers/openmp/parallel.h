/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_OPENMP_PARALLEL_H
#define WEFT_BENCH_OPENMP_PARALLEL_H

#include "harness/bench.h"

void bench_forkjoin_matmul(struct bench *b);
void bench_forkjoin_integrate(struct bench *b);
void bench_forkjoin_cilksort(struct bench *b);
void bench_forkjoin_strassen(struct bench *b);
void bench_forkjoin_knapsack(struct bench *b);
void bench_parallel_nbody(struct bench *b);
void bench_parallel_mandelbrot(struct bench *b);
void bench_parallel_scan(struct bench *b);

#endif
