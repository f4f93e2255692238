/* SPDX-License-Identifier: MIT */
/* rate_limiter.h: turns in time, for fibers and plain threads.  The arithmetic with given times is
 * in tests/unit/bucket_test.c; of real time, only what it cannot be too early for is checked here.
 */
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { BURST = 5, FIBERS = 20, THREADS = 2, ROUNDS = TEST_IS_TSAN ? 40 : 150 };

#define HOUR (3600 * WEFT_SECOND)

struct shared {
    weft_rate_limiter limiter;
    _Atomic(int) taken;
    _Atomic(int) ended;
    uint64_t seed;
};

struct asker {
    weft_rate_limiter *limiter;
    uint64_t count;
    weft_time not_before;
};

static int ask(void *arg)
{
    struct asker *asker = arg;
    int error = weft_rate_limiter_acquire(asker->limiter, asker->count, WEFT_FOREVER);

    if (error == 0)
        CHECK(weft_now() >= asker->not_before);
    return error;
}

/* Spawns it, and returns when it is in the list or has its permits: from then on others come later
 * by what it asked for. */
static weft_fiber *must_ask(struct asker *asker)
{
    weft_time before = weft_rate_limiter_due(asker->limiter, 1);
    weft_fiber *fiber = must_spawn(ask, asker);

    while (weft_rate_limiter_due(asker->limiter, 1) <= before)
        CHECK_EQ(weft_yield(), 0);
    return fiber;
}

/* Nobody waits, and nobody has left anything behind. */
static void expect_at_rest(const weft_rate_limiter *limiter)
{
    for (int i = 2; i < 5; i++) /* the first, the last, and how many are wanted */
        cr_expect_eq(limiter->reserved[i], 0);
}

static int use_up(void *arg)
{
    weft_rate_limiter *limiter = arg;
    weft_time due;

    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, BURST + 1), -EINVAL);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, BURST + 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_rate_limiter_due(limiter, BURST + 1), WEFT_FOREVER);
    CHECK(weft_rate_limiter_due(limiter, BURST) <= weft_now());
    CHECK_EQ(weft_rate_limiter_acquire(limiter, BURST - 1, weft_now() - WEFT_SECOND), 0);
    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, 2), -EBUSY);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 2, 0), -ETIMEDOUT);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 2, weft_after(HOUR / 2)), -ETIMEDOUT);
    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, 1), 0);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 0, 0), 0);
    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, 0), 0);
    due = weft_rate_limiter_due(limiter, 1);
    CHECK(due > weft_now() + HOUR / 2);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 1, due - 1), -ETIMEDOUT);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due);
    CHECK_EQ(weft_rate_limiter_due(limiter, 2), due + HOUR);
    return 0;
}

/* One an hour: whatever would wait, would hang. */
WORKER_TEST(rate_limiter, gives_a_burst_and_refuses_what_comes_too_late, TEST_TIMEOUT_S)
{
    weft_rate_limiter in_fiber = WEFT_RATE_LIMITER_INIT(1, HOUR, BURST);
    weft_rate_limiter in_thread = WEFT_RATE_LIMITER_INIT(1, HOUR, BURST);

    cr_expect_eq(run_workers(*workers, use_up, &in_fiber), 0);
    cr_expect_eq(use_up(&in_thread), 0, "a plain thread");
    expect_at_rest(&in_fiber);
}

static int queue_in_order(void *arg)
{
    struct asker askers[FIBERS];
    weft_fiber *fibers[FIBERS];

    for (int i = 0; i < FIBERS; i++) {
        uint64_t count = 1 + (uint64_t)i % BURST;

        askers[i] = (struct asker){arg, count, weft_rate_limiter_due(arg, count)};
        fibers[i] = must_ask(&askers[i]);
    }
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* If two changed places, one of them would be earlier than it was told. */
WORKER_TEST(rate_limiter, each_has_its_turn_and_not_before, TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(2, WEFT_MILLISECOND, BURST);
    weft_time begin = weft_now();

    cr_expect_eq(run_workers(*workers, queue_in_order, &limiter), 0);
    cr_expect_geq(weft_now() - begin, (FIBERS * 3 - BURST) * WEFT_MILLISECOND / 2);
    expect_at_rest(&limiter);
}

static int give_back(void *arg)
{
    weft_rate_limiter *limiter = arg;
    struct asker first = {limiter, 5, 0};
    struct asker second = {limiter, 1, 0};
    struct asker third = {limiter, 2, 0};
    weft_fiber *fibers[3];
    weft_time due;

    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, BURST), 0);
    due = weft_rate_limiter_due(limiter, 1);
    fibers[0] = must_ask(&first);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due + 5 * HOUR);
    fibers[1] = must_ask(&second);
    fibers[2] = must_ask(&third);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due + 8 * HOUR);
    weft_cancel(fibers[1]);
    CHECK_EQ(must_join(fibers[1]), -ECANCELED);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due + 7 * HOUR);
    weft_cancel(fibers[0]);
    CHECK_EQ(must_join(fibers[0]), -ECANCELED);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due + 2 * HOUR);
    weft_cancel(fibers[2]);
    CHECK_EQ(must_join(fibers[2]), -ECANCELED);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due);
    return 0;
}

WORKER_TEST(rate_limiter, a_cancel_gives_the_reservation_back, TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, HOUR, BURST);

    cr_expect_eq(run_workers(*workers, give_back, &limiter), 0);
    expect_at_rest(&limiter);
}

static int cancel_late(void *arg)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, 500 * WEFT_MICROSECOND, BURST);
    struct asker asker = {&limiter, 1, 0};
    weft_fiber *fiber;
    weft_time due;

    (void)arg;
    CHECK_EQ(weft_rate_limiter_try_acquire(&limiter, BURST), 0);
    due = weft_rate_limiter_due(&limiter, 1);
    fiber = must_ask(&asker);
    /* It keeps the worker, but not for so long that others come to help: where it is the only one,
     * the fiber does not learn of its turn. */
    while (weft_now() <= due + 20 * WEFT_MICROSECOND)
        ;
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), 0);
    return 0;
}

static int cancel_late_often(void *arg)
{
    for (int i = 0; i < 20; i++)
        CHECK_EQ(cancel_late(arg), 0);
    return 0;
}

/* The permits were there, only the fiber has not run since: it would be told that they are lost, by
 * a cancel that came after them. */
WORKER_TEST(rate_limiter, a_cancel_after_the_turn_takes_nothing_away, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_late_often, NULL), 0);
}

static int cancel_the_first(void *arg)
{
    weft_rate_limiter *limiter = arg;
    struct asker large = {limiter, limiter->burst, 0};
    struct asker small = {limiter, 1, 0};
    weft_fiber *first = must_ask(&large);
    weft_fiber *others[BURST];

    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, 1), -EBUSY); /* it is not passed */
    for (int i = 0; i < BURST; i++)
        others[i] = must_ask(&small);
    weft_cancel(first);
    CHECK_EQ(must_join(first), -ECANCELED);
    for (int i = 0; i < BURST; i++)
        CHECK_EQ(must_join(others[i]), 0);
    return 0;
}

/* They sleep until the large one has had its turn, days later. */
WORKER_TEST(rate_limiter, those_behind_one_that_gives_up_come_earlier, TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter;

    /* At once, since the bucket holds what they want. */
    cr_assert_eq(weft_rate_limiter_init(&limiter, 1, HOUR, 100), 0);
    cr_assert_eq(weft_rate_limiter_try_acquire(&limiter, 100 - BURST), 0);
    cr_expect_eq(run_workers(*workers, cancel_the_first, &limiter), 0);
    expect_at_rest(&limiter);
    /* In a while, one after the other: so late that they still wait when the first gives up. */
    cr_assert_eq(weft_rate_limiter_init(&limiter, 1, 20 * WEFT_MILLISECOND, UINT64_C(1) << 36), 0);
    cr_assert_eq(weft_rate_limiter_try_acquire(&limiter, UINT64_C(1) << 36), 0);
    cr_expect_eq(run_workers(*workers, cancel_the_first, &limiter), 0);
    expect_at_rest(&limiter);
}

static int cancel_all(void *arg)
{
    enum { ALL = 100 };

    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, HOUR, ALL);
        struct asker large = {&limiter, ALL, 0};
        struct asker small = {&limiter, 1, 0};
        weft_fiber *first;
        weft_fiber *others[BURST];
        weft_time due;
        int taken = 0;

        CHECK_EQ(weft_rate_limiter_try_acquire(&limiter, ALL - BURST), 0);
        due = weft_rate_limiter_due(&limiter, ALL);
        first = must_ask(&large);
        for (int i = 0; i < BURST; i++)
            others[i] = must_ask(&small);
        weft_cancel(first);
        for (int i = 0; i < BURST; i++) {
            for (int j = (round + i) % 3; j > 0; j--)
                CHECK_EQ(weft_yield(), 0);
            weft_cancel(others[i]);
        }
        CHECK_EQ(must_join(first), -ECANCELED);
        for (int i = 0; i < BURST; i++) {
            int error = must_join(others[i]);

            CHECK(error == 0 || error == -ECANCELED);
            taken += error == 0;
        }
        CHECK_EQ(weft_rate_limiter_due(&limiter, ALL), due + taken * HOUR);
    }
    return 0;
}

/* The first that gives up grants the others their turns, while they are cancelled as well. */
WORKER_TEST(rate_limiter, a_turn_is_granted_or_given_back_and_not_both, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_all, NULL), 0);
}

static int ask_for_three(void *arg)
{
    CHECK_EQ(weft_rate_limiter_acquire(arg, 3, WEFT_FOREVER), -ETIMEDOUT);
    return 0;
}

/* Whoever has opened the scope would be told at once. */
static int wait_in_scope(void *arg)
{
    weft_rate_limiter *limiter = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time due;

    CHECK_EQ(weft_rate_limiter_try_acquire(limiter, BURST), 0);
    due = weft_rate_limiter_due(limiter, 1);
    CHECK_EQ(weft_scope_spawn(&scope, ask_for_three, limiter), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(2 * WEFT_MILLISECOND)), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(weft_rate_limiter_due(limiter, 1), due);
    return 0;
}

WORKER_TEST(rate_limiter, the_deadline_of_a_scope_gives_it_back, TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, HOUR, BURST);

    cr_expect_eq(run_workers(*workers, wait_in_scope, &limiter), 0);
    expect_at_rest(&limiter);
}

static int take_cancelled(void *arg)
{
    weft_rate_limiter *limiter = arg;

    weft_cancel(weft_self());
    CHECK_EQ(weft_rate_limiter_acquire(limiter, BURST, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 1, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_rate_limiter_acquire(limiter, 1, 0), -ECANCELED);
    return 0;
}

WORKER_TEST(rate_limiter, a_cancelled_fiber_takes_what_is_there, TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(1, HOUR, BURST);

    cr_expect_eq(run_workers(*workers, take_cancelled, &limiter), 0);
    expect_at_rest(&limiter);
}

static void take_some(struct shared *shared)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_rate_limiter_acquire(&shared->limiter, 1, WEFT_FOREVER), 0);
        (void)atomic_fetch_add(&shared->taken, 1);
    }
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int take_in_fiber(void *arg)
{
    take_some(arg);
    return 0;
}

static void *take_in_thread(void *arg)
{
    take_some(arg);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static int take_in_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, take_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, take_in_fiber, shared), 0);
    while (atomic_load(&shared->ended) < FIBERS + THREADS)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(rate_limiter, fibers_and_threads_share_one_rate, TEST_TIMEOUT_S)
{
    enum { ALL = 3 * (FIBERS + THREADS) };
    struct shared shared = {.limiter = WEFT_RATE_LIMITER_INIT(1000, WEFT_SECOND, BURST)};
    weft_time begin = weft_now();

    cr_expect_eq(run_workers(*workers, take_in_all, &shared), 0);
    cr_expect_eq(atomic_load(&shared.taken), ALL);
    cr_expect_geq(weft_now() - begin, (ALL - BURST) * WEFT_MILLISECOND);
    expect_at_rest(&shared.limiter);
}

static int take_or_give_up(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, weft_fiber_id(weft_self()));
    uint64_t count = 1 + random_below(&random, BURST);
    weft_time deadline = random_below(&random, 2) == 0
                             ? WEFT_FOREVER
                             : weft_after(random_below(&random, 3000) * WEFT_MICROSECOND);
    int error = weft_rate_limiter_acquire(&shared->limiter, count, deadline);

    CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
    if (error == 0)
        (void)atomic_fetch_add(&shared->taken, (int)count);
    return 0;
}

static int cancel_at_random(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, 0);
    weft_fiber *fibers[FIBERS];

    for (int round = 0; round < ROUNDS / 10; round++) {
        for (int i = 0; i < FIBERS; i++)
            fibers[i] = must_spawn(take_or_give_up, shared);
        for (int i = 0; i < FIBERS; i++) {
            for (unsigned j = random_below(&random, 8); j > 0; j--)
                CHECK_EQ(weft_yield(), 0);
            if (random_below(&random, 3) > 0)
                weft_cancel(fibers[i]);
        }
        for (int i = 0; i < FIBERS; i++)
            CHECK_EQ(must_join(fibers[i]), 0);
    }
    return 0;
}

/* A turn that is granted and given back as well would let more through than the rate allows. */
WORKER_TEST(rate_limiter, holds_its_rate_while_many_give_up, TEST_TIMEOUT_S)
{
    struct shared shared = {.limiter = WEFT_RATE_LIMITER_INIT(10, WEFT_MILLISECOND, BURST)};
    weft_time begin = weft_now();

    shared.seed = random_seed("rate_limiter");
    cr_expect_eq(run_workers(*workers, cancel_at_random, &shared), 0);
    cr_expect_leq(atomic_load(&shared.taken),
                  BURST + (weft_now() - begin) * 10 / WEFT_MILLISECOND + 1);
    expect_at_rest(&shared.limiter);
}

Test(rate_limiter, init_refuses_what_is_out_of_range, .timeout = TEST_TIMEOUT_S)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(7, 8, 9);

    cr_expect_eq(weft_rate_limiter_init(&limiter, 0, 1, 1), -EINVAL);
    cr_expect_eq(weft_rate_limiter_init(&limiter, 1, 0, 1), -EINVAL);
    cr_expect_eq(weft_rate_limiter_init(&limiter, 1, -1, 1), -EINVAL);
    cr_expect_eq(weft_rate_limiter_init(&limiter, 1, 1, 0), -EINVAL);
    cr_expect_eq(weft_rate_limiter_init(&limiter, WEFT_RATE_LIMITER_MAX + 1, 1, 1), -EINVAL);
    cr_expect_eq(weft_rate_limiter_init(&limiter, 1, 1, WEFT_RATE_LIMITER_MAX + 1), -EINVAL);
    cr_expect_eq(limiter.permits, 7);
    cr_expect_eq(
        weft_rate_limiter_init(&limiter, WEFT_RATE_LIMITER_MAX, INT64_MAX, WEFT_RATE_LIMITER_MAX),
        0);
    cr_expect_eq(weft_rate_limiter_try_acquire(&limiter, WEFT_RATE_LIMITER_MAX), 0);
    cr_expect_eq(weft_rate_limiter_try_acquire(&limiter, WEFT_RATE_LIMITER_MAX), -EBUSY);
    cr_expect_eq(weft_rate_limiter_acquire(&limiter, WEFT_RATE_LIMITER_MAX, WEFT_FOREVER),
                 -ETIMEDOUT, "no clock goes that far");
}

CHILD(use_uninitialised)
{
    weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(parameter, WEFT_SECOND, 1);

    return weft_rate_limiter_try_acquire(&limiter, 1);
}

Test(rate_limiter, one_without_a_rate_aborts, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("use_uninitialised", 0, NULL, &end);
    cr_expect_eq(end.signal, SIGABRT);
    cr_expect_not_null(strstr(end.output, "not initialised"), "\"%s\"", end.output);
    run_child("use_uninitialised", 1, NULL, &end);
    cr_expect_eq(end.exit_status, 0);
}
