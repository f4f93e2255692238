/* SPDX-License-Identifier: MIT */
/* timer.h: one-shot and periodic timers, moved and cancelled from anywhere. */
#include "../support/fixture.h"
#include "../support/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { RACES = TEST_IS_TSAN ? 100 : 400, MOVES = 20000, WAITERS = 8, THREADS = 2 };

#define MS WEFT_MILLISECOND

static int wait_once(void *arg)
{
    weft_timer *timer = arg;
    weft_time when = weft_now() + 3 * MS;

    CHECK_EQ(weft_timer_wait(timer, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(weft_timer_next(timer), WEFT_FOREVER);
    CHECK_EQ(weft_timer_move(timer, when), -ENODATA);
    CHECK(!weft_timer_cancel(timer));
    CHECK_EQ(weft_timer_arm(timer, when, 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(weft_timer_next(timer), when);
    CHECK_EQ(weft_timer_wait(timer, WEFT_FOREVER), 1);
    CHECK(weft_now() >= when);
    CHECK_EQ(weft_timer_wait(timer, WEFT_FOREVER), -ENODATA);
    CHECK(!weft_timer_cancel(timer));
    return 0;
}

WORKER_TEST(timer, expires_once_and_not_early, TEST_TIMEOUT_S)
{
    weft_timer timer = WEFT_TIMER_INIT;

    cr_expect_eq(run_workers(*workers, wait_once, &timer), 0);
    cr_expect_eq(wait_once(&timer), 0, "a plain thread");
}

static int let_deadlines_pass(void *arg)
{
    weft_timer *timer = arg;

    CHECK_EQ(weft_timer_arm(timer, weft_now() + 3600 * WEFT_SECOND, 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(weft_timer_wait(timer, 0), -ETIMEDOUT);
    CHECK_EQ(weft_timer_wait(timer, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_timer_wait(timer, weft_after(MS)), -ETIMEDOUT);
    CHECK_EQ(weft_timer_arm(timer, -5, 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(weft_timer_wait(timer, -7), 1);
    CHECK_EQ(weft_timer_arm(timer, WEFT_FOREVER, 1, WEFT_TIMER_SKIP), 0);
    CHECK_EQ(weft_timer_wait(timer, weft_after(MS)), -ETIMEDOUT);
    CHECK(weft_timer_cancel(timer));
    CHECK(!weft_timer_cancel(timer));
    return 0;
}

WORKER_TEST(timer, a_deadline_counts_only_before_the_expiration, TEST_TIMEOUT_S)
{
    weft_timer timer = WEFT_TIMER_INIT;

    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &timer), 0);
    cr_expect_eq(let_deadlines_pass(&timer), 0, "a plain thread");
}

Test(timer, refuses_what_makes_no_sense, .timeout = TEST_TIMEOUT_S)
{
    weft_timer timer = WEFT_TIMER_INIT;

    cr_expect_eq(weft_timer_arm(&timer, 1, -1, WEFT_TIMER_BURST), -EINVAL);
    cr_expect_eq(weft_timer_arm(&timer, 1, 1, (enum weft_timer_policy)3), -EINVAL);
    cr_expect_eq(weft_timer_wait(&timer, WEFT_FOREVER), -ENODATA, "it has armed it all the same");
    /* Periods that lead beyond the end of time. */
    cr_expect_eq(weft_timer_arm(&timer, 1, INT64_MAX, WEFT_TIMER_SKIP), 0);
    cr_expect_eq(weft_timer_wait(&timer, 0), 1);
    cr_expect_eq(weft_timer_next(&timer), WEFT_FOREVER);
    cr_expect_eq(weft_timer_arm(&timer, 1, INT64_MAX, WEFT_TIMER_DELAY), 0);
    cr_expect_eq(weft_timer_wait(&timer, 0), 1);
    cr_expect_eq(weft_timer_next(&timer), WEFT_FOREVER);
}

enum { LATE = 10 };

/* LATE periods and a bit have passed; perhaps more by now. */
static weft_time arm_late(weft_timer *timer, enum weft_timer_policy policy)
{
    weft_time when = weft_now() - LATE * MS - MS / 2;

    cr_assert_eq(weft_timer_arm(timer, when, MS, policy), 0);
    return when;
}

Test(timer, periods_that_were_missed_follow_the_policy, .timeout = TEST_TIMEOUT_S)
{
    weft_timer timer = WEFT_TIMER_INIT;
    weft_time when = arm_late(&timer, WEFT_TIMER_BURST), before;
    int64_t count;

    for (count = 1; count <= LATE; count++) {
        cr_assert_eq(weft_timer_wait(&timer, 0), 1, "%lld", (long long)count);
        cr_assert_eq(weft_timer_next(&timer), when + count * MS);
    }
    when = arm_late(&timer, WEFT_TIMER_SKIP);
    count = weft_timer_wait(&timer, 0);
    cr_expect_gt(count, LATE);
    cr_expect_eq(weft_timer_next(&timer), when + count * MS);
    (void)arm_late(&timer, WEFT_TIMER_DELAY);
    before = weft_now();
    cr_expect_gt(weft_timer_wait(&timer, 0), LATE);
    cr_expect_geq(weft_timer_next(&timer), before + MS);
    cr_expect_leq(weft_timer_next(&timer), weft_now() + MS);
}

static int count_periods(void *arg)
{
    weft_timer *timer = arg;
    weft_time first = weft_now() + MS;
    int64_t sum = 0;

    CHECK_EQ(weft_timer_arm(timer, first, MS, WEFT_TIMER_SKIP), 0);
    for (int i = 0; i < 20; i++) {
        int64_t count = weft_timer_wait(timer, WEFT_FOREVER);

        CHECK(count > 0);
        sum += count;
        CHECK(weft_now() >= first + (sum - 1) * MS);
        CHECK_EQ(weft_timer_next(timer), first + sum * MS);
    }
    return 0;
}

/* Each wake is late by a tick; a period counted from there would make the timer drift. */
WORKER_TEST(timer, a_period_does_not_drift, TEST_TIMEOUT_S)
{
    weft_timer timer = WEFT_TIMER_INIT;

    cr_expect_eq(run_workers(*workers, count_periods, &timer), 0);
    cr_expect_eq(count_periods(&timer), 0, "a plain thread");
}

struct shared {
    weft_timer timer;
    _Atomic(int64_t) reported;
    _Atomic(int) ended;
    _Atomic(int) is_over;
};

static int wait_for_ever(void *arg)
{
    struct shared *shared = arg;
    int64_t result = weft_timer_wait(&shared->timer, WEFT_FOREVER);

    (void)atomic_fetch_add(&shared->ended, 1);
    return (int)result;
}

static void *wait_in_thread(void *arg)
{
    return (void *)(intptr_t)wait_for_ever(arg);
}

static void *cancel_in_thread(void *arg)
{
    struct shared *shared = arg;

    while (!has_waiters(&shared->timer.queue))
        ;
    return (void *)(intptr_t)weft_timer_cancel(&shared->timer);
}

static int cancel_in_fiber(void *arg)
{
    struct shared *shared = arg;

    while (!has_waiters(&shared->timer.queue))
        CHECK_EQ(weft_yield(), 0);
    return weft_timer_cancel(&shared->timer);
}

static int cancel_waiters(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[WAITERS];
    pthread_t threads[THREADS];
    void *result;

    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(3600 * WEFT_SECOND), 0, WEFT_TIMER_BURST),
             0);
    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(wait_for_ever, shared);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_thread, shared), 0);
    CHECK_EQ(must_join(must_spawn(cancel_in_fiber, shared)), 1);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), -ENODATA);
    while (atomic_load(&shared->ended) < WAITERS + THREADS)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], &result), 0);
        CHECK_EQ((intptr_t)result, -ENODATA);
    }
    return 0;
}

static int cancel_from_a_thread(void *arg)
{
    struct shared *shared = arg;
    pthread_t thread;
    void *result;

    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(3600 * WEFT_SECOND), 0, WEFT_TIMER_BURST),
             0);
    CHECK_EQ(pthread_create(&thread, NULL, cancel_in_thread, shared), 0);
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(pthread_join(thread, &result), 0);
    return (int)(intptr_t)result;
}

WORKER_TEST(timer, a_cancel_from_anywhere_ends_all_waits, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, cancel_waiters, &shared), 0);
    cr_expect_eq(run_workers(*workers, cancel_from_a_thread, &shared), 1);
}

static int note_expiration(void *arg)
{
    struct shared *shared = arg;
    int64_t result = weft_timer_wait(&shared->timer, WEFT_FOREVER);

    if (result == 1)
        atomic_store(&shared->reported, 1);
    else
        CHECK_EQ(result, -ENODATA);
    return 0;
}

static int race_cancel_and_fire(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    int cancels = 0;

    for (int i = 0; i < RACES; i++) {
        struct shared *shared = calloc(1, sizeof *shared);
        int64_t ns = random_below(&random, 200) * WEFT_MICROSECOND;
        weft_fiber *fiber;
        bool was_armed;

        CHECK(shared != NULL);
        CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(ns), 0, WEFT_TIMER_BURST), 0);
        fiber = must_spawn(note_expiration, shared);
        CHECK_EQ(random_below(&random, 4) ? weft_sleep(ns) : weft_yield(), 0);
        was_armed = weft_timer_cancel(&shared->timer);
        CHECK_EQ(must_join(fiber), 0);
        CHECK_EQ(atomic_load(&shared->reported), !was_armed);
        cancels += was_armed;
        free(shared);
    }
    return cancels;
}

/* One of the two, never both, never none. */
WORKER_TEST(timer, of_cancel_and_expiration_one_succeeds, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("timer");

    cr_expect_geq(run_workers(*workers, race_cancel_and_fire, &seed), 0);
}

static int free_when_expired(void *arg)
{
    weft_timer *timer = arg;

    CHECK_EQ(weft_timer_wait(timer, WEFT_FOREVER), 1);
    free(timer);
    return 0;
}

static int let_waiters_free(void *arg)
{
    weft_fiber *fibers[WAITERS];

    for (int i = 0; i < WAITERS; i++) {
        weft_timer *timer = calloc(1, sizeof *timer);

        CHECK(timer != NULL);
        CHECK_EQ(weft_timer_arm(timer, weft_after(i * 50 * WEFT_MICROSECOND), 0, WEFT_TIMER_SKIP),
                 0);
        fibers[i] = must_spawn(free_when_expired, timer);
    }
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return arg != NULL;
}

WORKER_TEST(timer, the_waiter_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, let_waiters_free, NULL), 0);
}

static int share_periods(void *arg)
{
    struct shared *shared = arg;

    for (;;) {
        int64_t count = weft_timer_wait(&shared->timer, WEFT_FOREVER);

        if (count == -ENODATA)
            return 0;
        CHECK(count > 0);
        (void)atomic_fetch_add(&shared->reported, count);
        if (atomic_load(&shared->reported) > 30)
            (void)weft_timer_cancel(&shared->timer);
    }
}

static int wait_with_others(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[WAITERS];
    weft_time first = weft_now(), next;

    CHECK_EQ(weft_timer_arm(&shared->timer, first, MS / 4, WEFT_TIMER_SKIP), 0);
    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(share_periods, shared);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    /* No more than have passed, so none twice. */
    next = first + atomic_load(&shared->reported) * (MS / 4);
    CHECK(next <= weft_now() + MS / 4);
    return 0;
}

WORKER_TEST(timer, several_waiters_share_the_expirations, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, wait_with_others, &shared), 0);
}

static int move_earlier(void *arg)
{
    struct shared *shared = arg;

    while (!has_waiters(&shared->timer.queue))
        CHECK_EQ(weft_yield(), 0);
    return weft_timer_move(&shared->timer, weft_after(MS));
}

static int arm_earlier(void *arg)
{
    struct shared *shared = arg;

    while (!has_waiters(&shared->timer.queue))
        CHECK_EQ(weft_yield(), 0);
    return weft_timer_arm(&shared->timer, weft_after(MS), 0, WEFT_TIMER_BURST);
}

static int be_moved_earlier(void *arg)
{
    struct shared *shared = arg;
    int (*const movers[])(void *) = {move_earlier, arm_earlier};

    for (int i = 0; i < 2; i++) {
        weft_fiber *fiber;

        CHECK_EQ(weft_timer_arm(&shared->timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
        fiber = must_spawn(movers[i], shared);
        CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), 1);
        CHECK_EQ(must_join(fiber), 0);
    }
    return 0;
}

/* The waiter sleeps until a time that does not count any more. */
WORKER_TEST(timer, an_earlier_time_wakes_who_waits, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, be_moved_earlier, &shared), 0);
}

static int keep_moving(void *arg)
{
    struct shared *shared = arg;
    weft_time when = 0;

    for (int i = 0; i < MOVES; i++) {
        when = weft_after(MS);
        CHECK_EQ(weft_timer_move(&shared->timer, when), 0);
        if (i % 64 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    (void)atomic_fetch_add(&shared->ended, 1);
    return 0;
}

static int be_moved(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];

    /* So that no mover finds it expired: the moves may lower it by little at a time. */
    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(3600 * WEFT_SECOND), MS, WEFT_TIMER_SKIP),
             0);
    for (int i = 0; i < 2; i++)
        fibers[i] = must_spawn(keep_moving, shared);
    do
        CHECK(weft_timer_wait(&shared->timer, WEFT_FOREVER) >= 1);
    while (atomic_load(&shared->ended) < 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A move that loses against another, or against the waiter that takes the expiration, must be
 * seen by one of them: who sleeps on would sleep for an hour. */
WORKER_TEST(timer, is_moved_from_several_workers, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, be_moved, &shared), 0);
}

static int extend_idle_timeout(void *arg)
{
    struct shared *shared = arg;
    weft_time end = weft_after(20 * MS), last = 0;

    while (weft_now() < end) {
        last = weft_after(5 * MS);
        if (weft_timer_move(&shared->timer, last) != 0)
            return -ENODATA; /* it has expired: we did not run for 5 ms */
        CHECK_EQ(weft_yield(), 0);
    }
    atomic_store(&shared->reported, last);
    return 0;
}

static int idle(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fiber;

    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(5 * MS), 0, WEFT_TIMER_BURST), 0);
    fiber = must_spawn(extend_idle_timeout, shared);
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), 1);
    if (must_join(fiber) == 0)
        CHECK(weft_now() >= atomic_load(&shared->reported));
    return 0;
}

WORKER_TEST(timer, a_time_that_is_extended_does_not_come, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, idle, &shared), 0);
}

static int be_cancelled(void *arg)
{
    struct shared *shared = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *fiber;

    CHECK_EQ(weft_timer_arm(&shared->timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
    fiber = must_spawn(wait_for_ever, shared);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_yield(), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(weft_scope_open(&scope, weft_after(MS)), 0);
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK(!has_waiters(&shared->timer.queue));
    CHECK_EQ(weft_timer_arm(&shared->timer, weft_now(), 0, WEFT_TIMER_BURST), 0);
    weft_cancel(weft_self());
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), 1);
    CHECK_EQ(weft_timer_arm(&shared->timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(weft_timer_wait(&shared->timer, WEFT_FOREVER), -ECANCELED);
    CHECK(weft_timer_cancel(&shared->timer));
    return 0;
}

/* A cancel comes before, during and after the wait; what has expired is reported all the same. */
WORKER_TEST(timer, a_cancelled_fiber_does_not_wait, TEST_TIMEOUT_S)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    cr_expect_eq(run_workers(*workers, be_cancelled, &shared), 0);
}
