/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BENCH_PTHREAD_FILE_H
#define WEFT_BENCH_PTHREAD_FILE_H

#include "harness/bench.h"

void bench_file_read(struct bench *b);
void bench_file_copy(struct bench *b);
void bench_file_copy_by_kernel(struct bench *b);
void bench_stream_send(struct bench *b);

#endif
