/* SPDX-License-Identifier: MIT */
/* What ends a connection that counts against max_connections, and what ends the wait for one. */
#define _GNU_SOURCE 1

#include "../support/door.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CROWD = 20 };

static int end_listener(void *arg)
{
    bool is_shut_down = *(bool *)arg;
    struct door door = open_door();
    int client = knock(&door), fd = weft_accept(door.listener, WEFT_FOREVER);
    weft_fiber *waiters[CROWD];

    CHECK(fd >= 0);
    for (int i = 0; i < CROWD; i++)
        waiters[i] = must_spawn(accept_one, &door);
    await_acceptors(CROWD, CROWD);
    CHECK_EQ(is_shut_down ? shutdown(door.listener, SHUT_RDWR) : weft_close(door.listener), 0);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(waiters[i]), is_shut_down ? -EINVAL : -EBADF);
    if (is_shut_down)
        CHECK_EQ(weft_close(door.listener), 0);
    CHECK_EQ(stats_now().connections, 1);
    close_all((int[]){fd, client}, 2);
    return 0;
}

/* How a server stops: it cannot wait for its clients to go. */
WORKER_TEST(connection_end, the_end_of_the_listener_ends_the_wait, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 2; i++) {
        bool is_shut_down = i == 1;

        cr_expect_eq(run_limited(*workers, 1, end_listener, &is_shut_down), 0);
    }
}

static void *close_outside(void *arg)
{
    CHECK_EQ(weft_close(*(int *)arg), 0);
    return NULL;
}

static int close_here(void *arg)
{
    return weft_close(*(int *)arg);
}

static int close_elsewhere(void *arg)
{
    weft_runtime *other = arg;
    struct door door = open_door();
    int clients[3] = {knock(&door), knock(&door), knock(&door)};
    int first = weft_accept(door.listener, WEFT_FOREVER), second, third;
    weft_fiber *waiter = must_spawn(accept_one, &door), *closer;
    pthread_t thread;

    await_acceptors(1, 1);
    CHECK_EQ(pthread_create(&thread, NULL, close_outside, &first), 0);
    second = must_join(waiter);
    CHECK(second >= 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    waiter = must_spawn(accept_one, &door);
    await_acceptors(2, 1);
    CHECK_EQ(weft_spawn_on(other, NULL, &closer, close_here, &second), 0);
    third = must_join(waiter);
    CHECK(third >= 0);
    CHECK_EQ(must_join(closer), 0);
    close_all(clients, 3);
    close_all((int[]){third, door.listener}, 2);
    return 0;
}

/* A connection that is handed on is closed by somebody else, who may know no limit. */
WORKER_TEST(connection_end, others_give_turns_back, TEST_TIMEOUT_S)
{
    weft_runtime *other = start_other();

    cr_expect_eq(run_limited(*workers, 1, close_elsewhere, other), 0);
    cr_assert_eq(weft_stop(other), 0);
    (void)must_end(other);
}

static int accept_elsewhere(void *arg)
{
    weft_runtime *other = arg;
    struct door door = open_door();
    int clients[2] = {knock(&door), knock(&door)};
    int fd = weft_accept(door.listener, WEFT_FOREVER), again;
    weft_fiber *acceptor;

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(weft_spawn_on(other, NULL, &acceptor, accept_one, &door), 0);
    again = must_join(acceptor);
    CHECK(again >= 0);
    /* A spare worker may have taken the number meanwhile. */
    CHECK_EQ(stats_now().connections, again == fd ? 0 : 1);
    CHECK_EQ(weft_connection_forget(fd), again == fd ? -ENOENT : 0);
    close_all((int[]){again, door.listener}, 2);
    close_all(clients, 2);
    return 0;
}

/* Nor does it count for another runtime what has the number of one that close(2) has closed. */
WORKER_TEST(connection_end, a_runtime_without_limits_finds_out_too, TEST_TIMEOUT_S)
{
    weft_runtime *other = start_other();

    cr_expect_eq(run_limited(*workers, 1, accept_elsewhere, other), 0);
    cr_assert_eq(weft_stop(other), 0);
    (void)must_end(other);
}

static int close_by_other_means(void *arg)
{
    struct door door = open_door();
    int clients[3] = {knock(&door), knock(&door), knock(&door)};
    int fd = weft_accept(door.listener, WEFT_FOREVER), again, last;

    (void)arg;
    CHECK(fd >= 0);
    CHECK_EQ(weft_connection_forget(clients[0]), -ENOENT);
    CHECK_EQ(weft_connection_forget(-1), -ENOENT);
    CHECK_EQ(weft_connection_forget(NOT_OPEN), -ENOENT);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(stats_now().connections, 1);
    again = weft_accept(door.listener, WEFT_FOREVER);
    CHECK(again >= 0);
    /* A spare worker may have taken the number meanwhile. */
    CHECK_EQ(stats_now().connections, again == fd ? 1 : 2);
    CHECK_EQ(weft_connection_forget(again), 0);
    CHECK_EQ(weft_connection_forget(again), -ENOENT);
    if (again != fd)
        CHECK_EQ(weft_connection_forget(fd), 0);
    CHECK_EQ(stats_now().connections, 0);
    last = weft_accept(door.listener, 0);
    CHECK(last >= 0);
    CHECK_EQ(stats_now().connections, 1);
    close_all((int[]){again, last, door.listener}, 3);
    close_all(clients, 3);
    return 0;
}

/* What close(2) has closed is found out when its number comes again; what is forgotten counts
 * neither while it is open nor when it is closed. */
WORKER_TEST(connection_end, forgotten_connections_do_not_count, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 2, close_by_other_means, NULL), 0);
}

static int close_in_a_child(void *arg)
{
    struct door door = open_door();
    int client = knock(&door), fd = weft_accept(door.listener, WEFT_FOREVER), status = 0;
    pid_t child;

    (void)arg;
    CHECK(fd >= 0);
    child = fork();
    if (child == 0)
        _exit(weft_connection_forget(fd) == -ENOENT && weft_close(fd) == 0 ? 0 : 1);
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(stats_now().connections, 1);
    close_all((int[]){fd, client, door.listener}, 3);
    return 0;
}

/* A child has the memory of its parent's limits, and no part in them. */
WORKER_TEST(connection_end, a_forked_child_has_no_connections, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, close_in_a_child, NULL), 0);
}

struct heirloom {
    struct door *door;
    int fd;
};

static int close_heirloom(void *arg)
{
    struct heirloom *heirloom = arg;
    int fd = weft_accept(heirloom->door->listener, WEFT_FOREVER);

    CHECK(fd >= 0);
    CHECK_EQ(weft_close(heirloom->fd), 0);
    CHECK_EQ(stats_now().connections, 1);
    CHECK_EQ(weft_accept(heirloom->door->listener, 0), -ETIMEDOUT);
    return weft_close(fd);
}

/* A connection that outlives its runtime is no concern of the next one's: a turn too many would
 * let in one client too many for ever. */
WORKER_TEST(connection_end, connections_of_earlier_runs_do_not_count, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_connections = 1};
    struct door door = open_door();
    int clients[3] = {knock(&door), knock(&door), knock(&door)};
    struct heirloom heirloom = {&door, weft_run(&config, accept_one, &door)};

    cr_assert_geq(heirloom.fd, 0);
    cr_expect_eq(run_stats().connections, 1);
    cr_expect_eq(weft_run(&config, close_heirloom, &heirloom), 0);
    cr_expect_eq(run_stats().connections, 0);
    close_all(clients, 3);
    close_all(&door.listener, 1);
}

static int accept_what_is_none(void *arg)
{
    int fds[2];

    (void)arg;
    make_pipe(fds);
    CHECK_EQ(weft_accept(fds[0], WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_accept(-1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_accept(NOT_OPEN, WEFT_FOREVER), -EBADF);
    close_all(fds, 2);
    return 0;
}

/* The same errors as without a limit, and no turn is lost with them. */
WORKER_TEST(connection_end, errors_are_as_ever, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, accept_what_is_none, NULL), 0);
    cr_expect_eq(weft_accept(0, WEFT_FOREVER), -EPERM);
}
