/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_LIBUV_H
#define WEFT_BENCH_LIBUV_H

#include "harness/bench.h"

/* echo.c */
void bench_echo_tcp(struct bench *b);
void bench_echo_open(struct bench *b);
void bench_connect_churn(struct bench *b);

/* udp.c */
void bench_echo_udp(struct bench *b);

#endif
