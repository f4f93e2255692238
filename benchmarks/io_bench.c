/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include "harness/io_rows.h"
#include "harness/io_work.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <weft.h>

/*
 * io/...
 *
 * Question  What does an operation cost that need not wait?
 * Method    one fiber does b->batch operations one after the other, on descriptors that are ready:
 *           a byte into a pipe and out again, the same through a socket pair, a poll of a socket,
 *           4 KiB of a file that is in memory, an open and a close, a statx; a byte from one pipe
 *           into another and back by splice; 4 KiB of that file into a socket by sendfile, and out
 *           of it by a plain recv.
 * Includes  the system calls of the backend, and a suspension of the fiber where it needs one;
 *           statx: the way to a thread of the pool and back.  (A page in memory that goes to a
 *           stream is read and sent, so that sendfile need not take it.)
 * Excludes  waiting for data, other fibers, which share what a ring submits together.
 * Distrust  it says nothing about a server with many connections: there operations are batched.
 */
static int write_and_read(int *fds)
{
    char byte = 'w';

    if (weft_write(fds[1], &byte, 1, WEFT_FOREVER) != 1)
        return -1;
    byte = 0;
    return weft_read(fds[0], &byte, 1, WEFT_FOREVER) == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_pipe(struct bench *b)
{
    io_measure_on_pipe(b, write_and_read);
}

static int send_and_receive(int *fds)
{
    char byte = 'w';

    if (weft_send(fds[1], &byte, 1, 0, WEFT_FOREVER) != 1)
        return -1;
    byte = 0;
    return weft_recv(fds[0], &byte, 1, 0, WEFT_FOREVER) == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_sockets(struct bench *b)
{
    io_measure_on_sockets(b, send_and_receive);
}

static int poll_once(int *fds)
{
    return weft_poll_fd(fds[0], POLLOUT, WEFT_FOREVER) == POLLOUT ? 0 : -1;
}

void bench_io_poll(struct bench *b)
{
    io_measure_on_sockets(b, poll_once);
}

static int read_block(int *fds)
{
    char block[4096];

    return weft_pread(fds[0], block, sizeof block, 0, WEFT_FOREVER) == sizeof block ? 0 : -1;
}

void bench_io_pread(struct bench *b)
{
    io_measure_on_file(b, read_block);
}

static int open_and_close(int *fds)
{
    int fd = weft_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0, WEFT_FOREVER);

    (void)fds;
    return fd >= 0 ? weft_close(fd) : fd;
}

void bench_io_open_close(struct bench *b)
{
    io_measure_on_names(b, open_and_close);
}

static int ask_status(int *fds)
{
    struct statx status;

    (void)fds;
    return weft_statx(AT_FDCWD, "/dev/null", 0, STATX_TYPE, &status, WEFT_FOREVER);
}

void bench_io_statx(struct bench *b)
{
    io_measure_on_names(b, ask_status);
}

static int splice_to_and_fro(int *fds)
{
    return weft_splice(fds[0], NULL, fds[3], NULL, 1, 0, WEFT_FOREVER) == 1 &&
                   weft_splice(fds[2], NULL, fds[1], NULL, 1, 0, WEFT_FOREVER) == 1
               ? 0
               : -1;
}

void bench_io_splice(struct bench *b)
{
    io_measure_on_two_pipes(b, splice_to_and_fro);
}

static int send_block_of_file(int *fds)
{
    char block[4096];
    off_t offset = 0;

    if (weft_sendfile(fds[1], fds[0], &offset, sizeof block, WEFT_FOREVER) != sizeof block)
        return -1;
    return recv(fds[2], block, sizeof block, MSG_DONTWAIT) == sizeof block ? 0 : -1;
}

void bench_io_sendfile(struct bench *b)
{
    io_measure_on_file_and_sockets(b, send_block_of_file);
}
