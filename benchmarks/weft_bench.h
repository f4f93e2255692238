/* SPDX-License-Identifier: MIT */
/* The benchmarks of weft's public interface; weft_bench.c lists them. */
#ifndef WEFT_BENCH_WEFT_H
#define WEFT_BENCH_WEFT_H

#include "harness/bench.h"

/* switch_bench.c */
void bench_switch_yield(struct bench *b);

/* spawn_bench.c */
void bench_spawn_join_empty(struct bench *b);
void bench_spawn_skynet(struct bench *b);

/* memory_bench.c; the parameter is the number of fibers */
void bench_memory_parked(struct bench *b);

/* timer_bench.c; the parameter is the number of fibers */
void bench_timer_sleep_storm(struct bench *b);

#endif
