/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_URING_FLOOR_H
#define WEFT_BENCH_URING_FLOOR_H

#include "harness/bench.h"

#include <liburing.h>

enum { FLOOR_ENTRIES = 256 }; /* of a ring for some 64 operations at a time */

/* 0 or -errno. */
int floor_ring(struct io_uring *ring, unsigned entries);

/* The ring of all benchmarks but the servers', made when it is first asked for; NULL, and the
 * benchmark has failed, if there is none. */
struct io_uring *floor_shared_ring(struct bench *b);

/* A place for an operation in the shared ring, which is empty. */
struct io_uring_sqe *floor_prepare(void);

/* Submits what is prepared, which is one operation, and returns its result. */
ssize_t floor_finish(void);

/* main.c */
void bench_file_read(struct bench *b);
void bench_file_copy(struct bench *b);
void bench_stream_send(struct bench *b);

/* echo.c */
void bench_echo_tcp(struct bench *b);

/* rounds.c */
void bench_echo_udp(struct bench *b);
void bench_connect_churn(struct bench *b);

/* forms.c; the parameter is the flags that the file is opened with, or the bytes of a message */
void bench_form_read(struct bench *b);
void bench_form_receive(struct bench *b);

#endif
