/* SPDX-License-Identifier: MIT */
/* scope.h: what waits for I/O say when the scope around them comes to its deadline, or is
 * cancelled, before the wait or in the midst of it.  Calls that cannot be stopped are not here, as
 * docs/limits.md says: those on regular files, and those on the pool that have begun. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/reasons.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int fds[2];     /* a pipe with nothing in it */
static int full[2];    /* one with no room */
static int sockets[2]; /* with nothing in them */
static int datagrams[2];
static int listener;
static pid_t child;

static int read_pipe(void)
{
    char byte;

    return (int)weft_read(fds[0], &byte, 1, WEFT_FOREVER);
}

static int read_parts(void)
{
    char byte;
    struct iovec part = {&byte, 1};

    return (int)weft_readv(fds[0], &part, 1, WEFT_FOREVER);
}

static int read_exactly(void)
{
    char bytes[2];

    return (int)weft_read_exact(fds[0], bytes, sizeof bytes, WEFT_FOREVER);
}

static int read_line(void)
{
    char buffer[64], *line;
    weft_reader reader;

    weft_reader_init(&reader, fds[0], buffer, sizeof buffer);
    return (int)weft_reader_line(&reader, &line, WEFT_FOREVER);
}

static int write_pipe(void)
{
    return (int)weft_write(full[1], "x", 1, WEFT_FOREVER);
}

static int write_all(void)
{
    return (int)weft_write_all(full[1], "xy", 2, WEFT_FOREVER);
}

static int flush_writer(void)
{
    char buffer[64];
    weft_writer writer;

    weft_writer_init(&writer, full[1], buffer, sizeof buffer);
    CHECK_EQ(weft_writer_write(&writer, "x", 1, WEFT_FOREVER), 1);
    return weft_writer_flush(&writer, WEFT_FOREVER);
}

static int splice_pipes(void)
{
    return (int)weft_splice(fds[0], NULL, full[1], NULL, 1, 0, WEFT_FOREVER);
}

static int receive(void)
{
    char byte;

    return (int)weft_recv(sockets[0], &byte, 1, 0, WEFT_FOREVER);
}

static int receive_message(void)
{
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    return (int)weft_recvmsg(sockets[0], &message, 0, WEFT_FOREVER);
}

static int receive_datagram(void)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char byte;

    return (int)weft_recvfrom(datagrams[0], &byte, 1, 0, (struct sockaddr *)&from, &size,
                              WEFT_FOREVER);
}

static int accept_nobody(void)
{
    return weft_accept(listener, WEFT_FOREVER);
}

static int poll_pipe(void)
{
    return weft_poll_fd(fds[0], POLLIN, WEFT_FOREVER);
}

static int await_child(void)
{
    return weft_process_wait(child, NULL, WEFT_FOREVER);
}

static int await_signal(void)
{
    struct weft_signal got;
    sigset_t set;

    CHECK_EQ(sigemptyset(&set), 0);
    CHECK_EQ(sigaddset(&set, SIGUSR2), 0);
    return weft_signal_wait(&set, &got, WEFT_FOREVER);
}

static const struct wait_kind kinds[] = {
    WAIT_KIND(read_pipe),       WAIT_KIND(read_parts),       WAIT_KIND(read_exactly),
    WAIT_KIND(read_line),       WAIT_KIND(write_pipe),       WAIT_KIND(write_all),
    WAIT_KIND(flush_writer),    WAIT_KIND(splice_pipes),     WAIT_KIND(receive),
    WAIT_KIND(receive_message), WAIT_KIND(receive_datagram), WAIT_KIND(accept_nobody),
    WAIT_KIND(poll_pipe),       WAIT_KIND(await_child),      WAIT_KIND(await_signal),
};

static int wait_for_io(void *arg)
{
    (void)arg;
    make_pipe(fds);
    make_pipe(full);
    CHECK(fill(full[1]) > 0);
    make_socket_pair(sockets);
    make_datagram_pair(datagrams);
    listener = weft_listen_tcp("127.0.0.1", 0);
    CHECK(listener >= 0);
    expect_reasons(kinds, sizeof kinds / sizeof *kinds);
    for (int i = 0; i < 2; i++) {
        (void)close(fds[i]);
        (void)close(full[i]);
        (void)close(sockets[i]);
        (void)close(datagrams[i]);
    }
    (void)close(listener);
    return 0;
}

/* An operation is over when the kernel has let go of it, and then says why. */
WORKER_TEST(scope_io, every_kind_of_wait_names_the_deadline, TEST_TIMEOUT_S)
{
    sigset_t set;

    /* Before the runtime: its threads inherit it. */
    cr_assert_eq(sigemptyset(&set), 0);
    cr_assert_eq(sigaddset(&set, SIGUSR2), 0);
    cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    cr_expect_eq(run_workers(*workers, wait_for_io, NULL), 0);
    cr_expect_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(waitpid(child, NULL, 0), child, "nobody has reaped it");
}
