/* SPDX-License-Identifier: MIT */
/* max_connections of struct weft_config: weft_accept() waits until a connection is closed, a
 * deadline passes or it is cancelled.  connection_end_test.c has what ends a connection. */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/random.h"
#include "../support/simulate.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWD = 20, CLIENTS = 30, LIMIT = 3, RACES = 100 };

static int wait_at_the_limit(void *arg)
{
    struct door door = open_door();
    int clients[4], first, second;
    weft_fiber *waiter;

    (void)arg;
    for (int i = 0; i < 4; i++)
        clients[i] = knock(&door);
    first = weft_accept(door.listener, WEFT_FOREVER);
    second = weft_accept(door.listener, 0);
    CHECK(first >= 0 && second >= 0);
    CHECK_EQ(stats_now().connections, 2);
    CHECK_EQ(stats_now().connection_waits, 0);
    CHECK_EQ(weft_accept(door.listener, 0), -ETIMEDOUT);
    CHECK_EQ(weft_accept(door.listener, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(stats_now().connection_waits, 2);
    waiter = must_spawn(accept_one, &door);
    await_acceptors(3, 1);
    weft_cancel(waiter);
    CHECK_EQ(must_join(waiter), -ECANCELED);
    CHECK_EQ(stats_now().connections, 2);
    waiter = must_spawn(accept_one, &door);
    await_acceptors(4, 1);
    CHECK_EQ(weft_close(first), 0);
    first = must_join(waiter);
    CHECK(first >= 0);
    CHECK_EQ(stats_now().connections, 2);
    CHECK_EQ(weft_close(second), 0);
    second = weft_accept(door.listener, 0);
    CHECK(second >= 0);
    close_all((int[]){first, second, door.listener}, 3);
    CHECK_EQ(stats_now().connections, 0);
    close_all(clients, 4);
    return 0;
}

/* A call beyond the limit waits, is ended by its deadline or a cancel with nothing accepted, and
 * goes on when a connection is closed.  One whose deadline has passed takes what is there. */
WORKER_TEST(connection_limit, calls_beyond_it_wait, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 2, wait_at_the_limit, NULL), 0);
}

struct server {
    struct door door;
    _Atomic(unsigned) open, most;
};

static int serve(void *arg)
{
    struct server *server = arg;
    char byte;
    int fd;

    while ((fd = weft_accept(server->door.listener, WEFT_FOREVER)) >= 0) {
        unsigned open = atomic_fetch_add(&server->open, 1) + 1, most = atomic_load(&server->most);

        while (open > most && !atomic_compare_exchange_weak(&server->most, &most, open))
            continue;
        CHECK(stats_now().connections <= LIMIT);
        if (weft_read(fd, &byte, 1, WEFT_FOREVER) == 1)
            CHECK_EQ(weft_write(fd, &byte, 1, WEFT_FOREVER), 1);
        (void)weft_yield();
        (void)atomic_fetch_sub(&server->open, 1);
        CHECK_EQ(weft_close(fd), 0);
    }
    CHECK_EQ(fd, -ECANCELED);
    return 0;
}

static int ask(void *arg)
{
    struct server *server = arg;
    char byte = 'x';
    int fd = make_tcp_socket();

    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&server->door.address, sizeof server->door.address,
                          WEFT_FOREVER),
             0);
    CHECK_EQ(weft_write(fd, &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(fd, &byte, 1, WEFT_FOREVER), 1);
    return weft_close(fd);
}

static int serve_many(void *arg)
{
    struct server server = {.door = open_door()};
    weft_fiber *acceptors[2 * LIMIT], *clients[CLIENTS];

    (void)arg;
    for (int i = 0; i < 2 * LIMIT; i++)
        acceptors[i] = must_spawn(serve, &server);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = must_spawn(ask, &server);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(must_join(clients[i]), 0);
    for (int i = 0; i < 2 * LIMIT; i++)
        weft_cancel(acceptors[i]);
    for (int i = 0; i < 2 * LIMIT; i++)
        CHECK_EQ(must_join(acceptors[i]), 0);
    CHECK_EQ(weft_close(server.door.listener), 0);
    CHECK(atomic_load(&server.most) <= LIMIT);
    CHECK_EQ(stats_now().connections, 0);
    return 0;
}

/* There are never more open than the limit says, and each client has its turn. */
WORKER_TEST(connection_limit, no_more_are_open, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, LIMIT, serve_many, NULL), 0);
}

/* The same, with each seed in another order, and completions that overtake cancels. */
Test(connection_limit, no_more_are_open_in_simulations, .init = forget_backend,
     .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.max_connections = LIMIT};
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.config = &config;
    options.faults = WEFT_SIM_LATE | WEFT_SIM_LATE_CANCEL | WEFT_SIM_CANCEL_FIRST;
    options.fault_ppm = 100000;
    for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++)
        cr_assert_eq(simulate(&options, serve_many, NULL), 0, "seed %d", (int)options.seed);
}

static int accept_at_another_door(void *arg)
{
    struct door idle = open_door(), busy = open_door();
    weft_fiber *waiter = must_spawn(accept_one, &idle);
    int client = knock(&busy), fd;

    (void)arg;
    await_acceptors(0, 1);
    fd = weft_accept(busy.listener, weft_after(DOOR_PATIENCE));
    CHECK(fd >= 0);
    CHECK_EQ(stats_now().connections, 1);
    weft_cancel(waiter);
    CHECK_EQ(must_join(waiter), -ECANCELED);
    close_all((int[]){fd, client, idle.listener, busy.listener}, 4);
    return 0;
}

/* A fiber that waits for a client keeps no turn from a listener that has one. */
WORKER_TEST(connection_limit, who_waits_for_a_client_has_no_turn, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, accept_at_another_door, NULL), 0);
}

struct place {
    struct door *door;
    int number;
    _Atomic(int) *served;
};

static int accept_in_order(void *arg)
{
    struct place *place = arg;
    int fd = weft_accept(place->door->listener, WEFT_FOREVER);

    CHECK(fd >= 0);
    CHECK_EQ(atomic_fetch_add(place->served, 1), place->number);
    return weft_close(fd);
}

static int wait_in_order(void *arg)
{
    struct door door = open_door();
    struct place places[CROWD];
    weft_fiber *waiters[CROWD];
    int clients[CROWD + 1], first;
    _Atomic(int) served = 0;

    (void)arg;
    for (int i = 0; i <= CROWD; i++)
        clients[i] = knock(&door);
    first = weft_accept(door.listener, WEFT_FOREVER);
    CHECK(first >= 0);
    for (int i = 0; i < CROWD; i++) {
        places[i] = (struct place){&door, i, &served};
        waiters[i] = must_spawn(accept_in_order, &places[i]);
        await_acceptors((uint64_t)i + 1, (uint64_t)i + 1);
    }
    CHECK_EQ(weft_close(first), 0);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(waiters[i]), 0);
    close_all(clients, CROWD + 1);
    return weft_close(door.listener);
}

/* Whoever has waited longest comes first. */
WORKER_TEST(connection_limit, turns_come_in_order, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, wait_in_order, NULL), 0);
}

static int cancel_at_the_limit(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 1);
    struct door door = open_door();
    int client = knock(&door);

    for (int i = 0; i < RACES; i++) {
        int results[DOOR_RACERS], accepted = 0;

        cancel_soon(&random, accept_one, &door, results);
        for (int k = 0; k < DOOR_RACERS; k++) {
            int fd = results[k];

            CHECK(fd >= 0 || fd == -ECANCELED);
            accepted += fd >= 0;
            if (fd >= 0)
                CHECK_EQ(weft_close(fd), 0);
        }
        CHECK(accepted <= 1);
        CHECK_EQ(stats_now().connections, 0);
        if (accepted > 0) {
            CHECK_EQ(weft_close(client), 0);
            client = knock(&door);
        }
    }
    close_all((int[]){weft_accept(door.listener, WEFT_FOREVER), client, door.listener}, 3);
    return 0;
}

/* Whoever gives up, before it has a turn or after, gives it back: one that is lost is a client that
 * is never served. */
WORKER_TEST(connection_limit, cancels_lose_no_turn, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("connection_limit/cancels_lose_no_turn");

    cr_expect_eq(run_limited(*workers, 1, cancel_at_the_limit, &seed), 0);
}

static int read_byte(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static int wait_with_both(void *arg)
{
    struct door door = open_door();
    int clients[2] = {knock(&door), knock(&door)}, fds[2], fd;
    weft_fiber *waiter, *reader;

    (void)arg;
    make_pipe(fds);
    fd = weft_accept(door.listener, WEFT_FOREVER);
    CHECK(fd >= 0);
    waiter = must_spawn(accept_one, &door);
    await_acceptors(1, 1);
    reader = must_spawn(read_byte, &fds[0]);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(must_join(reader), 1);
    CHECK_EQ(weft_close(fd), 0);
    fd = must_join(waiter);
    CHECK(fd >= 0);
    close_all((int[]){fd, fds[0], fds[1], clients[0], clients[1], door.listener}, 6);
    return 0;
}

/* Who waits for a connection to end holds no operation up that its end may need. */
WORKER_TEST(connection_limit, operations_go_on_under_their_own_limit, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_connections = 1, .max_operations = 1};

    cr_expect_eq(run_config(&config, wait_with_both, NULL), 0);
}
