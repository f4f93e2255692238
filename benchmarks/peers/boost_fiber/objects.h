/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_BOOST_FIBER_OBJECTS_H
#define WEFT_BENCH_BOOST_FIBER_OBJECTS_H

#include "harness/bench.h"

void bench_channel_pingpong(bench *b);
/* The parameter has the senders in its second byte and the receivers in its first. */
void bench_channel_throughput(bench *b);
void bench_mutex_uncontended(bench *b);
void bench_condvar_pingpong(bench *b);
void bench_barrier_cross(bench *b);
void bench_generator_next(bench *b);

#endif
