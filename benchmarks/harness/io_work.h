/* SPDX-License-Identifier: MIT */
/* What the io/... benchmarks of weft, of plain threads and of a bare ring have in common: all but
 * the calls. */
#ifndef WEFT_BENCH_IO_WORK_H
#define WEFT_BENCH_IO_WORK_H

#include "harness/bench.h"
#include "harness/folder.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IO_FDS = 4 };

/* One operation on descriptors that are ready; 0 if it did what it should. */
typedef int io_operate_fn(int *fds);

static inline void io_measure(struct bench *b, io_operate_fn *operate, int fds[IO_FDS])
{
    uint64_t wrong = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        wrong += operate(fds) != 0;
    bench_stop(b);
    for (int i = 0; i < IO_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (wrong != 0)
        bench_fail(b, "%llu operations failed", (unsigned long long)wrong);
}

static inline void io_measure_on_pipe(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {-1, -1, -1, -1};

    if (pipe(fds) != 0)
        bench_fail(b, "no pipe");
    else
        io_measure(b, operate, fds);
}

static inline void io_measure_on_sockets(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {-1, -1, -1, -1};

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        bench_fail(b, "no socket pair");
    else
        io_measure(b, operate, fds);
}

/* Of a megabyte, which is in memory; -1, and the benchmark has failed. */
static inline int io_make_file(struct bench *b)
{
    int fd = bench_make_file();

    if (fd < 0) {
        bench_fail(b, "no file");
        return -1;
    }
    if (ftruncate(fd, 1 << 20) != 0)
        bench_fail(b, "the file has no room");
    return fd;
}

static inline void io_measure_on_file(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {io_make_file(b), -1, -1, -1};

    if (fds[0] >= 0)
        io_measure(b, operate, fds);
}

/* The file, and a pair of sockets. */
static inline void io_measure_on_file_and_sockets(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {io_make_file(b), -1, -1, -1};

    if (fds[0] >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 1) != 0)
        bench_fail(b, "no socket pair");
    if (fds[0] >= 0)
        io_measure(b, operate, fds);
}

/* Two pipes, the first with a byte in it. */
static inline void io_measure_on_two_pipes(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {-1, -1, -1, -1};

    if (pipe(fds) != 0 || pipe(fds + 2) != 0 || write(fds[1], "w", 1) != 1)
        bench_fail(b, "no pipes");
    io_measure(b, operate, fds);
}

static inline void io_measure_on_names(struct bench *b, io_operate_fn *operate)
{
    int fds[IO_FDS] = {-1, -1, -1, -1};

    io_measure(b, operate, fds);
}

#endif
