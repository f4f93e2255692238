/* SPDX-License-Identifier: MIT */
/* weft_close() of a descriptor that others wait on. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CROWD = 200, ROUNDS = 200 };

enum kind {
    KIND_READ,
    KIND_READV,
    KIND_READ_EXACT,
    KIND_READ_LINE,
    KIND_RECV,
    KIND_RECVMSG,
    KIND_POLL,
    KIND_SELECT,
    KIND_SPLICE,
    KIND_WRITE, /* from here on they wait for room */
    KIND_WRITE_ALL,
    KIND_SEND,
    KIND_SEND_ALL,
    KIND_SENDMSG,
    KINDS
};

struct waiter {
    enum kind kind;
    int fd;
    weft_time deadline;
    char bytes[64];
};

static long long select_on(int fd, weft_time deadline)
{
    int held = 0;
    weft_poll poll = WEFT_POLL_INIT(fd, POLLIN);
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &held)};
    int result = weft_select(cases, 1, deadline);

    return result == 0 ? cases[0].result : result;
}

static long long splice_from(int fd, weft_time deadline)
{
    int fds[2];
    ssize_t result;

    make_pipe(fds);
    result = weft_splice(fd, NULL, fds[1], NULL, 1, 0, deadline);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return result;
}

static long long transfer(struct waiter *waiter)
{
    struct iovec part = {waiter->bytes, sizeof waiter->bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int fd = waiter->fd;
    weft_time end = waiter->deadline;
    weft_reader reader;
    char *line;

    switch (waiter->kind) {
    case KIND_READ:
        return weft_read(fd, waiter->bytes, sizeof waiter->bytes, end);
    case KIND_READV:
        return weft_readv(fd, &part, 1, end);
    case KIND_READ_EXACT:
        return weft_read_exact(fd, waiter->bytes, sizeof waiter->bytes, end);
    case KIND_READ_LINE:
        weft_reader_init(&reader, fd, waiter->bytes, sizeof waiter->bytes);
        return weft_reader_line(&reader, &line, end);
    case KIND_RECV:
        return weft_recv(fd, waiter->bytes, sizeof waiter->bytes, 0, end);
    case KIND_RECVMSG:
        return weft_recvmsg(fd, &message, 0, end);
    case KIND_POLL:
        return weft_poll_fd(fd, POLLIN, end);
    case KIND_SELECT:
        return select_on(fd, end);
    case KIND_SPLICE:
        return splice_from(fd, end);
    case KIND_WRITE:
        return weft_write(fd, waiter->bytes, sizeof waiter->bytes, end);
    case KIND_WRITE_ALL:
        return weft_write_all(fd, waiter->bytes, sizeof waiter->bytes, end);
    case KIND_SEND:
        return weft_send(fd, waiter->bytes, sizeof waiter->bytes, 0, end);
    case KIND_SEND_ALL:
        return weft_send_all(fd, waiter->bytes, sizeof waiter->bytes, 0, end);
    default:
        return weft_sendmsg(fd, &message, 0, end);
    }
}

static int wait_on(void *arg)
{
    return (int)transfer(arg);
}

/* Until so many operations are under way, in this runtime. */
static void await_operations(unsigned count)
{
    struct weft_stats stats;

    do {
        CHECK_EQ(weft_sleep(50 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted - stats.ops_completed < count);
}

static int close_each_kind(void *arg)
{
    bool is_nonblocking = *(bool *)arg;

    for (int kind = 0; kind < KINDS; kind++) {
        struct waiter waiter = {.kind = (enum kind)kind, .deadline = WEFT_FOREVER};
        weft_fiber *fiber;
        int fds[2];

        make_narrow_socket_pair(fds);
        if (is_nonblocking)
            set_nonblocking(fds[0]);
        if (kind >= KIND_WRITE)
            (void)fill(fds[0]);
        waiter.fd = fds[0];
        fiber = must_spawn(wait_on, &waiter);
        await_operations(1);
        CHECK_EQ(weft_close(fds[0]), 0);
        CHECK_EQ(must_join(fiber), -EBADF);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

/* The same result from every call and on either backend: what a call gets that begins later. */
WORKER_TEST(io_close, each_wait_ends_with_ebadf, TEST_TIMEOUT_S)
{
    bool is_nonblocking = false;

    cr_expect_eq(run_workers(*workers, close_each_kind, &is_nonblocking), 0);
}

/* On io_uring such a call is several operations, one after the other. */
WORKER_TEST(io_close, each_wait_ends_in_nonblocking_mode, TEST_TIMEOUT_S)
{
    bool is_nonblocking = true;

    cr_expect_eq(run_workers(*workers, close_each_kind, &is_nonblocking), 0);
}

static int accept_one(void *arg)
{
    return weft_accept(*(int *)arg, WEFT_FOREVER);
}

static int close_listener(void *arg)
{
    static weft_fiber *fibers[CROWD];
    int listener = weft_listen_tcp("127.0.0.1", 0);

    (void)arg;
    CHECK(listener >= 0);
    for (int i = 0; i < CROWD; i++)
        fibers[i] = must_spawn(accept_one, &listener);
    await_operations(CROWD);
    CHECK_EQ(weft_close(listener), 0);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(fibers[i]), -EBADF);
    return 0;
}

/* How a server stops: more waiters than a submission queue has room for in one go. */
WORKER_TEST(io_close, a_closed_listener_lets_all_acceptors_go, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .ring_entries = 16};

    cr_expect_eq(run_config(&config, close_listener, NULL), 0);
}

static int connect_to(void *arg)
{
    struct sockaddr_un *address = arg;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = weft_connect(fd, (struct sockaddr *)address, sizeof *address,
                              weft_after(20 * WEFT_MILLISECOND));

    CHECK(result == 0 || result == -ETIMEDOUT || result == -ECONNREFUSED);
    return weft_close(fd);
}

static int close_crowded_listener(void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    weft_fiber *fibers[8];
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "weft-close-%d", getpid());
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(listener, 0), 0);
    for (int i = 0; i < 8; i++)
        fibers[i] = must_spawn(connect_to, &address);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_close(listener), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Those wait on descriptors of their own, and are refused by the peer that has gone. */
WORKER_TEST(io_close, a_listener_goes_with_a_full_backlog, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_crowded_listener, NULL), 0);
}

static void *close_outside(void *arg)
{
    CHECK_EQ(weft_close(*(int *)arg), 0);
    return NULL;
}

static int wait_for_stranger(void *arg)
{
    void *(*closer)(void *) = *(void *(**)(void *))arg;
    weft_fiber *fibers[3];
    struct waiter waiters[3];
    pthread_t thread;
    int fds[2];

    make_socket_pair(fds);
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){
            .kind = i == 0 ? KIND_RECV : KIND_POLL, .fd = fds[0], .deadline = WEFT_FOREVER};
        fibers[i] = must_spawn(wait_on, &waiters[i]);
    }
    await_operations(3);
    CHECK_EQ(pthread_create(&thread, NULL, closer, &fds[0]), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(must_join(fibers[i]), -EBADF);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return weft_close(fds[1]);
}

WORKER_TEST(io_close, a_plain_thread_closes_under_fibers, TEST_TIMEOUT_S)
{
    void *(*closer)(void *) = close_outside;

    cr_expect_eq(run_workers(*workers, wait_for_stranger, &closer), 0);
}

static int close_in_fiber(void *arg)
{
    return weft_close(*(int *)arg);
}

static void *close_in_other_runtime(void *arg)
{
    struct weft_config config = {.workers = 1};

    CHECK_EQ(weft_run(&config, close_in_fiber, arg), 0);
    return NULL;
}

WORKER_TEST(io_close, a_fiber_of_another_runtime_closes, TEST_TIMEOUT_S)
{
    void *(*closer)(void *) = close_in_other_runtime;

    cr_expect_eq(run_workers(*workers, wait_for_stranger, &closer), 0);
}

static int close_when_told(void *arg)
{
    struct waiter *waiter = arg;

    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_close(waiter->fd), 0);
    return 0;
}

static int cancel_the_closer(void *arg)
{
    struct waiter waiter = {.kind = KIND_READ, .deadline = WEFT_FOREVER};
    weft_fiber *reader, *closer;
    int fds[2];

    (void)arg;
    make_socket_pair(fds);
    waiter.fd = fds[0];
    reader = must_spawn(wait_on, &waiter);
    closer = must_spawn(close_when_told, &waiter);
    await_operations(1);
    weft_cancel(closer);
    CHECK_EQ(must_join(closer), 0);
    CHECK_EQ(must_join(reader), -EBADF);
    return weft_close(fds[1]);
}

/* Cleaning up is what cancelled fibers do. */
WORKER_TEST(io_close, a_cancelled_fiber_closes_under_waiters, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_the_closer, NULL), 0);
}

static int finish_first(void *arg)
{
    struct waiter waiter = {.kind = KIND_READ, .deadline = WEFT_FOREVER};

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *fiber;
        int fds[2], other, got;

        make_socket_pair(fds);
        other = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        CHECK(other >= 0);
        waiter.fd = fds[0];
        fiber = must_spawn(wait_on, &waiter);
        await_operations(1);
        CHECK_EQ(write(fds[1], "data", 4), 4);
        CHECK_EQ(weft_close(fds[0]), 0);
        got = must_join(fiber);
        CHECK(got == 4 || got == -EBADF);
        CHECK_EQ(drain(other), got == 4 ? 0 : 4);
        CHECK_EQ(weft_close(other), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

/* Another number for the same file has what the call did not report. */
WORKER_TEST(io_close, bytes_that_came_first_are_reported, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, finish_first, NULL), 0);
}

/* The first part arrives; then the number comes to mean another file, with data in it.  Returns
 * false where somebody else has got the number. */
static bool reuse_once(int yields)
{
    struct waiter waiter = {.kind = KIND_READ_EXACT, .deadline = WEFT_FOREVER};
    int first[2], second[2], number;
    weft_fiber *fiber;

    make_socket_pair(first);
    make_socket_pair(second);
    CHECK_EQ(write(second[1], "precious", 8), 8);
    waiter.fd = first[0];
    fiber = must_spawn(wait_on, &waiter);
    await_operations(1);
    CHECK_EQ(write(first[1], "data", 4), 4);
    for (int i = 0; i < yields; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_close(first[0]), 0);
    number = fcntl(second[0], F_DUPFD_CLOEXEC, first[0]);
    CHECK_EQ(must_join(fiber), -EBADF);
    CHECK_EQ(drain(second[0]), 8);
    CHECK_EQ(weft_close(number), 0);
    CHECK_EQ(weft_close(first[1]), 0);
    CHECK_EQ(weft_close(second[0]), 0);
    CHECK_EQ(weft_close(second[1]), 0);
    return number == first[0];
}

static int reuse_numbers(void *arg)
{
    int reused = 0;

    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        reused += reuse_once(i % 4);
    CHECK(reused > 0);
    return 0;
}

/* A call that goes on after its first part must not do so on the next file of that number. */
WORKER_TEST(io_close, the_rest_of_a_call_ends_with_the_descriptor, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, reuse_numbers, NULL), 0);
}

struct flushes {
    int fd;
    _Atomic(int) count;
};

static int flush_until_closed(void *arg)
{
    struct flushes *flushes = arg;
    struct statx status;
    int result;

    do {
        result = weft_fsync(flushes->fd, WEFT_FOREVER);
        if (result == 0)
            result = weft_statx(flushes->fd, "", AT_EMPTY_PATH, STATX_SIZE, &status, WEFT_FOREVER);
        if (result == 0)
            result = weft_ftruncate(flushes->fd, 1, WEFT_FOREVER);
        atomic_fetch_add(&flushes->count, 1);
    } while (result == 0);
    return result;
}

static int close_file(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct flushes flushes = {.fd = make_file("data", 4)};
        weft_fiber *fiber = must_spawn(flush_until_closed, &flushes);

        while (atomic_load(&flushes.count) < 3)
            CHECK_EQ(weft_sleep(50 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_close(flushes.fd), 0);
        CHECK(must_join(fiber) < 0);
    }
    return 0;
}

/* What runs on a thread of the pool cannot be stopped: the close waits until it is over. */
WORKER_TEST(io_close, calls_on_files_come_to_their_end, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_file, NULL), 0);
}

static int close_all(void *arg)
{
    const int *fds = arg;
    struct waiter waiter = {.kind = KIND_READ, .fd = fds[0], .deadline = WEFT_FOREVER};
    weft_fiber *fiber = must_spawn(wait_on, &waiter);
    int status;
    pid_t child;

    await_operations(1);
    child = fork();
    if (child == 0)
        _exit(weft_close(fds[0]) == 0 && weft_close(fds[0]) == -EBADF ? 0 : 1);
    CHECK(child > 0);
    while (waitpid(child, &status, WNOHANG) == 0)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(write(fds[1], "data", 4), 4);
    CHECK_EQ(must_join(fiber), 4);
    return 0;
}

/* The parent's fibers are nobody's in a child, and go on in the parent. */
WORKER_TEST(io_close, a_child_closes_its_copy, TEST_TIMEOUT_S)
{
    int fds[2];

    make_socket_pair(fds);
    cr_expect_eq(run_workers(*workers, close_all, fds), 0);
    cr_expect_eq(weft_close(fds[0]), 0);
    cr_expect_eq(weft_close(fds[1]), 0);
}

static int close_nothing(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_close(-1), -EBADF);
    CHECK_EQ(weft_close(NOT_OPEN), -EBADF);
    CHECK_EQ(weft_close(INT32_MAX), -EBADF);
    CHECK_EQ(weft_close(INT32_MIN), -EBADF);
    return 0;
}

WORKER_TEST(io_close, what_is_not_open_cannot_be_closed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_nothing, NULL), 0);
    cr_expect_eq(close_nothing(NULL), 0);
}
