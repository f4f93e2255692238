/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_URING_FLOOR_H
#define WEFT_BENCH_URING_FLOOR_H

#include "harness/bench.h"

#include <liburing.h>

/* 0 or -errno. */
int floor_ring(struct io_uring *ring);

/* main.c */
void bench_file_read(struct bench *b);
void bench_file_copy(struct bench *b);
void bench_stream_send(struct bench *b);

/* rounds.c */
void bench_echo_udp(struct bench *b);
void bench_connect_churn(struct bench *b);

#endif
