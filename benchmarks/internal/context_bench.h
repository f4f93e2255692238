/* SPDX-License-Identifier: MIT */
/* Benchmarks of functions that the library does not export. */
#ifndef WEFT_BENCH_CONTEXT_H
#define WEFT_BENCH_CONTEXT_H

#include "harness/bench.h"

void bench_switch_raw(struct bench *b);
void bench_switch_raw_inexact(struct bench *b);
void bench_switch_raw_fenv(struct bench *b);

#endif
