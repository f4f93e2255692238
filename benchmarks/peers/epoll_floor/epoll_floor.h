/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_EPOLL_FLOOR_H
#define WEFT_BENCH_EPOLL_FLOOR_H

#include "harness/echo_floor.h"

echo_floor_loop floor_run;

/* rounds.c */
void bench_echo_udp(struct bench *b);
void bench_connect_churn(struct bench *b);

#endif
