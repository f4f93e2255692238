/* SPDX-License-Identifier: MIT */
/*
 * What only the epoll backend has to get right: descriptors in blocking mode, files without
 * readiness, numbers that are used again behind its back.  The other I/O tests run on both
 * backends.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

enum { BIG = 1 << 20 };

static int run_on_epoll(unsigned workers, int (*fn)(void *), void *arg)
{
    /* Nobody may come to the rescue of a worker that blocks. */
    struct weft_config config = {.workers = workers, .backend = WEFT_BACKEND_EPOLL, .monitor = 3};

    return run_config(&config, fn, arg);
}

static int read_one(void *arg)
{
    char byte = 0;

    CHECK_EQ(weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER), 1);
    return byte;
}

static int share_a_blocking_pipe(void *arg)
{
    weft_fiber *first, *second;
    int sum, fds[2];

    (void)arg;
    make_pipe(fds);
    first = must_spawn(read_one, &fds[0]);
    second = must_spawn(read_one, &fds[0]);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_write(fds[1], "\1", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_write(fds[1], "\2", 1, WEFT_FOREVER), 1);
    sum = must_join(first) + must_join(second);
    CHECK_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return sum;
}

/* Both readers are told of the first byte.  The one that comes too late must wait again instead of
 * holding the only worker in read(2), where the second byte would never be written. */
WORKER_TEST(io_epoll, readers_of_one_blocking_pipe_wait_again, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, share_a_blocking_pipe, NULL), 3);
}

static int read_to_the_end(void *arg)
{
    static char buffer[3000];
    size_t total = 0;
    ssize_t n;

    while ((n = weft_read(*(int *)arg, buffer, sizeof buffer, WEFT_FOREVER)) > 0)
        total += (size_t)n;
    CHECK_EQ(n, 0);
    return (int)total;
}

static int write_more_than_a_pipe_holds(void *arg)
{
    char *bytes = calloc(1, BIG);
    weft_fiber *reader;
    int total, fds[2];

    (void)arg;
    CHECK(bytes != NULL);
    make_pipe(fds);
    reader = must_spawn(read_to_the_end, &fds[0]);
    CHECK_EQ(weft_write_all(fds[1], bytes, BIG, WEFT_FOREVER), BIG);
    CHECK_EQ(weft_close(fds[1]), 0);
    total = must_join(reader);
    CHECK_EQ(weft_close(fds[0]), 0);
    free(bytes);
    return total;
}

/* A write to a blocking pipe takes what there is room for, and never the worker. */
WORKER_TEST(io_epoll, a_write_larger_than_a_blocking_pipe_goes_in_parts, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, write_more_than_a_pipe_holds, NULL), BIG);
}

/* Both of its ends, which block. */
static void open_terminal(int *master, int *slave)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(*master >= 0);
    CHECK_EQ(grantpt(*master), 0);
    CHECK_EQ(unlockpt(*master), 0);
    *slave = weft_openat(AT_FDCWD, ptsname(*master), O_RDWR | O_NOCTTY, 0, WEFT_FOREVER);
    CHECK(*slave >= 0);
    CHECK_EQ(fcntl(*slave, F_GETFL) & O_NONBLOCK, 0);
}

static int talk_to_a_terminal(void *arg)
{
    weft_fiber *reader;
    int master, slave, result;

    (void)arg;
    open_terminal(&master, &slave);
    reader = must_spawn(read_one, &slave);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_write(master, "x\n", 2, WEFT_FOREVER), 2);
    result = must_join(reader);
    CHECK_EQ(weft_close(slave), 0);
    CHECK_EQ(weft_close(master), 0);
    return result;
}

/* A terminal knows no RWF_NOWAIT: it is read when it is ready. */
WORKER_TEST(io_epoll, a_blocking_terminal_holds_nobody, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, talk_to_a_terminal, NULL), 'x');
}

static int write_vectors_to_a_terminal(void *arg)
{
    static char bytes[2 * PIPE_BUF], got[sizeof bytes];
    struct iovec large[] = {{NULL, 0}, {bytes, sizeof bytes}, {bytes, 1}};
    struct iovec small[] = {{bytes, 2}, {NULL, 0}, {bytes, 1}};
    struct termios raw;
    int master, slave;
    ssize_t n;

    (void)arg;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + i % 23);
    open_terminal(&master, &slave);
    CHECK_EQ(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
    n = weft_writev(slave, large, 3, WEFT_FOREVER);
    CHECK(n > 0 && n <= PIPE_BUF);
    CHECK_EQ(weft_read_exact(master, got, (size_t)n, WEFT_FOREVER), n);
    CHECK_EQ(memcmp(got, bytes, (size_t)n), 0);
    CHECK_EQ(weft_writev(slave, small, 3, WEFT_FOREVER), 3);
    CHECK_EQ(weft_read_exact(master, got, 3, WEFT_FOREVER), 3);
    CHECK_EQ(memcmp(got, "aba", 3), 0);
    CHECK_EQ(weft_close(slave), 0);
    return weft_close(master);
}

/* Ready for writing is ready for a page: what is more would hold the worker until it is read. */
WORKER_TEST(io_epoll, a_large_vector_to_a_terminal_goes_in_parts, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, write_vectors_to_a_terminal, NULL), 0);
}

static int read_counters(void *arg)
{
    struct itimerspec soon = {.it_value = {.tv_nsec = 2000000}};
    int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t count = 0;

    (void)arg;
    CHECK(event >= 0 && timer >= 0);
    CHECK_EQ(weft_read(event, &count, sizeof count, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    count = 5;
    CHECK_EQ(weft_write(event, &count, sizeof count, WEFT_FOREVER), 8);
    CHECK_EQ(weft_read(event, &count, sizeof count, WEFT_FOREVER), 8);
    CHECK_EQ(count, 5);
    CHECK_EQ(timerfd_settime(timer, 0, &soon, NULL), 0);
    CHECK_EQ(weft_read(timer, &count, sizeof count, WEFT_FOREVER), 8);
    CHECK_EQ(count, 1);
    (void)close(event);
    (void)close(timer);
    return 0;
}

WORKER_TEST(io_epoll, event_and_timer_descriptors_are_read, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, read_counters, NULL), 0);
}

static int reuse_numbers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        int fds[2], again[2];
        weft_fiber *reader;
        char byte;

        make_pipe(fds);
        CHECK_EQ(weft_read(fds[0], &byte, 1, weft_after(WEFT_MICROSECOND)), -ETIMEDOUT);
        (void)close(fds[0]);
        (void)close(fds[1]);
        make_socket_pair(again);
        CHECK_EQ(again[0], fds[0]);
        reader = must_spawn(read_one, &again[0]);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_write(again[1], "x", 1, WEFT_FOREVER), 1);
        CHECK_EQ(must_join(reader), 'x');
        (void)close(again[0]);
        (void)close(again[1]);
    }
    return 0;
}

/* A program closes descriptors behind the runtime's back, and their numbers come again for other
 * files.  Whoever took the new one for the old one would wait for ever. */
Test(io_epoll, numbers_used_again_mean_the_new_file, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(1, reuse_numbers, NULL), 0);
}

static int fill_with_bytes(void *arg)
{
    static char bytes[BIG];

    CHECK_EQ(weft_write_all(*(int *)arg, bytes, BIG, WEFT_FOREVER), BIG);
    return 0;
}

static int wait_both_ways(void *arg)
{
    weft_fiber *reader, *writer;
    int fds[2];
    size_t total = 0;

    (void)arg;
    make_narrow_socket_pair(fds);
    reader = must_spawn(read_one, &fds[0]);
    writer = must_spawn(fill_with_bytes, &fds[0]);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_write(fds[1], "r", 1, WEFT_FOREVER), 1);
    CHECK_EQ(must_join(reader), 'r'); /* while the writer still waits */
    while (total < BIG) {
        static char buffer[4096];
        ssize_t n = weft_read(fds[1], buffer, sizeof buffer, WEFT_FOREVER);

        CHECK(n > 0);
        total += (size_t)n;
    }
    CHECK_EQ(must_join(writer), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* One event at a time is watched for: those who wait for another one must not be forgotten. */
WORKER_TEST(io_epoll, a_reader_and_a_writer_share_a_descriptor, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, wait_both_ways, NULL), 0);
}

/* Leaves the first `length` bytes of a file in memory, and no others. */
static void cache_only(int fd, char *got, size_t length)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* nothing is read ahead */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(pread(fd, got, length, 0), (ssize_t)length);
    memset(got, 0, BIG);
}

/* Of the parts, the one that ends where memory does, the one before and the one after. */
static void read_half_cached(int fd, const char *bytes, char *got)
{
    for (size_t first = BIG / 4; first < BIG; first += BIG / 4) {
        const struct iovec parts[] = {{got, first}, {got + first, 0}, {got + first, BIG - first}};

        cache_only(fd, got, BIG / 2);
        CHECK_EQ(weft_preadv(fd, parts, 3, 0, WEFT_FOREVER), BIG);
        CHECK_EQ(memcmp(bytes, got, BIG), 0);
    }
    cache_only(fd, got, BIG / 2);
    CHECK_EQ(lseek(fd, 10, SEEK_SET), 10);
    CHECK_EQ(weft_read(fd, got, BIG, WEFT_FOREVER), BIG - 10);
    CHECK_EQ(memcmp(bytes + 10, got, BIG - 10), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), BIG);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
}

static int use_files(void *arg)
{
    static char bytes[BIG], got[BIG];
    char path[] = "/tmp/weft-epoll-XXXXXX";
    int fd = mkstemp(path);

    (void)arg;
    CHECK(fd >= 0);
    for (int i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    CHECK_EQ(weft_write_all(fd, bytes, BIG, WEFT_FOREVER), BIG);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fd), 0);
    fd = weft_openat(AT_FDCWD, path, O_RDONLY, 0, WEFT_FOREVER);
    CHECK(fd >= 0);
    read_half_cached(fd, bytes, got);
    /* Out of memory, so that the read cannot be done at once. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(weft_read(fd, got, BIG, WEFT_FOREVER), BIG);
    CHECK_EQ(memcmp(bytes, got, BIG), 0);
    CHECK_EQ(weft_read(fd, got, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pread(fd, got, BIG, BIG - 10, WEFT_FOREVER), 10);
    CHECK_EQ(weft_poll_fd(fd, POLLIN, WEFT_FOREVER), POLLIN);
    CHECK_EQ(weft_poll_fd(fd, POLLPRI, WEFT_FOREVER), -EPERM);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_openat(AT_FDCWD, "/tmp/weft-no-such-file", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
    (void)unlink(path);
    return 0;
}

/* A file has no readiness; a read of it is short at its end only. */
WORKER_TEST(io_epoll, files_are_read_in_full, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, use_files, NULL), 0);
}

static int open_a_fifo(void *arg)
{
    char path[] = "/tmp/weft-epoll-XXXXXX";
    int reader, writer;
    char byte;

    (void)arg;
    CHECK(mkdtemp(path) != NULL);
    CHECK_EQ(rmdir(path), 0);
    CHECK_EQ(mkfifo(path, 0600), 0);
    reader = weft_openat(AT_FDCWD, path, O_RDONLY, 0, WEFT_FOREVER);
    CHECK(reader >= 0);
    CHECK_EQ(fcntl(reader, F_GETFL) & O_NONBLOCK, 0);
    writer = weft_openat(AT_FDCWD, path, O_WRONLY, 0, WEFT_FOREVER);
    CHECK(writer >= 0);
    CHECK_EQ(weft_write(writer, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(reader, &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_close(reader), 0);
    CHECK_EQ(weft_close(writer), 0);
    (void)unlink(path);
    return 0;
}

WORKER_TEST(io_epoll, a_fifo_opens_without_its_other_end, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, open_a_fifo, NULL), 0);
}

static int never_wait(void *arg)
{
    int *fds = arg;
    char byte = 'x';

    for (;;) {
        CHECK_EQ(weft_write(fds[1], &byte, 1, WEFT_FOREVER), 1);
        if (weft_read(fds[0], &byte, 1, WEFT_FOREVER) != 1 || weft_is_cancelled())
            return 0;
    }
}

static int run_beside_one_that_never_waits(void *arg)
{
    weft_fiber *busy;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    busy = must_spawn(never_wait, fds);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(busy);
    CHECK_EQ(must_join(busy), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* Operations that are done at once must give way in the end, or nobody else on the worker runs. */
Test(io_epoll, operations_without_a_wait_give_way, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(1, run_beside_one_that_never_waits, NULL), 0);
}

static int connect_to_a_full_backlog(void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), clients[2], accepted;

    (void)arg;
    (void)snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "weft-epoll-%d", getpid());
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(listener, 0), 0);
    for (int i = 0; i < 2; i++)
        clients[i] = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(weft_connect(clients[0], (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
             0);
    accepted = weft_accept(listener, WEFT_FOREVER);
    CHECK(accepted >= 0);
    CHECK_EQ(weft_connect(clients[1], (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
             0);
    CHECK_EQ(fcntl(clients[1], F_GETFL) & O_NONBLOCK, 0);
    (void)close(accepted);
    (void)close(clients[0]);
    (void)close(clients[1]);
    (void)close(listener);
    return 0;
}

WORKER_TEST(io_epoll, unix_sockets_connect, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(*workers, connect_to_a_full_backlog, NULL), 0);
}

static int use_bad_descriptors(void *arg)
{
    char byte;

    (void)arg;
    CHECK_EQ(weft_read(-1, &byte, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_poll_fd(-1, POLLIN, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_poll_fd(NOT_OPEN, POLLIN, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_accept(NOT_OPEN, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_send(NOT_OPEN, "x", 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_close(NOT_OPEN), -EBADF);
    return 0;
}

Test(io_epoll, bad_descriptors_are_refused, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_epoll(2, use_bad_descriptors, NULL), 0);
}
