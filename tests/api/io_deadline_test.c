/* SPDX-License-Identifier: MIT */
/* io.h: deadlines and cancellation of reads and writes, and who owns the buffer meanwhile. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG = 4 << 20 };

static ssize_t receive(int kind, int fd, void *buffer, size_t length, weft_time deadline)
{
    return kind % 2 ? weft_recv(fd, buffer, length, 0, deadline)
                    : weft_read(fd, buffer, length, deadline);
}

static ssize_t transmit(int kind, int fd, const void *buffer, size_t length, weft_time deadline)
{
    return kind % 2 ? weft_send(fd, buffer, length, 0, deadline)
                    : weft_write(fd, buffer, length, deadline);
}

/* Kinds 0 and 1: socket pair by read and by recv; 2 and 3 the same on TCP; 4: a pipe; from 5 on
 * the same again in non-blocking mode. */
enum { KINDS = 10 };

static void make_kind(int kind, int fds[2])
{
    if (kind % 5 < 2)
        make_socket_pair(fds);
    else if (kind % 5 < 4)
        make_tcp_pair(fds);
    else
        make_pipe(fds);
    if (kind >= 5) {
        set_nonblocking(fds[0]);
        set_nonblocking(fds[1]);
    }
}

static void close_both(const int fds[2])
{
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

static int read_with_deadlines(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        char buffer[8] = "patterns";
        weft_time deadline;
        int by = kind % 5;
        int fds[2];

        make_kind(kind, fds);
        CHECK_EQ(receive(by, fds[0], buffer, 8, 0), -ETIMEDOUT);
        CHECK_EQ(receive(by, fds[0], buffer, 8, weft_after(-WEFT_SECOND)), -ETIMEDOUT);
        deadline = weft_after(5 * WEFT_MILLISECOND);
        CHECK_EQ(receive(by, fds[0], buffer, 8, deadline), -ETIMEDOUT);
        CHECK(weft_now() >= deadline);
        /* What arrives now must not go to the buffer of the call that has returned. */
        CHECK_EQ(write(fds[1], "new", 3), 3);
        CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
        CHECK(memcmp(buffer, "patterns", 8) == 0);
        CHECK_EQ(receive(by, fds[0], buffer, 8, 0), 3);
        CHECK(memcmp(buffer, "newterns", 8) == 0);
        CHECK_EQ(receive(by, fds[0], buffer, 8, 0), -ETIMEDOUT);
        close_both(fds);
    }
    return 0;
}

/* A read that timed out has left the kernel: it neither takes bytes nor writes to a buffer that
 * may be another function's stack frame by then.  With data there, a passed deadline succeeds. */
WORKER_TEST(io_deadline, a_timed_out_read_leaves_no_trace, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_with_deadlines, NULL), 0);
}

static int write_with_deadlines(void *arg)
{
    char *bytes = arg;

    for (int kind = 0; kind < KINDS; kind++) {
        size_t received = 0;
        size_t sent = 0;
        ssize_t n;
        int fds[2];

        make_kind(kind, fds);
        while ((n = transmit(kind % 5, fds[1], bytes, LONG, weft_after(WEFT_MILLISECOND))) > 0)
            sent += (size_t)n;
        CHECK_EQ(n, -ETIMEDOUT);
        /* TCP can come to find room by itself, when it has moved what it has. */
        while ((n = transmit(kind % 5, fds[1], bytes, LONG, 0)) > 0)
            sent += (size_t)n;
        CHECK_EQ(n, -ETIMEDOUT);
        CHECK(sent > 0);
        CHECK_EQ(weft_close(fds[1]), 0);
        while ((n = weft_read(fds[0], bytes, LONG, WEFT_FOREVER)) > 0)
            received += (size_t)n;
        CHECK_EQ(n, 0);
        CHECK_EQ(received, sent);
        CHECK_EQ(weft_close(fds[0]), 0);
    }
    return 0;
}

/* Bytes that moved before the deadline are reported: a count that is lost makes the sender repeat
 * them, one that is invented loses them. */
WORKER_TEST(io_deadline, a_timed_out_write_reports_what_went, TEST_TIMEOUT_S)
{
    char *bytes = calloc(1, LONG);

    cr_assert_not_null(bytes);
    cr_expect_eq(run_workers(*workers, write_with_deadlines, bytes), 0);
    free(bytes);
}

static int write_all_with_deadline(void *arg)
{
    char *bytes = arg;
    int fds[2];

    for (int kind = 0; kind < KINDS; kind++) {
        make_kind(kind, fds);
        /* TCP's room would grow to as much as is written. */
        if (kind % 5 == 2 || kind % 5 == 3)
            make_narrow(fds);
        CHECK_EQ(weft_write_all(fds[1], bytes, LONG, weft_after(3 * WEFT_MILLISECOND)), -ETIMEDOUT);
        if (kind % 5 != 4)
            CHECK_EQ(weft_send_all(fds[1], bytes, LONG, 0, weft_after(3 * WEFT_MILLISECOND)),
                     -ETIMEDOUT);
        CHECK(drain(fds[0]) > 0);
        /* TCP makes room when it has heard of that. */
        CHECK_EQ(weft_write_all(fds[1], bytes, 10, WEFT_FOREVER), 10);
        close_both(fds);
    }
    return 0;
}

/* The deadline is for the whole, not for each piece. */
WORKER_TEST(io_deadline, write_all_stops_at_its_deadline, TEST_TIMEOUT_S)
{
    char *bytes = calloc(1, LONG);

    cr_assert_not_null(bytes);
    cr_expect_eq(run_workers(*workers, write_all_with_deadline, bytes), 0);
    free(bytes);
}

struct operation {
    int kind;
    int writes;
    int fd;
    _Atomic(int) entered;
    char buffer[8];
};

static int operate(void *arg)
{
    struct operation *op = arg;

    atomic_store(&op->entered, 1);
    if (op->writes)
        return (int)transmit(op->kind % 5, op->fd, op->buffer, 8, WEFT_FOREVER);
    return (int)receive(op->kind % 5, op->fd, op->buffer, 8, WEFT_FOREVER);
}

static void cancel_one(int kind, int writes, int phase)
{
    struct operation op = {.kind = kind, .writes = writes, .buffer = "pattern"};
    weft_fiber *fiber;
    size_t filled = 0;
    int fds[2];

    make_kind(kind, fds);
    op.fd = fds[writes];
    if (writes)
        filled = fill(fds[1]);
    fiber = must_spawn(operate, &op);
    if (phase > 0)
        await_flag(&op.entered);
    if (phase > 1)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    if (writes) {
        CHECK_EQ(drain(fds[0]), filled);
    } else {
        CHECK_EQ(write(fds[1], "late", 4), 4);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(drain(fds[0]), 4);
    }
    CHECK(memcmp(op.buffer, "pattern", 8) == 0);
    close_both(fds);
}

static int cancel_operations(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++)
        for (int phase = 0; phase < 9; phase++)
            for (int writes = 0; writes < 2; writes++)
                if (!writes || (kind % 5 < 2 || kind % 5 == 4))
                    cancel_one(kind, writes, phase % 3);
    return 0;
}

/* The cancel returns only when the kernel has let go, and takes or leaves nothing behind. */
WORKER_TEST(io_deadline, cancelled_operations_leave_no_trace, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_operations, NULL), 0);
    cr_expect_gt(run_stats().ops_cancelled, 0);
}

static int write_soon(void *arg)
{
    (void)weft_sleep(2 * WEFT_MILLISECOND);
    return (int)weft_write(*(int *)arg, "x", 1, WEFT_FOREVER);
}

static int read_before_deadline(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        weft_fiber *writer;
        char byte;
        int fds[2];

        make_kind(kind, fds);
        writer = must_spawn(write_soon, &fds[1]);
        CHECK_EQ(receive(kind % 5, fds[0], &byte, 1, weft_after(3600 * WEFT_SECOND)), 1);
        CHECK_EQ(must_join(writer), 1);
        close_both(fds);
    }
    return 0;
}

/* A deadline that does not pass leaves no timer that hits the next operation. */
WORKER_TEST(io_deadline, an_operation_in_time_is_not_disturbed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_before_deadline, NULL), 0);
}
