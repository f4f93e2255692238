/* SPDX-License-Identifier: MIT */
/* io.h: accepting in spite of what passes. */
#define _GNU_SOURCE 1

#include "../fault/io_fault.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    PATIENCE_MS = 60,  /* three pauses of 5, 10 and 20 ms and the most of a fourth */
    ATTEMPTS_MAX = 10, /* twice as many as there is time for */
};

static int must_listen(void)
{
    int listener = weft_listen_tcp("127.0.0.1", 0);

    CHECK(listener >= 0);
    return listener;
}

static int connect_to(int listener)
{
    struct sockaddr_in address = local_address(listener);
    int fd = make_tcp_socket();

    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
    return fd;
}

static void run_with(struct weft_config config, int (*fn)(void *))
{
    config.backend = WEFT_BACKEND_EPOLL;
    cr_expect_eq(run_config(&config, fn, NULL), 0);
    if (!io_fault_has_injection())
        return;
    config.backend = WEFT_BACKEND_IO_URING;
    cr_expect_eq(run_config(&config, fn, NULL), 0);
}

static void run_on_both(unsigned workers, int (*fn)(void *))
{
    run_with((struct weft_config){.workers = workers}, fn);
}

static struct rlimit descriptors;

static void forbid_new_descriptors(void)
{
    struct rlimit none;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
    none = descriptors;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void allow_new_descriptors(void)
{
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
}

static int accept_next(void *arg)
{
    return weft_accept_next(*(int *)arg, WEFT_FOREVER);
}

/* One that has met a lack of descriptors already, and is going to meet more. */
static weft_fiber *must_spawn_in_need(int *listener)
{
    weft_fiber *acceptor;

    io_fault_concern(*listener, IO_FAULT_CALLS);
    io_fault_arm(1, -EMFILE);
    forbid_new_descriptors();
    acceptor = must_spawn(accept_next, listener);
    while (io_fault_fired() == NULL)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
    io_fault_disarm();
    return acceptor;
}

static int meet_each_error(void *arg)
{
    static const int errors[] = {-EMFILE,       -ENFILE, -ENOBUFS,      -ENOMEM,
                                 -ECONNABORTED, -EPROTO, -ENETDOWN,     -ENOPROTOOPT,
                                 -EHOSTDOWN,    -ENONET, -EHOSTUNREACH, -ENETUNREACH};
    int listener = must_listen();

    (void)arg;
    io_fault_concern(listener, IO_FAULT_CALLS);
    for (size_t i = 0; i < COUNT(errors); i++) {
        int client = connect_to(listener), server;

        io_fault_arm(1, errors[i]);
        server = weft_accept_next(listener, WEFT_FOREVER);
        CHECK(io_fault_fired() != NULL);
        io_fault_disarm();
        CHECK(server >= 0);
        CHECK_EQ(weft_close(server), 0);
        CHECK_EQ(weft_close(client), 0);
    }
    return weft_close(listener);
}

WORKER_TEST(accept_next, what_passes_ends_nothing, TEST_TIMEOUT_S)
{
    run_on_both(*workers, meet_each_error);
}

static int wait_for_descriptors(void *arg)
{
    int listener = must_listen(), client = connect_to(listener), server;
    weft_fiber *acceptor = must_spawn_in_need(&listener);

    (void)arg;
    CHECK_EQ(weft_accept(listener, 0), -EMFILE);
    allow_new_descriptors();
    CHECK_EQ(weft_join(acceptor, &server, WEFT_FOREVER), 0);
    CHECK(server >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    return weft_close(listener);
}

WORKER_TEST(accept_next, a_connection_is_there_when_descriptors_are, TEST_TIMEOUT_S)
{
    run_on_both(*workers, wait_for_descriptors);
}

static int give_up(void *arg)
{
    int listener = must_listen(), client = connect_to(listener);
    weft_scope scope = WEFT_SCOPE_INIT;
    struct weft_stats before, after;

    (void)arg;
    forbid_new_descriptors();
    CHECK_EQ(weft_stats_read(&before), 0);
    CHECK_EQ(weft_accept_next(listener, weft_after(PATIENCE_MS * WEFT_MILLISECOND)), -EMFILE);
    CHECK_EQ(weft_stats_read(&after), 0);
    /* An accept and a wait each. */
    CHECK(after.ops_submitted - before.ops_submitted <= 2 * (uint64_t)ATTEMPTS_MAX);
    CHECK_EQ(weft_accept_next(listener, 0), -EMFILE);
    weft_scope_open(&scope, weft_after(PATIENCE_MS * WEFT_MILLISECOND));
    CHECK_EQ(weft_accept_next(listener, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    allow_new_descriptors();
    CHECK_EQ(weft_close(client), 0);
    return weft_close(listener);
}

/* It says what it lacked, and has not tried again and again. */
WORKER_TEST(accept_next, it_gives_up_at_the_deadline, TEST_TIMEOUT_S)
{
    run_on_both(*workers, give_up);
}

static int cancel_one(void *arg)
{
    int listener = must_listen(), client = connect_to(listener), result;
    weft_fiber *acceptor = must_spawn_in_need(&listener);

    (void)arg;
    weft_cancel(acceptor);
    CHECK_EQ(weft_join(acceptor, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED);
    allow_new_descriptors();
    CHECK_EQ(weft_close(client), 0);
    return weft_close(listener);
}

WORKER_TEST(accept_next, a_cancel_ends_the_pause, TEST_TIMEOUT_S)
{
    run_on_both(*workers, cancel_one);
}

/* The number gets another listener, with a client. */
static int close_listener(void *arg)
{
    int listener = must_listen(), other = must_listen(), number = listener, client, server, result;
    weft_fiber *acceptor = must_spawn_in_need(&number);

    (void)arg;
    allow_new_descriptors();
    client = connect_to(other);
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(dup2(other, listener), listener);
    CHECK_EQ(weft_join(acceptor, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -EBADF);
    server = weft_accept_next(other, WEFT_FOREVER);
    CHECK(server >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(listener), 0);
    return weft_close(other);
}

WORKER_TEST(accept_next, a_close_ends_the_pause_and_nobody_gets_another_listener, TEST_TIMEOUT_S)
{
    run_on_both(*workers, close_listener);
}

static int misuse(void *arg)
{
    int listener = must_listen(), pipe[2], datagrams[2];

    (void)arg;
    make_pipe(pipe);
    make_datagram_pair(datagrams);
    CHECK_EQ(weft_accept_next(listener, 0), -ETIMEDOUT);
    CHECK_EQ(weft_accept_next(-1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_accept_next(pipe[0], WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_accept_next(datagrams[0], WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(shutdown(listener, SHUT_RD), 0);
    CHECK_EQ(weft_accept_next(listener, WEFT_FOREVER), -EINVAL);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(pipe[i]), 0);
        CHECK_EQ(weft_close(datagrams[i]), 0);
    }
    return weft_close(listener);
}

WORKER_TEST(accept_next, what_does_not_pass_is_told, TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_accept_next(0, WEFT_FOREVER), -EPERM);
    run_on_both(*workers, misuse);
}

/* Its turn is one of this listener. */
static int close_at_a_limit(void *arg)
{
    int listener = must_listen(), other = must_listen(), number = listener;
    int first = connect_to(listener), second = connect_to(listener), third = connect_to(other);
    int server = weft_accept_next(listener, WEFT_FOREVER), result;
    struct weft_stats stats;
    weft_fiber *acceptor = must_spawn(accept_next, &number);

    (void)arg;
    CHECK(server >= 0);
    do {
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.connection_waits == 0);
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(dup2(other, listener), listener);
    CHECK_EQ(weft_join(acceptor, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -EBADF);
    CHECK_EQ(weft_close(server), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_close((int[]){first, second, third}[i]), 0);
    CHECK_EQ(weft_close(listener), 0);
    return weft_close(other);
}

WORKER_TEST(accept_next, it_waits_for_turns, TEST_TIMEOUT_S)
{
    run_with((struct weft_config){.workers = *workers, .max_connections = 1}, close_at_a_limit);
}
