/* SPDX-License-Identifier: MIT */
/* barrier.h: crossings of fibers and plain threads, all or none. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FIBERS = 20, THREADS = 2, ALL = FIBERS + THREADS, ROUNDS = TEST_IS_TSAN ? 30 : 100 };

struct shared {
    weft_barrier barrier;
    int steps[ALL]; /* plain: what a party did before is seen after the crossing */
    _Atomic(int) next;
    _Atomic(int) begun;
    _Atomic(int) serials;
    _Atomic(int) ended;
};

static void yield_a_while(void)
{
    for (int i = 0; i < 50; i++)
        (void)weft_yield();
}

static void cross(struct shared *shared)
{
    int result = weft_barrier_wait(&shared->barrier, WEFT_FOREVER);

    CHECK(result == 0 || result == WEFT_BARRIER_SERIAL);
    (void)atomic_fetch_add(&shared->serials, result == WEFT_BARRIER_SERIAL);
}

/* All are in the same step between two crossings: one that ran ahead would be seen, and so would
 * one that was left behind. */
static void keep_step(struct shared *shared)
{
    int mine = atomic_fetch_add(&shared->next, 1);

    for (int step = 1; step <= ROUNDS; step++) {
        shared->steps[mine] = step;
        if ((mine + step) % 5 == 0)
            (void)weft_yield();
        cross(shared);
        for (int i = 0; i < ALL; i++)
            CHECK_EQ(shared->steps[i], step);
        cross(shared);
    }
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int keep_step_in_fiber(void *arg)
{
    keep_step(arg);
    return 0;
}

static void *keep_step_in_thread(void *arg)
{
    keep_step(arg);
    return NULL;
}

static int keep_step_in_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, keep_step_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, keep_step_in_fiber, shared), 0);
    while (atomic_load(&shared->ended) < ALL)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(barrier, nobody_goes_on_before_all_have_come, TEST_TIMEOUT_S)
{
    struct shared shared = {.barrier = WEFT_BARRIER_INIT(ALL)};

    cr_expect_eq(run_workers(*workers, keep_step_in_all, &shared), 0);
    cr_expect_eq(shared.serials, 2 * ROUNDS, "one of each crossing");
    cr_expect_null(shared.barrier.queue);
    cr_expect_eq(shared.barrier.arrived, 0);
}

static int wait_once(void *arg)
{
    struct shared *shared = arg;

    (void)atomic_fetch_add(&shared->begun, 1);
    return weft_barrier_wait(&shared->barrier, WEFT_FOREVER);
}

static void *wait_once_in_thread(void *arg)
{
    int result = wait_once(arg);

    (void)atomic_fetch_add(&((struct shared *)arg)->ended, 1);
    return (void *)(intptr_t)result;
}

/* Two fibers and a thread, as far as can be told waiting. */
static void start_three(struct shared *shared, weft_fiber **fibers, pthread_t *thread)
{
    atomic_store(&shared->begun, 0);
    atomic_store(&shared->ended, 0);
    for (int i = 0; i < 2; i++)
        fibers[i] = must_spawn(wait_once, shared);
    CHECK_EQ(pthread_create(thread, NULL, wait_once_in_thread, shared), 0);
    while (atomic_load(&shared->begun) < 3)
        (void)weft_yield();
    yield_a_while();
    CHECK_EQ(atomic_load(&shared->ended), 0);
}

static void expect_broken(struct shared *shared, weft_fiber **fibers, pthread_t thread)
{
    void *result;

    for (int i = 0; i < 2; i++)
        CHECK_EQ(must_join(fibers[i]), -EPIPE);
    while (atomic_load(&shared->ended) == 0)
        (void)weft_yield();
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, -EPIPE);
    CHECK(weft_barrier_is_broken(&shared->barrier));
    CHECK_EQ(weft_barrier_wait(&shared->barrier, WEFT_FOREVER), -EPIPE);
    weft_barrier_reset(&shared->barrier);
    CHECK(!weft_barrier_is_broken(&shared->barrier));
}

/* One of five does not come, for each reason that there is; then all five do. */
static int break_and_repair(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];
    weft_fiber *leaver;
    pthread_t thread;
    void *result;
    int serials;

    start_three(shared, fibers, &thread);
    CHECK_EQ(weft_barrier_wait(&shared->barrier, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    expect_broken(shared, fibers, thread);

    start_three(shared, fibers, &thread);
    CHECK_EQ(weft_barrier_wait(&shared->barrier, 0), -ETIMEDOUT);
    expect_broken(shared, fibers, thread);

    start_three(shared, fibers, &thread);
    leaver = must_spawn(wait_once, shared);
    weft_cancel(leaver); /* before it waits or while it does: both must end the same way */
    CHECK_EQ(must_join(leaver), -ECANCELED);
    expect_broken(shared, fibers, thread);

    start_three(shared, fibers, &thread);
    weft_barrier_break(&shared->barrier);
    expect_broken(shared, fibers, thread);

    start_three(shared, fibers, &thread);
    leaver = must_spawn(wait_once, shared);
    serials = weft_barrier_wait(&shared->barrier, WEFT_FOREVER);
    serials += must_join(leaver);
    for (int i = 0; i < 2; i++)
        serials += must_join(fibers[i]);
    while (atomic_load(&shared->ended) == 0)
        (void)weft_yield();
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ(serials + (int)(intptr_t)result, WEFT_BARRIER_SERIAL);
    return 0;
}

/* The others would wait for ever for the one that has gone. */
WORKER_TEST(barrier, one_that_does_not_come_breaks_it_until_it_is_reset, TEST_TIMEOUT_S)
{
    struct shared shared = {.barrier = WEFT_BARRIER_INIT(5)};

    cr_expect_eq(run_workers(*workers, break_and_repair, &shared), 0);
    cr_expect(!weft_barrier_is_broken(&shared.barrier));
    cr_expect_null(shared.barrier.queue);
}

static int reset_under_waiters(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];

    atomic_store(&shared->begun, 0);
    for (int i = 0; i < 2; i++)
        fibers[i] = must_spawn(wait_once, shared);
    /* A party that has not arrived yet does so after the reset: it is reset until all have come. */
    for (int i = 0; i < 2; i++) {
        int result;

        while (weft_join(fibers[i], &result, weft_after(WEFT_MILLISECOND)) == -ETIMEDOUT)
            weft_barrier_reset(&shared->barrier);
        CHECK_EQ(result, -EPIPE);
    }
    CHECK(!weft_barrier_is_broken(&shared->barrier));
    return 0;
}

WORKER_TEST(barrier, a_reset_sends_those_away_that_wait, TEST_TIMEOUT_S)
{
    struct shared shared = {.barrier = WEFT_BARRIER_INIT(3)};

    cr_expect_eq(run_workers(*workers, reset_under_waiters, &shared), 0);
    cr_expect_null(shared.barrier.queue);
}

/* The cancel of one races with the arrival of the last: all three cross, or none does. */
static int race_cancel_with_last(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < 3 * ROUNDS; i++) {
        weft_fiber *victim = must_spawn(wait_once, shared);
        weft_fiber *other = must_spawn(wait_once, shared);
        int results[3];

        for (int j = i % 4; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        if (i % 3 != 0)
            weft_cancel(victim);
        results[0] = weft_barrier_wait(&shared->barrier, WEFT_FOREVER);
        weft_cancel(victim);
        CHECK_EQ(weft_join(victim, &results[1], WEFT_FOREVER), 0);
        CHECK_EQ(weft_join(other, &results[2], WEFT_FOREVER), 0);
        if (weft_barrier_is_broken(&shared->barrier)) {
            CHECK_EQ(results[0], -EPIPE);
            CHECK_EQ(results[1], -ECANCELED);
            CHECK_EQ(results[2], -EPIPE);
            weft_barrier_reset(&shared->barrier);
        } else {
            CHECK(results[0] >= 0 && results[1] >= 0 && results[2] >= 0);
            CHECK_EQ(results[0] + results[1] + results[2], WEFT_BARRIER_SERIAL);
        }
    }
    return 0;
}

WORKER_TEST(barrier, all_cross_or_none_where_one_is_cancelled, TEST_TIMEOUT_S)
{
    struct shared shared = {.barrier = WEFT_BARRIER_INIT(3)};

    cr_expect_eq(run_workers(*workers, race_cancel_with_last, &shared), 0);
    cr_expect_null(shared.barrier.queue);
}

static int wait_a_moment(void *arg)
{
    struct shared *shared = arg;

    return weft_barrier_wait(&shared->barrier, weft_after(20 * WEFT_MICROSECOND));
}

/* The same with deadlines, of two that may both be first. */
static int race_deadline_with_last(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *other = must_spawn(wait_a_moment, shared);
        int results[2];

        results[0] = weft_barrier_wait(&shared->barrier, weft_after((i % 3) * 10000));
        CHECK_EQ(weft_join(other, &results[1], WEFT_FOREVER), 0);
        if (weft_barrier_is_broken(&shared->barrier)) {
            CHECK(results[0] == -ETIMEDOUT || results[1] == -ETIMEDOUT);
            CHECK(results[0] == -ETIMEDOUT || results[0] == -EPIPE);
            CHECK(results[1] == -ETIMEDOUT || results[1] == -EPIPE);
            weft_barrier_reset(&shared->barrier);
        } else {
            CHECK(results[0] >= 0 && results[1] >= 0);
            CHECK_EQ(results[0] + results[1], WEFT_BARRIER_SERIAL);
        }
    }
    return 0;
}

WORKER_TEST(barrier, all_cross_or_none_where_deadlines_pass, TEST_TIMEOUT_S)
{
    struct shared shared = {.barrier = WEFT_BARRIER_INIT(2)};

    cr_expect_eq(run_workers(*workers, race_deadline_with_last, &shared), 0);
    cr_expect_null(shared.barrier.queue);
}

static int cross_cancelled(void *arg)
{
    weft_barrier *lone = arg;
    weft_barrier pair = WEFT_BARRIER_INIT(2);

    CHECK_EQ(weft_barrier_wait(lone, weft_now() - 1), WEFT_BARRIER_SERIAL);
    weft_cancel(weft_self());
    CHECK_EQ(weft_barrier_wait(lone, WEFT_FOREVER), WEFT_BARRIER_SERIAL);
    CHECK_EQ(weft_barrier_wait(&pair, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_barrier_wait(&pair, WEFT_FOREVER), -EPIPE);
    return 0;
}

/* What is there without waiting is taken, as everywhere. */
WORKER_TEST(barrier, the_last_party_crosses_whatever_its_deadline, TEST_TIMEOUT_S)
{
    weft_barrier lone = WEFT_BARRIER_INIT(1);

    cr_expect_eq(run_workers(*workers, cross_cancelled, &lone), 0);
    cr_expect_eq(weft_barrier_wait(&lone, 0), WEFT_BARRIER_SERIAL, "a plain thread");
}

static int cross_once(void *arg)
{
    int result = weft_barrier_wait(arg, WEFT_FOREVER);

    CHECK(result >= 0);
    return result;
}

static int cross_and_free(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_barrier *barrier = calloc(1, sizeof *barrier);
        weft_fiber *fiber;
        int result;

        CHECK(barrier != NULL);
        *barrier = (weft_barrier)WEFT_BARRIER_INIT(2);
        fiber = must_spawn(cross_once, barrier);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        result = cross_once(barrier);
        free(barrier);
        CHECK_EQ(result + must_join(fiber), WEFT_BARRIER_SERIAL);
    }
    return 0;
}

/* The other party may still be in its call. */
WORKER_TEST(barrier, who_has_crossed_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cross_and_free, NULL), 0);
}

CHILD(wait_for_no_party)
{
    weft_barrier barrier = WEFT_BARRIER_INIT(0);

    (void)parameter;
    return weft_barrier_wait(&barrier, 0);
}

Test(barrier, one_for_nobody_aborts, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("wait_for_no_party", 0, "was made for no party");
}
