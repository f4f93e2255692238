/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are closed, and fibers that are cancelled, from outside their runtime, where
 * that takes more than a submission queue has room for in one go.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CROWD = 300, ROUNDS = 5 };

/* A runtime, and those who wait in it. */
struct side {
    weft_runtime *runtime;
    struct side *other;
    weft_fiber *fibers[CROWD];
    int fds[2];
    _Atomic(int) is_ready, is_over;
};

/* Queues as small as can be, and no monitor whose spares come to the rescue. */
static weft_runtime *start(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = workers, .ring_entries = 8, .monitor = 3};
    weft_runtime *runtime;

    cr_assert_eq(weft_start(&config, fn, arg, &runtime), 0);
    return runtime;
}

static int receive(void *arg)
{
    const struct side *side = arg;
    char byte;

    return (int)weft_recv(side->fds[0], &byte, 1, 0, WEFT_FOREVER);
}

static void begin_receives(struct side *side)
{
    struct weft_stats stats;

    make_socket_pair(side->fds);
    for (int i = 0; i < CROWD; i++)
        side->fibers[i] = must_spawn(receive, side);
    do {
        CHECK_EQ(weft_sleep(50 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted - stats.ops_completed < CROWD);
}

static void end_receives(struct side *side, int result)
{
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(side->fibers[i]), result);
}

static int close_others(void *arg)
{
    struct side *side = arg;

    while (!atomic_load(&side->is_over)) {
        int fd = fcntl(side->fds[1], F_DUPFD_CLOEXEC, 0);

        CHECK(fd >= 0);
        CHECK_EQ(weft_close(fd), 0);
        (void)weft_yield();
    }
    return 0;
}

static int receive_until_closed(void *arg)
{
    struct side *side = arg;
    weft_fiber *closer;

    begin_receives(side);
    closer = must_spawn(close_others, side);
    atomic_store(&side->is_ready, 1);
    end_receives(side, -EBADF);
    atomic_store(&side->is_over, 1);
    CHECK_EQ(must_join(closer), 0);
    return weft_close(side->fds[1]);
}

/* The worker that is to make room closes, too, and there is another runtime to look into. */
WORKER_TEST(io_close_crossing, a_plain_thread_and_a_worker_close, TEST_TIMEOUT_S)
{
    struct resources before = resources_now();

    for (int i = 0; i < ROUNDS; i++) {
        struct side side = {.is_ready = 0};
        weft_runtime *idle = start(1, NULL, NULL);

        side.runtime = start(*workers, receive_until_closed, &side);
        while (!atomic_load(&side.is_ready))
            (void)usleep(100);
        cr_expect_eq(weft_close(side.fds[0]), 0);
        cr_expect_eq(must_end(side.runtime), 0);
        cr_assert_eq(weft_stop(idle), 0);
        (void)must_end(idle);
    }
    assert_resources_return_to(before);
}

static int close_the_others(void *arg)
{
    struct side *side = arg;

    begin_receives(side);
    atomic_store(&side->is_ready, 1);
    await_flag(&side->other->is_ready);
    CHECK_EQ(weft_close(side->other->fds[0]), 0);
    end_receives(side, -EBADF);
    return weft_close(side->fds[1]);
}

static int cancel_the_others(void *arg)
{
    struct side *side = arg;

    begin_receives(side);
    atomic_store(&side->is_ready, 1);
    await_flag(&side->other->is_ready);
    for (int i = 0; i < CROWD; i++)
        weft_cancel(side->other->fibers[i]);
    /* The other side joins its fibers when we have done with them, and we ours. */
    atomic_store(&side->other->is_over, 1);
    await_flag(&side->is_over);
    end_receives(side, -ECANCELED);
    CHECK_EQ(weft_close(side->fds[0]), 0);
    return weft_close(side->fds[1]);
}

static void run_both(unsigned workers, int (*fn)(void *))
{
    struct resources before = resources_now();

    for (int i = 0; i < ROUNDS; i++) {
        struct side sides[2] = {{.other = &sides[1]}, {.other = &sides[0]}};

        for (int j = 0; j < 2; j++)
            sides[j].runtime = start(workers, fn, &sides[j]);
        for (int j = 0; j < 2; j++)
            cr_expect_eq(must_end(sides[j].runtime), 0);
    }
    assert_resources_return_to(before);
}

/* Each waits for room in the queues of the other, which only the other can make. */
WORKER_TEST(io_close_crossing, two_runtimes_close_each_others, TEST_TIMEOUT_S)
{
    run_both(*workers, close_the_others);
}

WORKER_TEST(io_close_crossing, two_runtimes_cancel_each_others, TEST_TIMEOUT_S)
{
    run_both(*workers, cancel_the_others);
}
