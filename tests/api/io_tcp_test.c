/* SPDX-License-Identifier: MIT */
/* io.h: listen, accept, connect. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(struct sockaddr_in address)
{
    int fd = make_tcp_socket();

    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
    return fd;
}

static int must_listen(void)
{
    int listener = weft_listen_tcp("127.0.0.1", 0);

    CHECK(listener >= 0);
    return listener;
}

static int accept_for_ever(void *arg)
{
    return weft_accept(*(int *)arg, WEFT_FOREVER);
}

static int accept_and_connect(void *arg)
{
    (void)arg;
    for (int mode = 0; mode < 2; mode++) {
        int listener = must_listen();
        weft_fiber *acceptor;
        char buffer[4];
        int client;
        int server;

        if (mode == 1)
            set_nonblocking(listener);
        acceptor = must_spawn(accept_for_ever, &listener);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        client = make_tcp_socket();
        if (mode == 1)
            set_nonblocking(client); /* connect(2) would say EINPROGRESS */
        CHECK_EQ(weft_connect(client, (struct sockaddr *)&(struct sockaddr_in){0}, 1, WEFT_FOREVER),
                 -EINVAL);
        struct sockaddr_in address = local_address(listener);
        CHECK_EQ(weft_connect(client, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
                 0);
        server = must_join(acceptor);
        CHECK(server >= 0);
        CHECK_EQ(fcntl(server, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        CHECK_EQ(fcntl(listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        CHECK_EQ(weft_write(client, "ping", 4, WEFT_FOREVER), 4);
        CHECK_EQ(weft_read(server, buffer, 4, WEFT_FOREVER), 4);
        CHECK(memcmp(buffer, "ping", 4) == 0);
        CHECK_EQ(weft_close(client), 0);
        CHECK_EQ(weft_close(server), 0);
        CHECK_EQ(weft_close(listener), 0);
    }
    return 0;
}

/* The way of every connection, also with sockets in non-blocking mode. */
WORKER_TEST(io_tcp, accept_and_connect_meet, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, accept_and_connect, NULL), 0);
}

static int time_out_accepts(void *arg)
{
    int listener = must_listen();
    struct sockaddr_in address = local_address(listener);
    weft_fiber *cancelled;
    weft_time deadline;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        int client;
        int server;

        CHECK_EQ(weft_accept(listener, 0), -ETIMEDOUT);
        deadline = weft_after(i % 4 * WEFT_MILLISECOND / 2);
        CHECK_EQ(weft_accept(listener, deadline), -ETIMEDOUT);
        CHECK(weft_now() >= deadline);
        cancelled = must_spawn(accept_for_ever, &listener);
        if (i % 2)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        weft_cancel(cancelled);
        CHECK_EQ(must_join(cancelled), -ECANCELED);

        client = connect_to(address);
        server = weft_accept(listener, i % 2 ? 0 : WEFT_FOREVER);
        CHECK(server >= 0);
        CHECK_EQ(weft_close(client), 0);
        CHECK_EQ(weft_close(server), 0);
    }
    return weft_close(listener);
}

/* An accept that ended without a connection must not stay in the kernel and eat the next one. */
WORKER_TEST(io_tcp, a_timed_out_accept_leaves_the_listener_working, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, time_out_accepts, NULL), 0);
}

struct race {
    int listener;
    int accepted;
};

static int accept_with_short_deadlines(void *arg)
{
    struct race *race = arg;

    for (int i = 0;; i++) {
        int fd = weft_accept(race->listener, weft_after(i % 8 * 30 * WEFT_MICROSECOND));
        if (fd == -ECANCELED)
            return 0;
        CHECK(fd >= 0 || fd == -ETIMEDOUT);
        if (fd >= 0) {
            race->accepted++;
            CHECK_EQ(weft_close(fd), 0);
        }
    }
}

static int race_accepts(void *arg)
{
    struct race race = {.listener = must_listen()};
    struct sockaddr_in address = local_address(race.listener);
    weft_fiber *acceptor = must_spawn(accept_with_short_deadlines, &race);
    int fd;

    (void)arg;
    for (int i = 0; i < 300; i++) {
        fd = connect_to(address);
        if (i % 3)
            CHECK_EQ(weft_sleep(i % 7 * 50 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_close(fd), 0);
    }
    weft_cancel(acceptor);
    CHECK_EQ(must_join(acceptor), 0);
    while ((fd = weft_accept(race.listener, 0)) >= 0) {
        race.accepted++;
        CHECK_EQ(weft_close(fd), 0);
    }
    CHECK_EQ(fd, -ETIMEDOUT);
    CHECK_EQ(race.accepted, 300);
    return weft_close(race.listener);
}

/* Connection, deadline and cancel at the same moment: each connection is returned by exactly one
 * accept.  A late one that nobody returns leaks its descriptor and hangs its client. */
WORKER_TEST(io_tcp, no_connection_is_lost_to_a_deadline, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_accepts, NULL), 0);
}

static int use_errors(void *arg)
{
    struct sockaddr_in address;
    int bound = make_bound_socket();
    int client = make_tcp_socket();
    int fds[2];

    (void)arg;
    address = local_address(bound);
    CHECK_EQ(weft_connect(client, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
             -ECONNREFUSED);
    CHECK_EQ(weft_connect(-1, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_accept(-1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_accept(bound, WEFT_FOREVER), -EINVAL);
    make_pipe(fds);
    CHECK_EQ(weft_accept(fds[0], WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_connect(fds[0], (struct sockaddr *)&address, sizeof address, WEFT_FOREVER),
             -ENOTSOCK);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_close(client), 0);
    return weft_close(bound);
}

/* The errors of accept(2) and connect(2) come back as they are. */
WORKER_TEST(io_tcp, errors_are_those_of_the_system_calls, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_errors, NULL), 0);
}

struct attempt {
    struct sockaddr_in address;
    int fd;
};

static int connect_for_ever(void *arg)
{
    struct attempt *attempt = arg;

    return weft_connect(attempt->fd, (struct sockaddr *)&attempt->address, sizeof attempt->address,
                        WEFT_FOREVER);
}

static int wait_for_connections(void *arg)
{
    enum { FILLERS = 8 };
    int bound = make_bound_socket();
    struct attempt attempt = {.address = local_address(bound)};
    int fillers[FILLERS];
    weft_time deadline;
    weft_fiber *fiber;

    (void)arg;
    /* A full backlog: the kernel drops further requests, and their clients wait. */
    CHECK_EQ(listen(bound, 0), 0);
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = make_tcp_socket();
        set_nonblocking(fillers[i]);
        (void)connect(fillers[i], (struct sockaddr *)&attempt.address, sizeof attempt.address);
    }
    attempt.fd = make_tcp_socket();
    deadline = weft_after(5 * WEFT_MILLISECOND);
    CHECK_EQ(weft_connect(attempt.fd, (struct sockaddr *)&attempt.address, sizeof attempt.address,
                          deadline),
             -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_close(attempt.fd), 0);

    attempt.fd = make_tcp_socket();
    fiber = must_spawn(connect_for_ever, &attempt);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(weft_close(attempt.fd), 0);
    for (int i = 0; i < FILLERS; i++)
        CHECK_EQ(weft_close(fillers[i]), 0);
    return weft_close(bound);
}

/* Without a deadline of its own a connect to a silent host takes two minutes. */
WORKER_TEST(io_tcp, connect_has_a_deadline_and_a_cancel, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_for_connections, NULL), 0);
}

/* Everything about the listening socket: addresses, ports, flags, and from a plain thread. */
Test(io_tcp, listen_takes_numeric_addresses, .timeout = TEST_TIMEOUT_S)
{
    static const char *const bad[] = {"localhost", "", "1.2.3.4.5", "::g", "127.0.0.1:80"};
    int listener = weft_listen_tcp("127.0.0.1", 0);
    uint16_t port;
    int all;
    int six;

    cr_assert_geq(listener, 0);
    port = ntohs(local_address(listener).sin_port);
    cr_expect_gt(port, 0);
    cr_expect_eq(weft_listen_tcp("127.0.0.1", port), -EADDRINUSE);
    all = weft_listen_tcp(NULL, 0);
    cr_expect_geq(all, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(weft_listen_tcp(bad[i], 0), -EINVAL, "\"%s\"", bad[i]);
    six = weft_listen_tcp("::1", 0);
    cr_expect(six >= 0 || six == -EAFNOSUPPORT || six == -EADDRNOTAVAIL);
    if (six >= 0)
        cr_expect_eq(weft_close(six), 0);
    cr_expect_eq(weft_close(all), 0);
    cr_expect_eq(weft_close(listener), 0);
}

static int restart_server(void *arg)
{
    int listener = must_listen();
    struct sockaddr_in address = local_address(listener);
    int client = connect_to(address);
    int server = weft_accept(listener, WEFT_FOREVER);
    char byte;

    (void)arg;
    /* The side that closes first keeps the port in TIME_WAIT. */
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_read(client, &byte, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(listener), 0);
    listener = weft_listen_tcp("127.0.0.1", ntohs(address.sin_port));
    CHECK(listener >= 0);
    return weft_close(listener);
}

/* A server that is restarted gets its port back at once, not after a minute. */
WORKER_TEST(io_tcp, a_port_can_be_used_again_at_once, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, restart_server, NULL), 0);
}

static int run_out_of_descriptors(void *arg)
{
    int listener = must_listen();
    int client = connect_to(local_address(listener));
    struct rlimit limit;
    struct rlimit none;
    int server;

    (void)arg;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_accept(listener, WEFT_FOREVER), -EMFILE);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    server = weft_accept(listener, 0);
    CHECK(server >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    return weft_close(listener);
}

/* Out of descriptors the connection stays queued, and is there when there is room again. */
WORKER_TEST(io_tcp, a_full_descriptor_table_loses_no_connection, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_out_of_descriptors, NULL), 0);
}
