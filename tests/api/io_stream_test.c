/* SPDX-License-Identifier: MIT */
/* io.h: reading and writing pipes and sockets. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void close_both(const int fds[2])
{
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

static int exchange(void *arg)
{
    char buffer[16] = "";
    int fds[2];

    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0)
            make_pipe(fds);
        else if (kind == 1)
            make_socket_pair(fds);
        else
            make_tcp_pair(fds);
        CHECK_EQ(weft_write(fds[1], "hello", 5, WEFT_FOREVER), 5);
        CHECK_EQ(weft_read(fds[0], buffer, sizeof buffer, WEFT_FOREVER), 5);
        CHECK(memcmp(buffer, "hello", 5) == 0);
        CHECK_EQ(weft_write_all(fds[1], "worlds", 6, WEFT_FOREVER), 6);
        CHECK_EQ(weft_read(fds[0], buffer, 3, WEFT_FOREVER), 3);
        CHECK_EQ(weft_read(fds[0], buffer + 3, 9, WEFT_FOREVER), 3);
        CHECK(memcmp(buffer, "worlds", 6) == 0);
        CHECK_EQ(weft_close(fds[1]), 0);
        CHECK_EQ(weft_read(fds[0], buffer, sizeof buffer, WEFT_FOREVER), 0);
        CHECK_EQ(weft_read(fds[0], buffer, sizeof buffer, 0), 0);
        CHECK_EQ(weft_close(fds[0]), 0);
    }
    return 0;
}

/* Bytes arrive in order, in whatever pieces are asked for, and the end of the stream is 0: also
 * for a call whose deadline has passed, since nothing has to be waited for. */
WORKER_TEST(io_stream, bytes_then_end_of_file, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, exchange, NULL), 0);
}

static int use_flags(void *arg)
{
    char buffer[16] = "";
    int fds[2];

    (void)arg;
    make_socket_pair(fds);
    CHECK_EQ(weft_recv(fds[0], buffer, sizeof buffer, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_send(fds[1], "abcdef", 6, 0, WEFT_FOREVER), 6);
    CHECK_EQ(weft_recv(fds[0], buffer, sizeof buffer, MSG_PEEK, WEFT_FOREVER), 6);
    CHECK_EQ(weft_recv(fds[0], buffer, 4, MSG_DONTWAIT, WEFT_FOREVER), 4);
    CHECK(memcmp(buffer, "abcd", 4) == 0);
    CHECK_EQ(weft_recv(fds[0], buffer, sizeof buffer, 0, WEFT_FOREVER), 2);
    (void)fill(fds[1]);
    CHECK_EQ(weft_send(fds[1], buffer, 1, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
    close_both(fds);
    return 0;
}

/* Flags reach the kernel; MSG_DONTWAIT means "do not wait", also in a call that can. */
WORKER_TEST(io_stream, flags_of_recv_and_send, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_flags, NULL), 0);
}

static int use_datagrams(void *arg)
{
    char buffer[16];
    int fds[2];

    (void)arg;
    make_datagram_pair(fds);
    CHECK_EQ(weft_send(fds[1], "one", 3, 0, WEFT_FOREVER), 3);
    CHECK_EQ(weft_send_all(fds[1], "", 0, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_send(fds[1], "three", 5, 0, WEFT_FOREVER), 5);
    CHECK_EQ(weft_recv(fds[0], buffer, sizeof buffer, 0, WEFT_FOREVER), 3);
    for (;;) { /* whether an empty send_all() makes a datagram is not promised */
        ssize_t n = weft_recv(fds[0], buffer, sizeof buffer, 0, WEFT_FOREVER);
        if (n != 0) {
            CHECK_EQ(n, 5);
            break;
        }
    }
    CHECK(memcmp(buffer, "three", 5) == 0);
    close_both(fds);
    return 0;
}

/* Datagrams keep their borders: two are never returned as one. */
WORKER_TEST(io_stream, datagrams_keep_their_borders, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_datagrams, NULL), 0);
}

static int use_empty_buffers(void *arg)
{
    char byte = 'x';
    int fds[2];

    (void)arg;
    make_socket_pair(fds);
    CHECK_EQ(weft_write(fds[0], &byte, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_write_all(fds[0], &byte, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_send_all(fds[0], &byte, 0, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_write_all(fds[0], NULL, 0, WEFT_FOREVER), 0);
    CHECK_EQ(drain(fds[1]), 0);
    close_both(fds);
    return 0;
}

/* Nothing to write is done at once: a loop "until all is written" must not wait for room. */
WORKER_TEST(io_stream, empty_buffers_end_at_once, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_empty_buffers, NULL), 0);
}

static int use_bad_descriptors(void *arg)
{
    char byte = 'x';
    int fds[2];

    (void)arg;
    CHECK_EQ(weft_read(-1, &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_write(-1, &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_write_all(-1, &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_recv(-1, &byte, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_send(-1, &byte, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_send_all(-1, &byte, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_read(NOT_OPEN, &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_read(-1, &byte, 1, 0), -EBADF);
    CHECK_EQ(weft_send(-1, &byte, 1, 0, 0), -EBADF);

    make_pipe(fds);
    CHECK_EQ(weft_read(fds[1], &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_write(fds[0], &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_recv(fds[0], &byte, 1, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_send(fds[1], &byte, 1, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_write(fds[1], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(fds[0], (void *)16, 1, WEFT_FOREVER), -EFAULT);
    CHECK_EQ(weft_write(fds[1], (void *)16, 1, WEFT_FOREVER), -EFAULT);
    close_both(fds);
    CHECK_EQ(weft_close(NOT_OPEN), -EBADF);
    CHECK_EQ(weft_close(-1), -EBADF);
    return 0;
}

/* The errors of the system calls come back as they are, with any deadline. */
WORKER_TEST(io_stream, errors_are_those_of_the_system_calls, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_bad_descriptors, NULL), 0);
}

static _Atomic(int) pipe_signals;

static void count_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&pipe_signals, 1);
}

static int write_to_nobody(void *arg)
{
    int fds[2];

    (void)arg;
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            make_socket_pair(fds);
        else
            make_tcp_pair(fds);
        (void)close(fds[1]);
        if (kind == 1) /* the first byte is answered by a reset */
            while (weft_write(fds[0], "x", 1, WEFT_FOREVER) == 1)
                CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_write(fds[0], "x", 1, WEFT_FOREVER), -EPIPE);
        CHECK_EQ(weft_write_all(fds[0], "x", 1, WEFT_FOREVER), -EPIPE);
        CHECK_EQ(weft_send(fds[0], "x", 1, 0, WEFT_FOREVER), -EPIPE);
        CHECK_EQ(weft_send_all(fds[0], "x", 1, 0, WEFT_FOREVER), -EPIPE);
        (void)close(fds[0]);
    }
    make_pipe(fds);
    (void)close(fds[0]);
    CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), -EPIPE);
    (void)close(fds[1]);
    return 0;
}

/* A peer that hangs up must not kill a server that never thought of SIGPIPE. */
WORKER_TEST(io_stream, no_write_raises_sigpipe, TEST_TIMEOUT_S)
{
    struct sigaction action = {.sa_handler = count_signal};

    cr_assert_eq(sigaction(SIGPIPE, &action, NULL), 0);
    cr_expect_eq(run_workers(*workers, write_to_nobody, NULL), 0);
    cr_expect_eq(pipe_signals, 0);
}

struct transfer {
    int fd;
    size_t length;
    int by_send;
};

static unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 2654435761u >> 13);
}

static int send_pattern(void *arg)
{
    struct transfer *transfer = arg;
    unsigned char *bytes = malloc(transfer->length);
    ssize_t n;

    CHECK(bytes != NULL);
    for (size_t i = 0; i < transfer->length; i++)
        bytes[i] = byte_at(i);
    n = transfer->by_send ? weft_send_all(transfer->fd, bytes, transfer->length, 0, WEFT_FOREVER)
                          : weft_write_all(transfer->fd, bytes, transfer->length, WEFT_FOREVER);
    CHECK_EQ(n, transfer->length);
    free(bytes);
    return weft_close(transfer->fd);
}

static int transfer_all_kinds(void *arg)
{
    enum { LENGTH = 1 << 20 };

    (void)arg;
    for (int kind = 0; kind < 12; kind++) {
        struct transfer transfer = {.length = LENGTH, .by_send = kind / 3 % 2};
        unsigned char buffer[4000];
        weft_fiber *sender;
        size_t total = 0;
        ssize_t n;
        int fds[2];

        if (kind % 3 == 0)
            make_narrow_socket_pair(fds);
        else if (kind % 3 == 1)
            make_tcp_pair(fds);
        else if (transfer.by_send)
            make_socket_pair(fds);
        else
            make_pipe(fds);
        if (kind >= 6) { /* the same in non-blocking mode, where the kernel says EAGAIN instead */
            set_nonblocking(fds[0]);
            set_nonblocking(fds[1]);
        }
        transfer.fd = fds[1];
        sender = must_spawn(send_pattern, &transfer);
        while ((n = weft_read(fds[0], buffer, sizeof buffer, WEFT_FOREVER)) > 0)
            for (ssize_t i = 0; i < n; i++)
                CHECK_EQ(buffer[i], byte_at(total++));
        CHECK_EQ(n, 0);
        CHECK_EQ(total, LENGTH);
        CHECK_EQ(must_join(sender), 0);
        CHECK_EQ(weft_close(fds[0]), 0);
    }
    return 0;
}

/* "All" goes on after short writes at the right place, in blocking and in non-blocking mode. */
WORKER_TEST(io_stream, write_all_survives_short_writes, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, transfer_all_kinds, NULL), 0);
}

static int write_byte(void *arg)
{
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    return (int)weft_write(*(int *)arg, "z", 1, WEFT_FOREVER);
}

static int drain_later(void *arg)
{
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    return drain(*(int *)arg) > 0;
}

static int wait_in_nonblocking_mode(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        weft_fiber *helper;
        char byte = 0;
        int fds[2];

        if (kind == 0)
            make_pipe(fds);
        else
            make_socket_pair(fds);
        set_nonblocking(fds[0]);
        set_nonblocking(fds[1]);
        helper = must_spawn(write_byte, &fds[1]);
        CHECK_EQ(kind == 2 ? weft_recv(fds[0], &byte, 1, 0, WEFT_FOREVER)
                           : weft_read(fds[0], &byte, 1, WEFT_FOREVER),
                 1);
        CHECK_EQ(byte, 'z');
        CHECK_EQ(must_join(helper), 1);

        (void)fill(fds[1]);
        helper = must_spawn(drain_later, &fds[0]);
        CHECK_EQ(kind == 2 ? weft_send(fds[1], &byte, 1, 0, WEFT_FOREVER)
                           : weft_write(fds[1], &byte, 1, WEFT_FOREVER),
                 1);
        CHECK_EQ(must_join(helper), 1);
        close_both(fds);
    }
    return 0;
}

/* Descriptors that come from an event loop are in non-blocking mode: the call waits all the same,
 * instead of handing EAGAIN to code that does not expect it. */
WORKER_TEST(io_stream, non_blocking_descriptors_wait_too, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_in_nonblocking_mode, NULL), 0);
}

static int use_huge_lengths(void *arg)
{
    size_t huge = (size_t)1 << 32;
    unsigned char *buffer = mmap(NULL, huge, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int fds[2];

    (void)arg;
    CHECK(buffer != MAP_FAILED);
    make_socket_pair(fds);
    CHECK_EQ(weft_write(fds[1], "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_read(fds[0], buffer, huge, WEFT_FOREVER), 5);
    CHECK_EQ(weft_write(fds[1], "hello", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_recv(fds[0], buffer, huge, 0, WEFT_FOREVER), 5);
    CHECK(weft_write(fds[1], buffer, huge, weft_after(WEFT_MILLISECOND)) > 0);
    CHECK(drain(fds[0]) > 0);
    CHECK(weft_send(fds[1], buffer, huge, 0, weft_after(WEFT_MILLISECOND)) > 0);
    close_both(fds);
    CHECK_EQ(munmap(buffer, huge), 0);
    return 0;
}

/* The kernel's length field has 32 bits: 4 GiB must not turn into 0, which would be "end of
 * file". */
WORKER_TEST(io_stream, lengths_beyond_32_bits, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_huge_lengths, NULL), 0);
}

/* Every call that needs a fiber says so, touches nothing, and does not block the thread. */
Test(io_stream, plain_threads_are_refused, .timeout = TEST_TIMEOUT_S)
{
    struct sockaddr_in address;
    char byte = 'x';
    int fds[2];
    int fd;

    make_socket_pair(fds);
    fd = make_bound_socket();
    address = local_address(fd);
    cr_assert_eq(write(fds[1], "y", 1), 1);
    cr_expect_eq(weft_read(fds[0], &byte, 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_write(fds[0], &byte, 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_write_all(fds[0], &byte, 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_recv(fds[0], &byte, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_send(fds[0], &byte, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_send_all(fds[0], &byte, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_pread(fds[0], &byte, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_pwrite(fds[0], &byte, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_accept(fd, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_connect(fds[0], (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
                 -EPERM);
    cr_expect_eq(weft_poll_fd(fds[0], 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_openat(0, "/dev/null", 0, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_fsync(fds[0], WEFT_FOREVER), -EPERM);
    cr_expect_eq(byte, 'x');
    cr_expect_eq(drain(fds[0]), 1, "a refused call took the byte");
    cr_expect_eq(drain(fds[1]), 0, "a refused call sent a byte");
    cr_expect_eq(weft_close(fds[0]), 0, "closing is for every thread");
    cr_expect_eq(weft_close(fds[0]), -EBADF);
    cr_expect_eq(weft_close(fds[1]), 0);
    cr_expect_eq(weft_close(fd), 0);
}
