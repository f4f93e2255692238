/* SPDX-License-Identifier: MIT */
/* Connections that all began on one worker: when it has more to do than it can, others take some of
 * them, for good. */
#include "../support/fixture.h"
#include "../support/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 32,
    WINDOW = CONNECTIONS * 100, /* requests */
    REQUEST_NS = 50000,         /* of computing */
    PATIENCE_S = 60,
    /* In a window, so that it counts: part of the requests that each worker does at least, and of
     * those that another worker does than the one before on the same connection at most. */
    LEAST_PERCENT = 20,
    MOVED_PERCENT = 10,
};

struct connection {
    int ends[2]; /* the server's, the client's */
    int worker;  /* that served the last request */
};

struct server {
    struct connection connections[CONNECTIONS];
    _Atomic(unsigned) served[2], moved;
    bool has_spread; /* the client writes, then the test reads */
};

static _Atomic(struct server *) server;

static void compute(void)
{
    weft_time end = weft_now() + REQUEST_NS;

    while (weft_now() < end)
        ;
}

/* Until the client hangs up. */
static int serve(void *arg)
{
    struct connection *connection = arg;
    char byte;

    while (weft_read(connection->ends[0], &byte, 1, WEFT_FOREVER) == 1) {
        int worker = weft_worker_index();

        CHECK(worker == 0 || worker == 1);
        atomic_fetch_add(&atomic_load(&server)->served[worker], 1);
        if (connection->worker != worker)
            atomic_fetch_add(&atomic_load(&server)->moved, 1);
        connection->worker = worker;
        compute();
        CHECK_EQ(weft_write(connection->ends[0], &byte, 1, WEFT_FOREVER), 1);
    }
    return 0;
}

static bool is_spread(struct server *mine)
{
    unsigned first = atomic_exchange(&mine->served[0], 0);
    unsigned second = atomic_exchange(&mine->served[1], 0);
    unsigned moved = atomic_exchange(&mine->moved, 0), all = first + second;

    return first * 100 >= all * LEAST_PERCENT && second * 100 >= all * LEAST_PERCENT &&
           moved * 100 <= all * MOVED_PERCENT;
}

/* All connections have a request under way all the time, until they have spread. */
static void *ask(void *arg)
{
    struct server *mine = arg;
    weft_time end = weft_now() + PATIENCE_S * WEFT_SECOND;
    char byte = 'x';

    do {
        for (int round = 0; round < WINDOW / CONNECTIONS; round++) {
            for (int i = 0; i < CONNECTIONS; i++)
                CHECK_EQ(write(mine->connections[i].ends[1], &byte, 1), 1);
            for (int i = 0; i < CONNECTIONS; i++)
                CHECK_EQ(read(mine->connections[i].ends[1], &byte, 1), 1);
        }
        mine->has_spread = is_spread(mine);
    } while (!mine->has_spread && weft_now() < end);
    for (int i = 0; i < CONNECTIONS; i++)
        CHECK_EQ(shutdown(mine->connections[i].ends[1], SHUT_WR), 0);
    return NULL;
}

static int serve_all(void *arg)
{
    struct server *mine = arg;
    weft_fiber *fibers[CONNECTIONS];
    pthread_t client;

    for (int i = 0; i < CONNECTIONS; i++)
        fibers[i] = must_spawn(serve, &mine->connections[i]);
    CHECK_EQ(pthread_create(&client, NULL, ask, mine), 0);
    for (int i = 0; i < CONNECTIONS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(pthread_join(client, NULL), 0);
    return 0;
}

Test(spread, busy_connections_go_to_other_workers_and_stay, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 2, .monitor = 3};
    static struct server mine;

    if (getenv("WEFT_CHAOS") != NULL)
        cr_skip_test("chaos has each fiber run on another worker");
    (void)unsetenv("WEFT_WORKERS");
    for (int i = 0; i < CONNECTIONS; i++)
        make_socket_pair(mine.connections[i].ends);
    atomic_store(&server, &mine);
    cr_expect_eq(run_config(&config, serve_all, &mine), 0);
    cr_expect(mine.has_spread);
    for (int i = 0; i < CONNECTIONS; i++) {
        (void)close(mine.connections[i].ends[0]);
        (void)close(mine.connections[i].ends[1]);
    }
}
