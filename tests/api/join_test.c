/* SPDX-License-Identifier: MIT */
/* fiber.h: join and detach. */
#include "../support/fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

static int return_arg(void *arg)
{
    return (int)(intptr_t)arg;
}

static int wait_for_flag(void *arg)
{
    await_flag(arg);
    return 11;
}

static int join_results(void *arg)
{
    static const int results[] = {0, 1, 77, -1, -ETIMEDOUT, -ECANCELED, INT_MAX, INT_MIN};

    (void)arg;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        weft_fiber *fiber = must_spawn(return_arg, (void *)(intptr_t)results[i]);
        CHECK_EQ(must_join(fiber), results[i]);
        fiber = must_spawn(return_arg, (void *)(intptr_t)results[i]);
        CHECK_EQ(weft_join(fiber, NULL, WEFT_FOREVER), 0);
    }
    return 0;
}

/* A fiber that returns -ETIMEDOUT is not a join that timed out: the results must not mix. */
WORKER_TEST(join, takes_any_result, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, join_results, NULL), 0);
}

static int time_out_and_retry(void *arg)
{
    _Atomic(int) flag = 0;
    weft_fiber *fiber = must_spawn(wait_for_flag, &flag);
    int result = 5;

    (void)arg;
    for (int i = 0; i < 5; i++) {
        weft_time deadline = weft_after(2 * WEFT_MILLISECOND);
        CHECK_EQ(weft_join(fiber, &result, deadline), -ETIMEDOUT);
        CHECK(weft_now() >= deadline);
        CHECK_EQ(weft_join(fiber, &result, 0), -ETIMEDOUT);
        CHECK_EQ(weft_join(fiber, &result, weft_after(-WEFT_SECOND)), -ETIMEDOUT);
        CHECK_EQ(result, 5);
    }
    atomic_store(&flag, 1);
    CHECK_EQ(weft_join(fiber, &result, weft_after(3600 * WEFT_SECOND)), 0);
    return result;
}

/* After a timeout the handle is still the caller's, the result untouched, and the fiber has no
 * joiner: the next join is neither "the second one" nor lost. */
WORKER_TEST(join, a_timeout_leaves_the_handle_valid, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, time_out_and_retry, NULL), 11);
}

static int set_flag(void *arg)
{
    atomic_store((_Atomic(int) *)arg, 1);
    return 12;
}

static int join_ended(void *arg)
{
    const weft_time deadlines[] = {0, -1, INT64_MIN, weft_after(-WEFT_SECOND), WEFT_FOREVER};

    (void)arg;
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
        _Atomic(int) flag = 0;
        weft_fiber *fiber = must_spawn(set_flag, &flag);
        struct weft_stats stats;
        int result = 0;
        await_flag(&flag);
        do { /* the flag is set a moment before the end */
            CHECK_EQ(weft_yield(), 0);
            CHECK_EQ(weft_stats_read(&stats), 0);
        } while (stats.fibers_finished < i + 1);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_join(fiber, &result, deadlines[i]), 0);
        CHECK_EQ(result, 12);
    }
    return 0;
}

/* What has happened already is reported even if the deadline has passed: otherwise a program
 * under load would see timeouts for finished work. */
WORKER_TEST(join, an_ended_fiber_is_joined_after_the_deadline, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, join_ended, NULL), 0);
}

static int race_deadline_with_end(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        weft_fiber *fiber = must_spawn(return_arg, (void *)(intptr_t)i);
        int result = -1;
        int error = weft_join(fiber, &result, weft_after(i % 3 * 100));
        CHECK(error == 0 || error == -ETIMEDOUT);
        if (error == -ETIMEDOUT) {
            CHECK_EQ(result, -1);
            CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        }
        CHECK_EQ(result, i);
    }
    return 0;
}

/* The end of the fiber and the joiner's timer may come at the same time: exactly one of the two
 * answers, and never a wake for a join that has returned already. */
WORKER_TEST(join, the_end_and_the_deadline_race, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_deadline_with_end, NULL), 0);
}

static int join_arg(void *arg)
{
    return must_join(arg) + 1;
}

static int join_chain(void *arg)
{
    enum { LENGTH = 100 };
    _Atomic(int) flag = 0;
    weft_fiber *last = must_spawn(wait_for_flag, &flag);

    (void)arg;
    for (int i = 0; i < LENGTH; i++)
        last = must_spawn(join_arg, last);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    atomic_store(&flag, 1);
    return must_join(last);
}

/* A handle may be joined by another fiber than the one that spawned: ownership moves with it. */
WORKER_TEST(join, handles_can_be_passed_on, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, join_chain, NULL), 111);
}

static int detach_before_end(void *arg)
{
    _Atomic(int) *flags = arg;
    weft_fiber *fiber = must_spawn(wait_for_flag, &flags[0]);

    weft_detach(fiber);
    CHECK_EQ(weft_yield(), 0);
    atomic_store(&flags[0], 1);
    return 0;
}

/* Detaching a running fiber: it goes on, and frees itself (the fixture counts). */
WORKER_TEST(detach, before_the_end, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 20; i++) {
        _Atomic(int) flags[1] = {0};
        cr_expect_eq(run_workers(*workers, detach_before_end, flags), 0);
    }
}

static int detach_after_end(void *arg)
{
    enum { FIBERS = 100 };
    weft_fiber *fibers[FIBERS];
    struct weft_stats stats;

    (void)arg;
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(return_arg, NULL);
    do {
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.fibers_finished < FIBERS);
    for (int i = 0; i < FIBERS; i++)
        weft_detach(fibers[i]);
    do { /* they are freed by now or soon: waiting for the run to end would hide a leak */
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.fibers_freed < FIBERS);
    return 0;
}

/* Detaching a fiber that has ended: now it is the detach that must free it. */
WORKER_TEST(detach, after_the_end, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, detach_after_end, NULL), 0);
}

static int race_detach_with_end(void *arg)
{
    _Atomic(int) *ran = arg;

    for (int i = 0; i < 2000; i++) {
        weft_fiber *fiber = must_spawn(set_flag, ran);
        if (i % 2)
            CHECK_EQ(weft_yield(), 0);
        weft_detach(fiber);
    }
    return 0;
}

/* Both sides free the fiber, or neither: the classic of reference counts.  The counters of the
 * fixture and the sanitizers see either. */
WORKER_TEST(detach, races_with_the_end, TEST_TIMEOUT_S)
{
    _Atomic(int) ran = 0;

    cr_expect_eq(run_workers(*workers, race_detach_with_end, &ran), 0);
}

static int detach_after_timeout(void *arg)
{
    _Atomic(int) *flag = arg;
    weft_fiber *fiber = must_spawn(wait_for_flag, flag);

    CHECK_EQ(weft_join(fiber, NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_detach(fiber);
    atomic_store(flag, 1);
    return weft_yield();
}

/* Wait for a while, then let it go: the usual end of a server's connection. */
WORKER_TEST(detach, after_a_join_that_timed_out, TEST_TIMEOUT_S)
{
    _Atomic(int) flag = 0;

    cr_expect_eq(run_workers(*workers, detach_after_timeout, &flag), 0);
}
