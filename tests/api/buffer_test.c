/* SPDX-License-Identifier: MIT */
/* buffer.h: receives into buffers that are lent, and max_buffer_memory_kib of struct weft_config.
 */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/random.h"
#include "../support/simulate.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READERS = 20, RACES = 100, LARGE = 2 * WEFT_LENT_SIZE + 1, UNLIMITED = 0 };

static void send_text(int fd, const char *text)
{
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Looks whether there are as many buffers as there were at first. */
static void count_buffers(int limit)
{
    void *buffers[8], *none = NULL;
    int fds[2];

    CHECK_EQ(stats_now().lent_buffers, 0);
    CHECK(limit < (int)(sizeof buffers / sizeof *buffers));
    make_socket_pair(fds);
    for (int i = 0; i < limit; i++) {
        send_text(fds[1], "x");
        CHECK_EQ(weft_recv_lent(fds[0], &buffers[i], 0, weft_after(DOOR_PATIENCE)), 1);
    }
    send_text(fds[1], "x");
    if (limit != UNLIMITED)
        CHECK_EQ(weft_recv_lent(fds[0], &none, 0, 0), -ETIMEDOUT);
    CHECK(none == NULL);
    for (int i = 0; i < limit; i++)
        weft_lent_return(buffers[i]);
    close_all(fds, 2);
}

/* `limit`: of buffers. */
static int run_lending(unsigned workers, uint32_t limit, int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = workers,
                                 .max_buffer_memory_kib = limit * (WEFT_LENT_SIZE / 1024)};
    int result = run_checked(&config, fn, arg, count_buffers, (int)limit);

    cr_expect_eq(run_stats().lent_buffers, 0);
    return result;
}

static int receive_all_kinds(void *arg)
{
    static const char large[LARGE];
    size_t received = 0;
    void *buffer;
    int fds[2], pipe[2];
    ssize_t n;

    (void)arg;
    make_tcp_pair(fds);
    CHECK_EQ(weft_recv_lent(fds[0], &buffer, 0, 0), -ETIMEDOUT);
    CHECK_EQ(weft_recv_lent(fds[0], &buffer, 0, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    send_text(fds[1], "hello");
    CHECK_EQ(weft_recv_lent(fds[0], &buffer, MSG_PEEK, WEFT_FOREVER), 5);
    weft_lent_return(buffer);
    CHECK_EQ(weft_recv_lent(fds[0], &buffer, 0, WEFT_FOREVER), 5);
    CHECK_EQ(memcmp(buffer, "hello", 5), 0);
    weft_lent_return(buffer);
    CHECK_EQ(weft_send_all(fds[1], large, sizeof large, 0, WEFT_FOREVER), LARGE);
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
    while ((n = weft_recv_lent(fds[0], &buffer, 0, WEFT_FOREVER)) > 0) {
        CHECK(n <= WEFT_LENT_SIZE);
        received += (size_t)n;
        weft_lent_return(buffer);
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(received, LARGE);
    close_all(fds, 2);
    make_pipe(pipe);
    CHECK_EQ(write(pipe[1], "x", 1), 1);
    CHECK_EQ(weft_recv_lent(pipe[0], &buffer, 0, WEFT_FOREVER), -ENOTSOCK);
    close_all(pipe, 2);
    CHECK_EQ(weft_recv_lent(NOT_OPEN, &buffer, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_recv_lent(-1, &buffer, 0, WEFT_FOREVER), -EBADF);
    weft_lent_return(NULL);
    return 0;
}

/* Whatever fails has no buffer. */
WORKER_TEST(buffer, they_hold_what_was_sent, TEST_TIMEOUT_S)
{
    void *buffer;

    for (uint32_t limit = UNLIMITED; limit <= 1; limit++)
        cr_expect_eq(run_lending(*workers, limit, receive_all_kinds, NULL), 0);
    cr_expect_eq(weft_recv_lent(0, &buffer, 0, WEFT_FOREVER), -EPERM);
}

struct reader {
    int fds[2];
    _Atomic(int) *order;
    int number;
};

/* Returns the buffer when others may have come. */
static int read_one(void *arg)
{
    struct reader *reader = arg;
    void *buffer;
    ssize_t n = weft_recv_lent(reader->fds[0], &buffer, 0, WEFT_FOREVER);

    if (n <= 0)
        return (int)n;
    CHECK_EQ(n, 1);
    CHECK_EQ(*(char *)buffer, 'x');
    CHECK(stats_now().lent_buffers >= 1);
    if (reader->order != NULL)
        CHECK_EQ(atomic_fetch_add(reader->order, 1), reader->number);
    (void)weft_yield();
    weft_lent_return(buffer);
    return 1;
}

static void await_waiters(uint64_t calls, uint64_t operations)
{
    await_blocked(offsetof(struct weft_stats, buffer_waits), calls, operations);
}

static int read_idle_connections(void *arg)
{
    struct reader readers[READERS] = {{.number = 0}};
    weft_fiber *fibers[READERS];

    (void)arg;
    for (int i = 0; i < READERS; i++) {
        make_socket_pair(readers[i].fds);
        fibers[i] = must_spawn(read_one, &readers[i]);
    }
    await_waiters(0, READERS);
    CHECK_EQ(stats_now().lent_buffers, 0);
    for (int i = 0; i < READERS; i++)
        send_text(readers[i].fds[1], "x");
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(must_join(fibers[i]), 1);
        close_all(readers[i].fds, 2);
    }
    return 0;
}

/* Idle connections leave the buffers to those that have something to say. */
WORKER_TEST(buffer, who_waits_for_data_has_none, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_lending(*workers, 1, read_idle_connections, NULL), 0);
}

static int wait_at_the_limit(void *arg)
{
    struct reader reader = {.number = 0};
    void *first, *buffer;
    weft_fiber *fiber;

    (void)arg;
    make_socket_pair(reader.fds);
    send_text(reader.fds[1], "x");
    CHECK_EQ(weft_recv_lent(reader.fds[0], &first, 0, 0), 1);
    send_text(reader.fds[1], "x");
    CHECK_EQ(weft_recv_lent(reader.fds[0], &buffer, 0, 0), -ETIMEDOUT);
    CHECK_EQ(weft_recv_lent(reader.fds[0], &buffer, 0, weft_after(2 * WEFT_MILLISECOND)),
             -ETIMEDOUT);
    CHECK_EQ(stats_now().buffer_waits, 2);
    fiber = must_spawn(read_one, &reader);
    await_waiters(3, 1);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    fiber = must_spawn(read_one, &reader);
    await_waiters(4, 1);
    CHECK_EQ(stats_now().lent_buffers, 1);
    weft_lent_return(first);
    CHECK_EQ(must_join(fiber), 1);
    close_all(reader.fds, 2);
    return 0;
}

/* A call beyond the limit waits for a buffer, is ended by its deadline or a cancel with the data
 * left where it is, and goes on when one is returned. */
WORKER_TEST(buffer, calls_beyond_the_limit_wait, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_lending(*workers, 1, wait_at_the_limit, NULL), 0);
}

/* Lends the only buffer, and lets all readers wait for it, one after the other. */
static void *crowd(struct reader *readers, weft_fiber **fibers, _Atomic(int) *order)
{
    void *first = NULL;

    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.order = order, .number = i};
        make_socket_pair(readers[i].fds);
        send_text(readers[i].fds[1], "xx");
        if (first == NULL)
            CHECK_EQ(weft_recv_lent(readers[i].fds[0], &first, MSG_PEEK, WEFT_FOREVER), 2);
        CHECK_EQ(recv(readers[i].fds[0], &(char){0}, 1, 0), 1);
        fibers[i] = must_spawn(read_one, &readers[i]);
        await_waiters((uint64_t)i + 1, (uint64_t)i + 1);
    }
    return first;
}

static void end_crowd(struct reader *readers, weft_fiber **fibers)
{
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(must_join(fibers[i]), 1);
        CHECK_EQ(weft_close(readers[i].fds[0]), 0);
    }
}

static int wait_in_order(void *arg)
{
    struct reader readers[READERS];
    weft_fiber *fibers[READERS];
    _Atomic(int) order = 0;

    (void)arg;
    weft_lent_return(crowd(readers, fibers, &order));
    end_crowd(readers, fibers);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(weft_close(readers[i].fds[1]), 0);
    return 0;
}

/* Whoever has waited longest comes first. */
WORKER_TEST(buffer, they_are_lent_in_order, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_lending(*workers, 1, wait_in_order, NULL), 0);
}

static int close_all_at_the_limit(void *arg)
{
    struct reader readers[READERS];
    weft_fiber *fibers[READERS];
    void *first = crowd(readers, fibers, NULL);

    (void)arg;
    for (int i = 0; i < READERS; i++)
        close_all(readers[i].fds, 2);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(must_join(fibers[i]), -EBADF);
    CHECK_EQ(stats_now().lent_buffers, 1);
    weft_lent_return(first);
    return 0;
}

/* A connection that somebody else closes is not kept by the wait for a buffer. */
WORKER_TEST(buffer, a_close_ends_the_wait, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_lending(*workers, 1, close_all_at_the_limit, NULL), 0);
}

/* Nobody watches a descriptor any more. */
static void await_end_of_watches(void)
{
    struct weft_stats stats;

    do {
        CHECK_EQ(weft_yield(), 0);
        stats = stats_now();
    } while (stats.ops_submitted != stats.ops_completed);
}

static int hang_up_at_the_limit(void *arg)
{
    struct reader readers[READERS];
    weft_fiber *fibers[READERS];
    void *first = crowd(readers, fibers, NULL);

    (void)arg;
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(weft_close(readers[i].fds[1]), 0);
    await_end_of_watches();
    CHECK_EQ(stats_now().lent_buffers, 1);
    weft_lent_return(first);
    end_crowd(readers, fibers);
    return 0;
}

/* What a peer has sent before it went is there when a buffer is. */
WORKER_TEST(buffer, a_peer_that_goes_takes_no_data_along, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_lending(*workers, 1, hang_up_at_the_limit, NULL), 0);
}

static int cancel_at_the_limit(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 1);
    struct reader reader = {.number = 0};

    make_socket_pair(reader.fds);
    send_text(reader.fds[1], "x");
    for (int i = 0; i < RACES; i++) {
        int results[DOOR_RACERS];

        cancel_soon(&random, read_one, &reader, results);
        for (int k = 0; k < DOOR_RACERS; k++) {
            int n = results[k];

            CHECK(n == 1 || n == -ECANCELED);
            if (n == 1)
                send_text(reader.fds[1], "x");
        }
        CHECK_EQ(stats_now().lent_buffers, 0);
    }
    close_all(reader.fds, 2);
    return 0;
}

/* Whoever gives up, before it has a buffer or after, leaves it to others. */
WORKER_TEST(buffer, cancels_lose_none, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("buffer/cancels_lose_none");

    cr_expect_eq(run_lending(*workers, 1, cancel_at_the_limit, &seed), 0);
}

static void *return_outside(void *arg)
{
    weft_lent_return(arg);
    return NULL;
}

static int return_here(void *arg)
{
    weft_lent_return(arg);
    return 0;
}

/* Lends a buffer, and has somebody wait for it. */
static void *lend_and_wait(struct reader *reader, weft_fiber **waiter)
{
    uint64_t waits = stats_now().buffer_waits;
    void *buffer;

    send_text(reader->fds[1], "x");
    CHECK_EQ(weft_recv_lent(reader->fds[0], &buffer, 0, WEFT_FOREVER), 1);
    send_text(reader->fds[1], "x");
    *waiter = must_spawn(read_one, reader);
    await_waiters(waits + 1, 1);
    return buffer;
}

static int return_elsewhere(void *arg)
{
    weft_runtime *other = arg;
    struct reader reader = {.number = 0};
    weft_fiber *waiter, *returner;
    pthread_t thread;

    make_socket_pair(reader.fds);
    CHECK_EQ(pthread_create(&thread, NULL, return_outside, lend_and_wait(&reader, &waiter)), 0);
    CHECK_EQ(must_join(waiter), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_spawn_on(other, NULL, &returner, return_here, lend_and_wait(&reader, &waiter)),
             0);
    CHECK_EQ(must_join(waiter), 1);
    CHECK_EQ(must_join(returner), 0);
    close_all(reader.fds, 2);
    return 0;
}

/* A buffer that is handed on is returned by whoever has it. */
WORKER_TEST(buffer, others_return_them, TEST_TIMEOUT_S)
{
    weft_runtime *other = start_other();

    cr_expect_eq(run_lending(*workers, 1, return_elsewhere, other), 0);
    cr_assert_eq(weft_stop(other), 0);
    (void)must_end(other);
}

static int keep_one(void *arg)
{
    void **buffer = arg;
    int fds[2];

    make_socket_pair(fds);
    send_text(fds[1], "kept");
    CHECK_EQ(weft_recv_lent(fds[0], buffer, 0, WEFT_FOREVER), 4);
    close_all(fds, 2);
    return 0;
}

static int return_that_of_another_run(void *arg)
{
    void **buffer = arg, *mine;

    CHECK_EQ(keep_one(&mine), 0);
    weft_lent_return(*buffer);
    CHECK_EQ(stats_now().lent_buffers, 1);
    weft_lent_return(mine);
    return 0;
}

/* It stays what it is, and is no concern of the next run's limit. */
WORKER_TEST(buffer, one_can_outlive_its_runtime, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_buffer_memory_kib = 16};
    void *buffers[2];

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run_config(&config, keep_one, &buffers[i]), 0);
        cr_expect_eq(run_stats().lent_buffers, 1);
        cr_expect_eq(memcmp(buffers[i], "kept", 4), 0);
    }
    weft_lent_return(buffers[0]);
    cr_expect_eq(run_lending(*workers, 1, return_that_of_another_run, &buffers[1]), 0);
}

static int talk(void *arg)
{
    int fd = (int)(intptr_t)arg;
    void *buffer;
    ssize_t n;

    while ((n = weft_recv_lent(fd, &buffer, 0, WEFT_FOREVER)) > 0) {
        CHECK(stats_now().lent_buffers <= 2);
        (void)weft_yield();
        weft_lent_return(buffer);
    }
    CHECK_EQ(n, 0);
    return weft_close(fd);
}

static int talk_in_simulation(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), clients[READERS];
    struct sockaddr_in address = local_address(listener);
    weft_fiber *fibers[READERS];
    char byte = 'x';

    (void)arg;
    for (int i = 0; i < READERS; i++) {
        int fd;

        clients[i] = make_tcp_socket();
        CHECK_EQ(
            weft_connect(clients[i], (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
        fd = weft_accept(listener, WEFT_FOREVER);
        CHECK(fd >= 0);
        fibers[i] = must_spawn(talk, (void *)(intptr_t)fd);
        CHECK_EQ(weft_send(clients[i], &byte, 1, 0, WEFT_FOREVER), 1);
    }
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(weft_send(clients[i], &byte, 1, 0, WEFT_FOREVER), 1);
        CHECK_EQ(weft_close(clients[i]), 0);
        CHECK_EQ(must_join(fibers[i]), 0);
    }
    CHECK_EQ(stats_now().lent_buffers, 0);
    return weft_close(listener);
}

/* There are never more, and all data has its turn, in whatever order things happen. */
Test(buffer, as_many_are_lent_in_simulations, .init = forget_backend, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.max_buffer_memory_kib = 2 * WEFT_LENT_SIZE / 1024};
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.config = &config;
    options.faults = WEFT_SIM_LATE | WEFT_SIM_LATE_CANCEL | WEFT_SIM_CANCEL_FIRST;
    options.fault_ppm = 100000;
    for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++)
        cr_assert_eq(simulate(&options, talk_in_simulation, NULL), 0, "seed %d", (int)options.seed);
}
