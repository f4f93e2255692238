/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_PTHREAD_RING_H
#define WEFT_BENCH_PTHREAD_RING_H

#include "harness/bench.h"

void bench_ring_pass(struct bench *b);
void bench_chameneos_meet(struct bench *b);

#endif
