/* SPDX-License-Identifier: MIT */
/* What the io/... benchmarks of weft, of plain threads and of a bare ring have in common: all but
 * the calls. */
#ifndef WEFT_BENCH_IO_WORK_H
#define WEFT_BENCH_IO_WORK_H

#include "harness/bench.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One operation on descriptors that are ready; 0 if it did what it should. */
typedef int io_operate_fn(int fds[2]);

static inline void io_measure(struct bench *b, io_operate_fn *operate, int fds[2])
{
    uint64_t wrong = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++)
        wrong += operate(fds) != 0;
    bench_stop(b);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (wrong != 0)
        bench_fail(b, "%llu operations failed", (unsigned long long)wrong);
}

static inline void io_measure_on_pipe(struct bench *b, io_operate_fn *operate)
{
    int fds[2];

    if (pipe(fds) != 0)
        bench_fail(b, "no pipe");
    else
        io_measure(b, operate, fds);
}

static inline void io_measure_on_sockets(struct bench *b, io_operate_fn *operate)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        bench_fail(b, "no socket pair");
    else
        io_measure(b, operate, fds);
}

/* A megabyte that is in memory. */
static inline void io_measure_on_file(struct bench *b, io_operate_fn *operate)
{
    char path[] = "/tmp/weft-bench-XXXXXX";
    int fds[2] = {mkstemp(path), -1};

    if (fds[0] < 0) {
        bench_fail(b, "no file");
        return;
    }
    unlink(path);
    if (ftruncate(fds[0], 1 << 20) != 0)
        bench_fail(b, "the file has no room");
    io_measure(b, operate, fds);
}

static inline void io_measure_on_names(struct bench *b, io_operate_fn *operate)
{
    int fds[2] = {-1, -1};

    io_measure(b, operate, fds);
}

#endif
