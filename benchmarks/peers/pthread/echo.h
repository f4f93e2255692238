/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_PTHREAD_ECHO_H
#define WEFT_BENCH_PTHREAD_ECHO_H

#include "harness/bench.h"

/* Serves a connection to its end, and closes it. */
void echo_until_closed(int fd, char *buffer, size_t size);

void bench_echo_tcp(struct bench *b);
void bench_echo_open(struct bench *b);

#endif
