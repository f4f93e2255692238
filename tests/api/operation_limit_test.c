/* SPDX-License-Identifier: MIT */
/* max_operations of struct weft_config: operations wait their turn, until a deadline or a cancel.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/random.h"

#include <errno.h>
#include <unistd.h>

enum { READERS = 20, LIMIT = 3, RACES = 100 };

static int run_limited(unsigned workers, uint32_t limit, int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = workers, .max_operations = limit};

    return run_config(&config, fn, arg);
}

static uint64_t operations_under_way(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.ops_submitted - stats.ops_completed;
}

static void await_operations(uint64_t count)
{
    while (operations_under_way() != count)
        CHECK_EQ(weft_yield(), 0);
}

static void close_pipe(const int fds[2])
{
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

static int read_byte(void *arg)
{
    const int *fds = arg;
    char byte;

    return (int)weft_read(fds[0], &byte, 1, WEFT_FOREVER);
}

static int wait_at_the_limit(void *arg)
{
    int taken[2], ready[2], other[2];
    weft_fiber *holder, *waiter;
    char byte;

    (void)arg;
    make_pipe(taken);
    make_pipe(ready);
    make_pipe(other);
    CHECK_EQ(write(ready[1], "abc", 3), 3);
    holder = must_spawn(read_byte, taken);
    await_operations(1);
    CHECK_EQ(weft_read(ready[0], &byte, 1, 0), -ETIMEDOUT);
    CHECK_EQ(weft_read(ready[0], &byte, 1, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    waiter = must_spawn(read_byte, ready);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    weft_cancel(waiter);
    CHECK_EQ(must_join(waiter), -ECANCELED);
    CHECK_EQ(operations_under_way(), 1);
    close_pipe(other); /* goes ahead */
    waiter = must_spawn(read_byte, ready);
    CHECK_EQ(write(taken[1], "x", 1), 1);
    CHECK_EQ(must_join(holder), 1);
    CHECK_EQ(must_join(waiter), 1);
    CHECK_EQ(weft_read(ready[0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'b');
    close_pipe(taken);
    close_pipe(ready);
    return 0;
}

/* A call beyond the limit waits, is ended by its deadline or a cancel with nothing done, and goes
 * on when it is its turn.  A close that waited for others could wait for ever. */
WORKER_TEST(operation_limit, calls_beyond_it_wait_their_turn, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, wait_at_the_limit, NULL), 0);
}

static int read_many(void *arg)
{
    int pipes[READERS][2];
    weft_fiber *readers[READERS];

    (void)arg;
    for (int i = 0; i < READERS; i++) {
        make_pipe(pipes[i]);
        readers[i] = must_spawn(read_byte, pipes[i]);
    }
    await_operations(LIMIT);
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    CHECK_EQ(operations_under_way(), LIMIT);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(write(pipes[i][1], "x", 1), 1);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(must_join(readers[i]), 1);
    for (int i = 0; i < READERS; i++)
        close_pipe(pipes[i]);
    return 0;
}

/* There are as many under way as the limit says, and never more; all have their turn. */
WORKER_TEST(operation_limit, as_many_are_under_way, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, LIMIT, read_many, NULL), 0);
}

static int cancel_at_the_limit(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 1);
    int fds[2];
    char byte;

    make_pipe(fds);
    for (int i = 0; i < RACES; i++) {
        weft_fiber *fibers[3];

        for (int k = 0; k < 3; k++)
            fibers[k] = must_spawn(read_byte, fds);
        for (unsigned n = random_below(&random, 4); n > 0; n--)
            CHECK_EQ(weft_yield(), 0);
        for (int k = 0; k < 3; k++)
            weft_cancel(fibers[k]);
        for (int k = 0; k < 3; k++)
            CHECK_EQ(must_join(fibers[k]), -ECANCELED);
    }
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(weft_read(fds[0], &byte, 1, 0), 1);
    close_pipe(fds);
    return 0;
}

/* Whoever gives up, in the wait for its turn or after it, gives the turn back: one that is lost
 * stops all operations for good. */
WORKER_TEST(operation_limit, cancels_lose_no_turn, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("operation_limit/cancels_lose_no_turn");

    cr_expect_eq(run_limited(*workers, 1, cancel_at_the_limit, &seed), 0);
}

static int send_and_receive(void *arg)
{
    struct iovec part = {"message", 7};
    char got[8] = "";
    int sockets[2], file = make_file("contents", 8);

    (void)arg;
    make_tcp_pair(sockets);
    CHECK_EQ(weft_send_all(sockets[0], "hello", 5, 0, WEFT_FOREVER), 5);
    CHECK_EQ(weft_read_exact(sockets[1], got, 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_writev(sockets[0], &part, 1, WEFT_FOREVER), 7);
    CHECK_EQ(weft_recv(sockets[1], got, 7, 0, WEFT_FOREVER), 7);
    CHECK_EQ(weft_pread(file, got, 8, 0, WEFT_FOREVER), 8);
    CHECK_EQ(weft_fsync(file, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(file), 0);
    close_pipe(sockets);
    return 0;
}

/* One fiber after the other needs no more than one turn, also where a call is made of several. */
WORKER_TEST(operation_limit, one_is_enough_for_one_fiber, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_limited(*workers, 1, send_and_receive, NULL), 0);
}
