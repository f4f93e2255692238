/* SPDX-License-Identifier: MIT */
/* The rows of single operations, files, streams and short exchanges, the same in every program that
 * has them. */
#ifndef WEFT_BENCH_IO_ROWS_H
#define WEFT_BENCH_IO_ROWS_H

#include "harness/bench.h"

#include <fcntl.h>

/* What a unit of the batch of file/read is: eight reads of each of the 64 readers, so that as many
 * are under way however slow they are. */
enum { BENCH_FILE_READS = 512 };

/* The parameter of file/read: flags that the file is opened with. */
#define BENCH_FILES(host)                                                                   \
    {"file/read/depth=64", BENCH_NS_PER_OP, 1, BENCH_FILE_READS, 0, bench_file_read, host}, \
        {"file/read/depth=64/direct=1",                                                     \
         BENCH_NS_PER_OP,                                                                   \
         1,                                                                                 \
         BENCH_FILE_READS,                                                                  \
         O_DIRECT,                                                                          \
         bench_file_read,                                                                   \
         host},                                                                             \
        {"file/copy/by=program", BENCH_NS_PER_OP, 1, 1, 0, bench_file_copy, host},          \
        {"stream/send", BENCH_REPORT, 1, 1, 0, bench_stream_send, host},                    \
    {                                                                                       \
        "file/copy/by=kernel", BENCH_NS_PER_OP, 1, 1, 0, bench_file_copy_by_kernel, host    \
    }

#define BENCH_ROUNDS(host)                                                \
    {"echo/udp", BENCH_REPORT, 2, 1, 0, bench_echo_udp, host},            \
    {                                                                     \
        "connect/churn", BENCH_REPORT, 2, 1, 0, bench_connect_churn, host \
    }

void bench_io_pipe(struct bench *b);
void bench_io_sockets(struct bench *b);
void bench_io_poll(struct bench *b);
void bench_io_pread(struct bench *b);
void bench_io_open_close(struct bench *b);
void bench_io_statx(struct bench *b);

#define BENCH_OPERATIONS(host)                                                  \
    {"io/pipe", BENCH_NS_PER_OP, 1, 1, 0, bench_io_pipe, host},                 \
        {"io/sockets", BENCH_NS_PER_OP, 1, 1, 0, bench_io_sockets, host},       \
        {"io/poll", BENCH_NS_PER_OP, 1, 1, 0, bench_io_poll, host},             \
        {"io/pread/size=4096", BENCH_NS_PER_OP, 1, 1, 0, bench_io_pread, host}, \
        {"io/open_close", BENCH_NS_PER_OP, 1, 1, 0, bench_io_open_close, host}, \
    {                                                                           \
        "io/statx", BENCH_NS_PER_OP, 1, 1, 0, bench_io_statx, host              \
    }

/* Those that are plain system calls where weft makes them, too. */
void bench_io_splice(struct bench *b);
void bench_io_sendfile(struct bench *b);

#define BENCH_MOVES(host)                                                          \
    {"io/splice", BENCH_NS_PER_OP, 1, 1, 0, bench_io_splice, host},                \
    {                                                                              \
        "io/sendfile/size=4096", BENCH_NS_PER_OP, 1, 1, 0, bench_io_sendfile, host \
    }

#endif
