/* SPDX-License-Identifier: MIT */
/* What a single operation costs by way of a ring: each is submitted and waited for alone. */
#include "harness/io_rows.h"
#include "harness/io_work.h"
#include "uring_floor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

static int write_and_read(int *fds)
{
    char byte = 'w';

    io_uring_prep_write(floor_prepare(), fds[1], &byte, 1, 0);
    if (floor_finish() != 1)
        return -1;
    byte = 0;
    io_uring_prep_read(floor_prepare(), fds[0], &byte, 1, 0);
    return floor_finish() == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_pipe(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_pipe(b, write_and_read);
}

static int send_and_receive(int *fds)
{
    char byte = 'w';

    io_uring_prep_send(floor_prepare(), fds[1], &byte, 1, 0);
    if (floor_finish() != 1)
        return -1;
    byte = 0;
    io_uring_prep_recv(floor_prepare(), fds[0], &byte, 1, 0);
    return floor_finish() == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_sockets(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_sockets(b, send_and_receive);
}

static int poll_once(int *fds)
{
    io_uring_prep_poll_add(floor_prepare(), fds[0], POLLOUT);
    return floor_finish() == POLLOUT ? 0 : -1;
}

void bench_io_poll(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_sockets(b, poll_once);
}

static int read_block(int *fds)
{
    char block[4096];

    io_uring_prep_read(floor_prepare(), fds[0], block, sizeof block, 0);
    return floor_finish() == sizeof block ? 0 : -1;
}

void bench_io_pread(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_file(b, read_block);
}

static int open_and_close(int *fds)
{
    ssize_t fd;

    (void)fds;
    io_uring_prep_openat(floor_prepare(), AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
    if ((fd = floor_finish()) < 0)
        return -1;
    io_uring_prep_close(floor_prepare(), (int)fd);
    return (int)floor_finish();
}

void bench_io_open_close(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_names(b, open_and_close);
}

static int ask_status(int *fds)
{
    struct statx status;

    (void)fds;
    io_uring_prep_statx(floor_prepare(), AT_FDCWD, "/dev/null", 0, STATX_TYPE, &status);
    return (int)floor_finish();
}

void bench_io_statx(struct bench *b)
{
    if (floor_shared_ring(b) != NULL)
        io_measure_on_names(b, ask_status);
}
