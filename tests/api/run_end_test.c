/* SPDX-License-Identifier: MIT */
/* runtime.h: fibers that are still alive when the first one returns. */
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

enum { LEFTOVERS_PER_KIND = 8 };

struct leftovers {
    int fds[2];
    int listener;
    int with_handles;
    int give_time; /* let them reach their waits before the first fiber returns */
    _Atomic(int) cancelled;
    _Atomic(int) ended;
};

static int end_with(struct leftovers *all, long long result)
{
    CHECK_EQ(result, -ECANCELED);
    CHECK(weft_is_cancelled());
    /* Level-triggered: the next call must not wait either. */
    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ECANCELED);
    (void)atomic_fetch_add(&all->cancelled, 1);
    return (int)result;
}

static int sleep_for_ever(void *arg)
{
    return end_with(arg, weft_sleep_until(WEFT_FOREVER));
}

static int sleep_an_hour(void *arg)
{
    return end_with(arg, weft_sleep(3600 * WEFT_SECOND));
}

static int read_for_ever(void *arg)
{
    struct leftovers *all = arg;
    char byte;

    return end_with(all, weft_read(all->fds[0], &byte, 1, WEFT_FOREVER));
}

static int accept_for_ever(void *arg)
{
    struct leftovers *all = arg;

    return end_with(all, weft_accept(all->listener, WEFT_FOREVER));
}

static int poll_for_ever(void *arg)
{
    struct leftovers *all = arg;

    return end_with(all, weft_poll_fd(all->fds[0], POLLIN, weft_after(3600 * WEFT_SECOND)));
}

static int yield_for_ever(void *arg)
{
    int result;

    while ((result = weft_yield()) == 0)
        ;
    return end_with(arg, result);
}

static int join_for_ever(void *arg)
{
    weft_fiber *child = NULL;
    int result = weft_spawn(&child, sleep_for_ever, arg);

    if (result == 0) {
        result = weft_join(child, NULL, WEFT_FOREVER);
        if (result == 0) /* the child was cancelled first, and has ended */
            result = weft_sleep_until(WEFT_FOREVER);
        else
            weft_detach(child);
    } else {
        (void)atomic_fetch_add(&((struct leftovers *)arg)->cancelled, 1);
    }
    return end_with(arg, result);
}

static int (*const kinds[])(void *) = {sleep_for_ever,  sleep_an_hour, read_for_ever,
                                       accept_for_ever, poll_for_ever, yield_for_ever,
                                       join_for_ever};

enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

static int leave_them_behind(void *arg)
{
    struct leftovers *all = arg;

    for (int i = 0; i < LEFTOVERS_PER_KIND; i++) {
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            weft_fiber *handle;
            CHECK_EQ(weft_spawn(all->with_handles ? &handle : NULL, kinds[kind], all), 0);
        }
    }
    if (all->give_time)
        CHECK_EQ(weft_sleep(20 * WEFT_MILLISECOND), 0);
    return 42;
}

static void run_with_leftovers(unsigned workers, int with_handles, int give_time)
{
    struct leftovers all = {.with_handles = with_handles, .give_time = give_time};
    /* join_for_ever leaves two: itself and its child. */
    int expected = LEFTOVERS_PER_KIND * (KIND_COUNT + 1);

    make_socket_pair(all.fds);
    all.listener = weft_listen_tcp("127.0.0.1", 0);
    cr_assert_geq(all.listener, 0);
    cr_expect_eq(run_workers(workers, leave_them_behind, &all), 42);
    cr_expect_eq(all.cancelled, expected, "%d of %d fibers saw the cancel", all.cancelled,
                 expected);
    (void)close(all.listener);
    (void)close(all.fds[0]);
    (void)close(all.fds[1]);
}

/* A fiber that outlives weft_run() would run on data that its caller has already freed; one that
 * is not cancelled would make weft_run() hang. */
WORKER_TEST(run_end, waiting_fibers_are_cancelled_and_waited_for, TEST_TIMEOUT_S)
{
    run_with_leftovers(*workers, 0, 1);
}

/* The same for fibers that have not run at all: each still runs its function, because that is
 * where its resources are given back. */
WORKER_TEST(run_end, fibers_that_never_ran_are_cancelled_too, TEST_TIMEOUT_S)
{
    run_with_leftovers(*workers, 0, 0);
}

/* Handles that nobody gave up are gone with the run: their fibers must not leak. */
WORKER_TEST(run_end, handles_that_nobody_gave_up_are_freed, TEST_TIMEOUT_S)
{
    run_with_leftovers(*workers, 1, 1);
}

static int spawn_at_the_end(void *arg)
{
    struct leftovers *all = arg;
    weft_fiber *untouched = (weft_fiber *)all;
    weft_fiber *fiber = untouched;

    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_spawn(&fiber, sleep_for_ever, all), -ECANCELED);
    CHECK(fiber == untouched);
    CHECK_EQ(weft_spawn(NULL, sleep_for_ever, all), -ECANCELED);
    (void)atomic_fetch_add(&all->ended, 1);
    return 0;
}

static int leave_spawners(void *arg)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_spawn(NULL, spawn_at_the_end, arg), 0);
    return weft_yield();
}

/* A fiber that answers its cancel by spawning could keep the run from ever ending. */
WORKER_TEST(run_end, nothing_can_be_spawned_any_more, TEST_TIMEOUT_S)
{
    struct leftovers all = {.ended = 0};

    cr_expect_eq(run_workers(*workers, leave_spawners, &all), 0);
    cr_expect_eq(all.ended, 10);
    cr_expect_eq(run_stats().fibers_spawned, 11);
}

static int clean_up_slowly(void *arg)
{
    struct leftovers *all = arg;

    for (int i = 0; i < 1000; i++)
        (void)weft_yield();
    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ECANCELED);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), -ECANCELED);
    (void)atomic_fetch_add(&all->ended, 1);
    return 0;
}

static int leave_slow_ones(void *arg)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_spawn(NULL, clean_up_slowly, arg), 0);
    return 0;
}

/* The run waits for the ends of fibers, not for the first answer to the cancel. */
WORKER_TEST(run_end, slow_cleanup_is_waited_for, TEST_TIMEOUT_S)
{
    struct leftovers all = {.ended = 0};

    cr_expect_eq(run_workers(*workers, leave_slow_ones, &all), 0);
    cr_expect_eq(all.ended, 10);
}

static int return_three(void *arg)
{
    (void)arg;
    return 3;
}

static int leave_ended_handle(void *arg)
{
    weft_fiber *ended = must_spawn(return_three, NULL);

    (void)arg;
    /* Ended before or after the first fiber returns: the handle was not given up in either case. */
    CHECK(ended != NULL);
    return weft_yield();
}

/* The record of a fiber that ended unjoined waits for a joiner that can no longer come. */
WORKER_TEST(run_end, an_ended_fiber_that_nobody_joined_is_freed, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 20; i++)
        cr_expect_eq(run_workers(*workers, leave_ended_handle, NULL), 0);
}
