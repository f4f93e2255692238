/* SPDX-License-Identifier: MIT */
/* The bare system calls, on a thread that may block. */
#include "harness/io_rows.h"
#include "harness/io_work.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static int write_and_read(int *fds)
{
    char byte = 'w';

    if (write(fds[1], &byte, 1) != 1)
        return -1;
    byte = 0;
    return read(fds[0], &byte, 1) == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_pipe(struct bench *b)
{
    io_measure_on_pipe(b, write_and_read);
}

static int send_and_receive(int *fds)
{
    char byte = 'w';

    if (send(fds[1], &byte, 1, 0) != 1)
        return -1;
    byte = 0;
    return recv(fds[0], &byte, 1, 0) == 1 && byte == 'w' ? 0 : -1;
}

void bench_io_sockets(struct bench *b)
{
    io_measure_on_sockets(b, send_and_receive);
}

static int poll_once(int *fds)
{
    struct pollfd pollfd = {.fd = fds[0], .events = POLLOUT};

    return poll(&pollfd, 1, -1) == 1 ? 0 : -1;
}

void bench_io_poll(struct bench *b)
{
    io_measure_on_sockets(b, poll_once);
}

static int read_block(int *fds)
{
    char block[4096];

    return pread(fds[0], block, sizeof block, 0) == sizeof block ? 0 : -1;
}

void bench_io_pread(struct bench *b)
{
    io_measure_on_file(b, read_block);
}

static int open_and_close(int *fds)
{
    int fd = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);

    (void)fds;
    return fd >= 0 ? close(fd) : fd;
}

void bench_io_open_close(struct bench *b)
{
    io_measure_on_names(b, open_and_close);
}

static int ask_status(int *fds)
{
    struct statx status;

    (void)fds;
    return statx(AT_FDCWD, "/dev/null", 0, STATX_TYPE, &status);
}

void bench_io_statx(struct bench *b)
{
    io_measure_on_names(b, ask_status);
}

static int splice_to_and_fro(int *fds)
{
    if (splice(fds[0], NULL, fds[3], NULL, 1, 0) != 1)
        return -1;
    return splice(fds[2], NULL, fds[1], NULL, 1, 0) == 1 ? 0 : -1;
}

void bench_io_splice(struct bench *b)
{
    io_measure_on_two_pipes(b, splice_to_and_fro);
}

static int send_block_of_file(int *fds)
{
    char block[4096];
    off_t from = 0;

    return sendfile(fds[1], fds[0], &from, sizeof block) == sizeof block &&
                   recv(fds[2], block, sizeof block, 0) == sizeof block
               ? 0
               : -1;
}

void bench_io_sendfile(struct bench *b)
{
    io_measure_on_file_and_sockets(b, send_block_of_file);
}
