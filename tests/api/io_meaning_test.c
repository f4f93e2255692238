/* SPDX-License-Identifier: MIT */
/*
 * Calls that mean the same on both backends, though the kernel's own means differ: receives of all,
 * sockets that do not listen, connects without room in a backlog, FIFOs, leases.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* `fn` gets the configuration. */
static void run_on_both(unsigned workers, int (*fn)(void *))
{
    /* Nobody may come to the rescue of a worker that blocks. */
    struct weft_config config = {.workers = workers, .monitor = 3};

    for (config.backend = WEFT_BACKEND_IO_URING; config.backend <= WEFT_BACKEND_EPOLL;
         config.backend++)
        cr_assert_eq(run_config(&config, fn, &config), 0);
}

static ssize_t receive_message(int fd, char *bytes, size_t length, int flags)
{
    struct iovec part = {bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    return weft_recvmsg(fd, &message, flags, WEFT_FOREVER);
}

static ssize_t receive_from(int fd, char *bytes, size_t length, int flags)
{
    return weft_recvfrom(fd, bytes, length, flags, NULL, NULL, WEFT_FOREVER);
}

static ssize_t receive_plainly(int fd, char *bytes, size_t length, int flags)
{
    return weft_recv(fd, bytes, length, flags, WEFT_FOREVER);
}

static ssize_t (*const receives[])(int fd, char *bytes, size_t length,
                                   int flags) = {receive_plainly, receive_from, receive_message};

static void send_twice(int fd)
{
    CHECK_EQ(send(fd, "abc", 3, 0), 3);
    CHECK_EQ(send(fd, "def", 3, 0), 3);
}

static void expect_records(int type, int way)
{
    char bytes[16] = "";
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    send_twice(fds[1]);
    CHECK_EQ(receives[way](fds[0], bytes, 9, MSG_WAITALL), 3);
    CHECK(memcmp(bytes, "abc\0", 4) == 0);
    CHECK_EQ(receives[way](fds[0], bytes, 9, MSG_WAITALL), 3);
    CHECK(memcmp(bytes, "def\0", 4) == 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void expect_a_look(bool is_tcp, int way)
{
    char bytes[16] = "";
    int fds[2];

    if (is_tcp)
        make_tcp_pair(fds);
    else
        make_socket_pair(fds);
    CHECK_EQ(send(fds[1], "abc", 3, 0), 3);
    CHECK_EQ(receives[way](fds[0], bytes, 9, MSG_PEEK | MSG_WAITALL), 3);
    CHECK(memcmp(bytes, "abc\0", 4) == 0);
    CHECK_EQ(receives[way](fds[0], bytes, 9, MSG_DONTWAIT | MSG_WAITALL), 3);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static int receive_all(void *arg)
{
    (void)arg;
    for (int way = 0; way < 3; way++) {
        expect_records(SOCK_SEQPACKET, way);
        expect_records(SOCK_DGRAM, way);
        expect_a_look(false, way);
        expect_a_look(true, way);
    }
    return 0;
}

/* A ring that goes on after a part would join records, and give again what was only looked at. */
WORKER_TEST(io_meaning, a_receive_of_all_makes_nothing_up, TEST_TIMEOUT_S)
{
    run_on_both(*workers, receive_all);
}

static char fifo[] = "/tmp/weft-fifo-XXXXXX";

static int open_fifo(int flags)
{
    /* One that creates is tried by a thread of the kernel's, and not in passing. */
    return weft_openat(AT_FDCWD, fifo, flags, 0600, weft_after(30 * WEFT_SECOND));
}

static int open_fifos(void *arg)
{
    static const int more[] = {0, O_CREAT, O_TRUNC, O_CREAT | O_TRUNC};

    (void)arg;
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        int reader, writer;

        CHECK_EQ(open_fifo(O_WRONLY | more[i]), -ENXIO);
        CHECK_EQ(open_fifo(O_WRONLY | O_NONBLOCK | more[i]), -ENXIO);
        reader = open_fifo(O_RDONLY | more[i]);
        CHECK(reader >= 0);
        CHECK_EQ(fcntl(reader, F_GETFL) & O_NONBLOCK, 0);
        writer = open_fifo(O_WRONLY | O_APPEND | more[i]);
        CHECK(writer >= 0);
        CHECK_EQ(fcntl(writer, F_GETFL) & (O_NONBLOCK | O_APPEND), O_APPEND);
        CHECK_EQ(weft_close(reader), 0);
        reader = open_fifo(O_RDONLY | O_NONBLOCK | more[i]);
        CHECK(reader >= 0);
        CHECK_EQ(fcntl(reader, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        CHECK_EQ(weft_close(reader), 0);
        CHECK_EQ(weft_close(writer), 0);
    }
    return 0;
}

/* By whatever way the kernel opens it.  A thread of the pool, or the kernel, that waited for the
 * other end would keep a deadline waiting as well. */
WORKER_TEST(io_meaning, a_fifo_opens_at_once_or_not_at_all, TEST_TIMEOUT_S)
{
    int fd = mkstemp(fifo);

    cr_assert(fd >= 0);
    (void)close(fd);
    cr_assert_eq(unlink(fifo), 0);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    run_on_both(*workers, open_fifos);
    cr_assert_eq(unlink(fifo), 0);
}

struct lease {
    char path[32];
    int fd;
    weft_time deadline;
};

static int open_leased(void *arg)
{
    struct lease *lease = arg;

    return weft_openat(AT_FDCWD, lease->path, O_WRONLY, 0, lease->deadline);
}

static void take_lease(struct lease *lease)
{
    CHECK_EQ(fcntl(lease->fd, F_SETLEASE, F_RDLCK), 0);
}

static void give_lease(struct lease *lease, weft_fiber *opener)
{
    int fd;

    CHECK_EQ(fcntl(lease->fd, F_SETLEASE, F_UNLCK), 0);
    fd = must_join(opener);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(weft_close(fd), 0);
}

static int open_with_lease(void *arg)
{
    const struct weft_config *config = arg;
    struct lease lease = {.path = "/tmp/weft-lease-XXXXXX", .deadline = WEFT_FOREVER};
    weft_fiber *opener;
    int fd = mkstemp(lease.path);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
    lease.fd = open(lease.path, O_RDONLY | O_CLOEXEC);
    take_lease(&lease);
    opener = must_spawn(open_leased, &lease);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    give_lease(&lease, opener);
    if (config->backend == WEFT_BACKEND_IO_URING) { /* what is on the pool has no end but its own */
        take_lease(&lease);
        lease.deadline = weft_after(5 * WEFT_MILLISECOND);
        CHECK_EQ(open_leased(&lease), -ETIMEDOUT);
        lease.deadline = WEFT_FOREVER;
        opener = must_spawn(open_leased, &lease);
        CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
        weft_cancel(opener);
        CHECK_EQ(must_join(opener), -ECANCELED);
        CHECK_EQ(fcntl(lease.fd, F_SETLEASE, F_UNLCK), 0);
    }
    CHECK_EQ(close(lease.fd), 0);
    CHECK_EQ(unlink(lease.path), 0);
    return 0;
}

/* An open that waits in a thread of the kernel's ends with an error that no system call returns. */
WORKER_TEST(io_meaning, an_open_waits_for_a_lease, TEST_TIMEOUT_S)
{
    char path[] = "/tmp/weft-lease-XXXXXX";
    int fd = mkstemp(path), reader = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(fd >= 0 && reader >= 0 && unlink(path) == 0 && close(fd) == 0);
    if (fcntl(reader, F_SETLEASE, F_RDLCK) != 0)
        cr_skip_test("this file system has no leases");
    (void)close(reader);
    (void)signal(SIGIO, SIG_IGN); /* the holder is told, and knows */
    run_on_both(*workers, open_with_lease);
}

static struct sockaddr_un backlog;
static int client;

static int connect_client(void *arg)
{
    return weft_connect(client, (struct sockaddr *)&backlog, sizeof backlog, *(weft_time *)arg);
}

/* Of one place, which is taken.  Returns the listener. */
static int make_full_backlog(int *first)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    backlog = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(backlog.sun_path + 1, sizeof backlog.sun_path - 1, "weft-meaning-%d", getpid());
    CHECK_EQ(bind(listener, (struct sockaddr *)&backlog, sizeof backlog), 0);
    CHECK_EQ(listen(listener, 0), 0);
    *first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(*first, (struct sockaddr *)&backlog, sizeof backlog), 0);
    return listener;
}

static weft_fiber *begin_to_connect(weft_time *deadline)
{
    weft_fiber *fiber = must_spawn(connect_client, deadline);

    CHECK_EQ(weft_sleep(3 * WEFT_MILLISECOND), 0);
    return fiber;
}

static void wait_for_room(int mode)
{
    weft_time past = 0, soon = weft_after(3 * WEFT_MILLISECOND), late;
    int first, listener = make_full_backlog(&first), accepted;
    weft_fiber *fiber;

    late = weft_after(30 * WEFT_SECOND);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | mode, 0);
    CHECK_EQ(connect_client(&past), -ETIMEDOUT);
    CHECK_EQ(connect_client(&soon), -ETIMEDOUT);
    fiber = begin_to_connect(&late);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    fiber = begin_to_connect(&late);
    CHECK_EQ(weft_close(client), 0);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | mode, 0); /* most likely that number */
    CHECK_EQ(must_join(fiber), -EBADF);
    fiber = begin_to_connect(&late);
    accepted = weft_accept(listener, WEFT_FOREVER);
    CHECK(accepted >= 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(fcntl(client, F_GETFL) & O_NONBLOCK, mode);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(first), 0);
    CHECK_EQ(weft_close(accepted), 0);
    CHECK_EQ(weft_close(listener), 0);
}

static int wait_for_a_backlog(void *arg)
{
    (void)arg;
    wait_for_room(0);
    wait_for_room(O_NONBLOCK);
    return 0;
}

/* Such a connect has nothing to wait for, and neither a descriptor in non-blocking mode may see of
 * that, nor a deadline. */
WORKER_TEST(io_meaning, a_connect_waits_for_room_in_a_backlog, TEST_TIMEOUT_S)
{
    run_on_both(*workers, wait_for_a_backlog);
}

static void expect_blocking(int fd, int error)
{
    CHECK_EQ(weft_accept(fd, WEFT_FOREVER), error);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static int accept_from_others(void *arg)
{
    int listener = make_bound_socket(), fds[2];

    (void)arg;
    make_pipe(fds);
    expect_blocking(fds[0], -ENOTSOCK);
    (void)close(fds[0]);
    (void)close(fds[1]);
    make_socket_pair(fds);
    expect_blocking(fds[0], -EINVAL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    make_datagram_pair(fds);
    expect_blocking(fds[0], -EOPNOTSUPP);
    (void)close(fds[0]);
    (void)close(fds[1]);
    expect_blocking(listener, -EINVAL);
    CHECK_EQ(weft_accept(NOT_OPEN, WEFT_FOREVER), -EBADF);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(weft_accept(listener, 0), -ETIMEDOUT);
    (void)close(listener);
    return 0;
}

/* What does not listen keeps its mode, which it may share with other processes. */
WORKER_TEST(io_meaning, an_accept_leaves_others_as_they_are, TEST_TIMEOUT_S)
{
    run_on_both(*workers, accept_from_others);
}

/* Of paths from the root. */
static void use_no_folder(void)
{
    char path[] = "/tmp/weft-meaning-XXXXXX", other[sizeof path + 1], target[8];
    struct statx status;
    weft_dir *dir;
    int fd;

    fd = weft_openat(NOT_OPEN, "/dev/null", O_RDONLY, 0, WEFT_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_openat(NOT_OPEN, "dev/null", O_RDONLY, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_dir_open(&dir, NOT_OPEN, "/dev", WEFT_FOREVER), 0);
    weft_dir_close(dir);
    CHECK_EQ(weft_dir_open(&dir, NOT_OPEN, "dev", WEFT_FOREVER), -EBADF);
    CHECK(mkdtemp(path) != NULL);
    (void)snprintf(other, sizeof other, "%s2", path);
    CHECK_EQ(weft_statx(NOT_OPEN, path, 0, STATX_TYPE, &status, WEFT_FOREVER), 0);
    CHECK_EQ(weft_statx(NOT_OPEN, path + 1, 0, STATX_TYPE, &status, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_renameat(NOT_OPEN, path, NOT_OPEN, other, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(NOT_OPEN, other, AT_REMOVEDIR, WEFT_FOREVER), 0);
    CHECK_EQ(weft_mkdirat(NOT_OPEN, path, 0700, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(NOT_OPEN, path, AT_REMOVEDIR, WEFT_FOREVER), 0);
    CHECK_EQ(weft_symlinkat("far", NOT_OPEN, path, WEFT_FOREVER), 0);
    CHECK_EQ(weft_readlinkat(NOT_OPEN, path, target, sizeof target, WEFT_FOREVER), 3);
    CHECK_EQ(weft_linkat(NOT_OPEN, path, NOT_OPEN, other, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(NOT_OPEN, path, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(NOT_OPEN, other, 0, WEFT_FOREVER), 0);
}

static int use_the_edges(void *arg)
{
    const struct weft_config *config = arg;
    bool is_on_epoll = config->backend == WEFT_BACKEND_EPOLL;
    int file = make_file("abc", 3), fds[2];
    char byte = 0;

    CHECK_EQ(weft_poll_fd(file, POLLIN | POLLOUT, WEFT_FOREVER), POLLIN | POLLOUT);
    CHECK_EQ(weft_poll_fd(file, POLLPRI, WEFT_FOREVER), is_on_epoll ? -EPERM : -EINVAL);
    CHECK_EQ(weft_poll_fd(file, 0, WEFT_FOREVER), is_on_epoll ? -EPERM : -EINVAL);
    CHECK_EQ(weft_close(file), 0);

    make_datagram_pair(fds);
    CHECK_EQ(weft_send_all(fds[1], "", 0, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_recv(fds[0], &byte, 1, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_send(fds[1], "", 0, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_recv(fds[0], &byte, 1, MSG_DONTWAIT, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_write_all(NOT_OPEN, "", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_read_exact(NOT_OPEN, &byte, 0, WEFT_FOREVER), 0);

    use_no_folder();
    return 0;
}

/* Files that are always ready, lengths of 0, and folders from which no path leads. */
WORKER_TEST(io_meaning, the_edges_are_as_documented, TEST_TIMEOUT_S)
{
    run_on_both(*workers, use_the_edges);
}
