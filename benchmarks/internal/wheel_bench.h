/* SPDX-License-Identifier: MIT */
/* Benchmarks of the timer wheel, which the library does not export; the parameter is the number of
 * entries that lie in it. */
#ifndef WEFT_BENCH_WHEEL_H
#define WEFT_BENCH_WHEEL_H

#include "harness/bench.h"

void bench_wheel_arm_cancel(struct bench *b);
void bench_wheel_replace(struct bench *b);

#endif
