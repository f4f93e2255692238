/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_PTHREAD_ROUNDS_H
#define WEFT_BENCH_PTHREAD_ROUNDS_H

#include "harness/bench.h"

void bench_echo_udp(struct bench *b);
void bench_connect_churn(struct bench *b);

#endif
