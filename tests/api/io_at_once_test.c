/* SPDX-License-Identifier: MIT */
/*
 * A fiber that is alone on its worker does what is possible without waiting at once, without the
 * way through the worker's loop: any kind of operation, which keeps nobody from running, and means
 * the same.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/others.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TIMES = 160, BLOCK = 4096 };

struct ends {
    int pipe[2], sockets[2], file;
};

static void pipe_once(const struct ends *ends)
{
    char byte = 0;

    CHECK_EQ(weft_write(ends->pipe[1], "p", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(ends->pipe[0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'p');
}

static void send_once(const struct ends *ends)
{
    char byte = 0;

    CHECK_EQ(weft_send(ends->sockets[1], "s", 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(weft_recv(ends->sockets[0], &byte, 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 's');
}

static void message_once(const struct ends *ends)
{
    char byte = 'm';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    CHECK_EQ(weft_sendmsg(ends->sockets[1], &message, 0, WEFT_FOREVER), 1);
    byte = 0;
    CHECK_EQ(weft_recvmsg(ends->sockets[0], &message, 0, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'm');
}

static void poll_once(const struct ends *ends)
{
    CHECK_EQ(weft_poll_fd(ends->sockets[0], POLLOUT, WEFT_FOREVER), POLLOUT);
}

static void pread_once(const struct ends *ends)
{
    char block[BLOCK], more[BLOCK];
    struct iovec parts[2] = {{block, 1}, {more, BLOCK}};

    CHECK_EQ(weft_pread(ends->file, block, BLOCK, 0, WEFT_FOREVER), BLOCK);
    CHECK_EQ(block[BLOCK - 1], 'f');
    CHECK_EQ(weft_preadv(ends->file, parts, 2, BLOCK - 2, WEFT_FOREVER), 2);
}

static void open_once(const struct ends *ends)
{
    int fd = weft_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0, WEFT_FOREVER);

    (void)ends;
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(weft_close(fd), 0);
}

static const struct {
    const char *name;
    void (*once)(const struct ends *ends);
    int operations;
    bool is_everywhere; /* at once on any kernel */
} kinds[] = {
    {"a pipe", pipe_once, 2, false},      {"send and recv", send_once, 2, true},
    {"messages", message_once, 2, true},  {"poll", poll_once, 1, true},
    {"file reads", pread_once, 2, false}, {"open and close", open_once, 2, true},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void make_ends(struct ends *ends)
{
    char block[BLOCK];

    memset(block, 'f', sizeof block);
    make_pipe(ends->pipe);
    make_socket_pair(ends->sockets);
    ends->file = make_disk_file(block, sizeof block);
}

static void close_ends(const struct ends *ends)
{
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(ends->pipe[i]), 0);
        CHECK_EQ(weft_close(ends->sockets[i]), 0);
    }
    CHECK_EQ(weft_close(ends->file), 0);
}

static struct weft_stats stats_now(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats;
}

struct result {
    uint64_t turns, submitted, completed;
};

static int do_in_a_row(void *arg)
{
    struct result *results = arg;
    struct ends ends;

    make_ends(&ends);
    for (int kind = 0; kind < KINDS; kind++) {
        struct weft_stats before = stats_now(), after;

        for (int i = 0; i < TIMES; i++)
            kinds[kind].once(&ends);
        after = stats_now();
        results[kind].turns = after.turns - before.turns;
        results[kind].submitted = after.ops_submitted - before.ops_submitted;
        results[kind].completed = after.ops_completed - before.ops_completed;
    }
    close_ends(&ends);
    return 0;
}

/* An operation that is done at once is counted as any other. */
WORKER_TEST(io_at_once, what_need_not_wait_takes_hardly_any_turn, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .monitor = 3};
    struct result results[KINDS];
    const char *backend = getenv("WEFT_BACKEND");
    /* On epoll files are opened on the pool. */
    bool is_sure = getenv("WEFT_CHAOS") == NULL &&
                   (backend == NULL || strcmp(backend, "epoll") != 0);

    cr_assert_eq(run_config(&config, do_in_a_row, results), 0);
    for (int kind = 0; kind < KINDS; kind++) {
        uint64_t operations = (uint64_t)TIMES * (uint64_t)kinds[kind].operations;

        cr_expect_geq(results[kind].submitted, operations, "%s", kinds[kind].name);
        cr_expect_eq(results[kind].submitted, results[kind].completed, "%s", kinds[kind].name);
        if (kinds[kind].is_everywhere && is_sure)
            cr_expect_lt(results[kind].turns, operations / 2, "%s", kinds[kind].name);
    }
}

struct going_on {
    int kind;
    struct others others;
};

/* Goes on until the others have had their turns; nothing but the operations lets them. */
static int go_on_until_others_ran(void *arg)
{
    struct going_on *going_on = arg;
    struct ends ends;

    make_ends(&ends);
    others_begin(&going_on->others);
    while (!others_have_run(&going_on->others))
        kinds[going_on->kind].once(&ends);
    others_end(&going_on->others);
    close_ends(&ends);
    return 0;
}

/* Without the monitor, which would look after the others from elsewhere. */
WORKER_TEST(io_at_once, timers_and_other_operations_have_their_turn, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .monitor = 3};

    for (int kind = 0; kind < KINDS; kind++) {
        struct going_on going_on = {.kind = kind};

        cr_expect_eq(run_config(&config, go_on_until_others_ran, &going_on), 0, "%s",
                     kinds[kind].name);
    }
}

enum { SLEEPS = 50, LATE_OPERATIONS_MAX = 100 };

struct sleeper {
    weft_time due;
    bool has_slept;
};

static int sleep_until_due(void *arg)
{
    struct sleeper *sleeper = arg;

    CHECK_EQ(weft_sleep_until(sleeper->due), 0);
    sleeper->has_slept = true;
    return 0;
}

/* Returns how many operations were done while others had been due for a while, all in all.  Not
 * times: the CPU can be taken away. */
static int count_late_operations(void *arg)
{
    struct ends ends;
    int late = 0;

    (void)arg;
    make_ends(&ends);
    for (int i = 0; i < SLEEPS; i++) {
        struct sleeper sleeper = {.due = weft_after(200000)};
        weft_fiber *fiber = must_spawn(sleep_until_due, &sleeper);

        while (!sleeper.has_slept) {
            poll_once(&ends);
            late += weft_now() > sleeper.due + 50000;
        }
        CHECK_EQ(must_join(fiber), 0);
    }
    close_ends(&ends);
    return late;
}

/* To be passed over for hundreds of operations each time is not to have one's turn. */
Test(io_at_once, timers_are_looked_at_often, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3, .backend = WEFT_BACKEND_IO_URING};
    int late;

    if (getenv("WEFT_CHAOS") != NULL)
        cr_skip_test("chaos does nothing at once");
    late = run_config(&config, count_late_operations, NULL);
    cr_expect_lt(late, SLEEPS * LATE_OPERATIONS_MAX, "%d operations", late);
}

static int echo(void *arg)
{
    const int *fds = arg;
    ssize_t n;
    char byte;

    while ((n = weft_read(fds[0], &byte, 1, WEFT_FOREVER)) == 1)
        CHECK_EQ(weft_write(fds[1], &byte, 1, WEFT_FOREVER), 1);
    return (int)n;
}

/* Attempts in vain, waits, and what is there at once, by turns: nothing is lost or comes twice. */
static int wait_and_do_not(void *arg)
{
    int there[2], back[2], fds[2];
    weft_fiber *other;

    (void)arg;
    make_pipe(there);
    make_pipe(back);
    fds[0] = there[0];
    fds[1] = back[1];
    other = must_spawn(echo, fds);
    for (int i = 0; i < TIMES; i++) {
        char sent = (char)i, got[2] = {0, 0};
        int count = i % 5 == 0 ? 2 : 1;

        for (int k = 0; k < count; k++)
            CHECK_EQ(weft_write(there[1], &sent, 1, WEFT_FOREVER), 1);
        CHECK_EQ(weft_read_exact(back[0], got, (size_t)count, WEFT_FOREVER), count);
        CHECK_EQ(got[0], sent);
        CHECK_EQ(got[count - 1], sent);
        CHECK_EQ(weft_read(back[0], got, 1, 1), -ETIMEDOUT);
        CHECK_EQ(weft_poll_fd(back[0], POLLIN, 1), -ETIMEDOUT);
    }
    CHECK_EQ(weft_close(there[1]), 0);
    CHECK_EQ(must_join(other), 0);
    CHECK_EQ(weft_close(there[0]), 0);
    CHECK_EQ(weft_close(back[1]), 0);
    CHECK_EQ(weft_read(back[0], fds, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(back[0]), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_read(NOT_OPEN, fds, 1, WEFT_FOREVER), -EBADF);
    return 0;
}

WORKER_TEST(io_at_once, attempts_in_vain_lose_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_and_do_not, NULL), 0);
}

/* Both modes of a descriptor, a receive that wants all, a file's end, its offset, and appending. */
static int mean_the_same(void *arg)
{
    struct ends ends;
    char bytes[2 * BLOCK];
    int fds[2];

    (void)arg;
    make_ends(&ends);
    set_nonblocking(ends.pipe[0]);
    for (int i = 0; i < 3; i++) {
        pipe_once(&ends);
        CHECK_EQ(weft_read(ends.pipe[0], bytes, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
        CHECK_EQ(weft_recv(ends.sockets[0], bytes, 1, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
        CHECK_EQ(weft_send(ends.sockets[1], "ab", 2, 0, WEFT_FOREVER), 2);
        CHECK_EQ(weft_recv(ends.sockets[0], bytes, 1, MSG_PEEK, WEFT_FOREVER), 1);
        CHECK_EQ(weft_recv(ends.sockets[0], bytes, 4, 0, WEFT_FOREVER), 2);
        CHECK_EQ(weft_read(ends.file, bytes, 1, WEFT_FOREVER), 1);
    }
    CHECK_EQ(weft_read(ends.file, bytes, sizeof bytes, WEFT_FOREVER), BLOCK - 3);
    CHECK_EQ(weft_read(ends.file, bytes, sizeof bytes, WEFT_FOREVER), 0);
    CHECK_EQ(fcntl(ends.file, F_SETFL, O_APPEND), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_pwrite(ends.file, "xy", 2, 0, WEFT_FOREVER), 2);
    CHECK_EQ(weft_pread(ends.file, bytes, sizeof bytes, BLOCK - 1, WEFT_FOREVER), 7);
    CHECK_EQ(memcmp(bytes, "fxyxyxy", 7), 0);
    CHECK_EQ(weft_pread(ends.file, bytes, 1, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_pread(ends.pipe[0], bytes, 1, 0, 1), -ETIMEDOUT);
    make_narrow_socket_pair(fds);
    CHECK(weft_send(fds[0], bytes, fill(fds[0]) > 0, MSG_DONTWAIT, WEFT_FOREVER) == -EAGAIN);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    close_ends(&ends);
    return 0;
}

WORKER_TEST(io_at_once, means_the_same_as_ever, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, mean_the_same, NULL), 0);
}

static int receive_all(void *arg)
{
    const int *fds = arg;
    char bytes[4] = "";
    ssize_t n = weft_recv(fds[0], bytes, sizeof bytes, MSG_WAITALL, WEFT_FOREVER);

    CHECK(n < 4 || memcmp(bytes, "abcd", 4) == 0);
    return (int)n;
}

/* On epoll a receive takes what is there (weft/io.h). */
static int send_in_halves(void *arg)
{
    weft_fiber *receiver;
    int fds[2], n;

    (void)arg;
    make_socket_pair(fds);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_send(fds[1], "ab", 2, 0, WEFT_FOREVER), 2);
        receiver = must_spawn(receive_all, fds);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_send(fds[1], "cd", 2, 0, WEFT_FOREVER), 2);
        n = must_join(receiver);
        CHECK(n == 4 || n == 2);
        if (n == 2)
            CHECK_EQ(drain(fds[0]), 2);
    }
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return n;
}

WORKER_TEST(io_at_once, a_receive_of_all_is_not_cut_short, TEST_TIMEOUT_S)
{
    const char *backend = getenv("WEFT_BACKEND");
    int n = run_workers(*workers, send_in_halves, NULL);

    cr_expect(n == 4 || (backend != NULL && strcmp(backend, "epoll") == 0), "it got %d", n);
}

static int close_it_then(void *arg)
{
    const int *fds = arg;

    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    return weft_close(fds[0]);
}

static int go_on_until_closed(void *arg)
{
    int fds[2];
    weft_fiber *closer;
    ssize_t n;

    (void)arg;
    make_socket_pair(fds);
    closer = must_spawn(close_it_then, fds);
    while ((n = weft_send(fds[0], "x", 1, 0, WEFT_FOREVER)) == 1)
        CHECK_EQ(drain(fds[1]), 1);
    CHECK_EQ(must_join(closer), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return (int)n;
}

WORKER_TEST(io_at_once, a_close_by_another_ends_it, TEST_TIMEOUT_S)
{
    /* On several workers a send may begin while the close is under way.  Which of them comes first
     * is the program's to say, and a thread sanitizer reports that it has not. */
    unsigned count = TEST_IS_TSAN ? 1 : *workers;
    /* Without spares: the ring of one may get the number that was closed. */
    struct weft_config config = {.workers = count, .monitor = 2};

    cr_expect_eq(run_config(&config, go_on_until_closed, NULL), -EBADF);
}

static int read_until_cancelled(void *arg)
{
    int error;

    while ((error = weft_poll_fd(*(int *)arg, POLLOUT, WEFT_FOREVER)) == POLLOUT)
        ;
    return error;
}

static int cancel_one(void *arg)
{
    int fds[2], result = 0;
    weft_fiber *other;

    (void)arg;
    make_socket_pair(fds);
    other = must_spawn(read_until_cancelled, fds);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(other);
    CHECK_EQ(weft_join(other, &result, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return result;
}

WORKER_TEST(io_at_once, a_fiber_that_never_waits_can_be_cancelled, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_one, NULL), -ECANCELED);
}
