/* SPDX-License-Identifier: MIT */
/* semaphore.h: permits for fibers and plain threads. */
#include "../support/child.h"
#include "../support/crowd.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { PERMITS = 5, FIBERS = 40, THREADS = 2, ROUNDS = TEST_IS_TSAN ? 60 : 200 };

struct shared {
    weft_semaphore semaphore;
    _Atomic(int) held;
    _Atomic(int) order;
};

static void hold_some(void *arg)
{
    struct shared *shared = arg;
    bool may_yield = weft_self() != NULL;
    int number = may_yield ? (int)weft_fiber_id(weft_self()) : 3;

    for (int i = 0; i < ROUNDS; i++) {
        int count = 1 + (number + i) % PERMITS;

        CHECK_EQ(weft_semaphore_acquire(&shared->semaphore, (uint64_t)count, WEFT_FOREVER), 0);
        CHECK(atomic_fetch_add(&shared->held, count) + count <= PERMITS);
        if (may_yield && i % 3 == 0)
            CHECK_EQ(weft_yield(), 0);
        (void)atomic_fetch_sub(&shared->held, count);
        weft_semaphore_release(&shared->semaphore, (uint64_t)count);
    }
}

static int hold_in_all(void *arg)
{
    run_in_crowd(FIBERS, THREADS, hold_some, arg);
    return 0;
}

/* A permit given twice lets too many in, one that is lost hangs. */
WORKER_TEST(semaphore, gives_each_permit_to_one_at_a_time, TEST_TIMEOUT_S)
{
    struct shared shared = {.semaphore = WEFT_SEMAPHORE_INIT(PERMITS)};

    cr_expect_eq(run_workers(*workers, hold_in_all, &shared), 0);
    cr_expect_eq(weft_semaphore_available(&shared.semaphore), PERMITS);
    cr_expect_null(shared.semaphore.queue);
}

static int let_deadlines_pass(void *arg)
{
    weft_semaphore *semaphore = arg;

    CHECK_EQ(weft_semaphore_acquire(semaphore, 2, 0), 0);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 2, 0), -ETIMEDOUT);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 2, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 2, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_semaphore_try_acquire(semaphore, 2), -EBUSY);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 1, weft_now() - WEFT_SECOND), 0);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 0, 0), 0);
    CHECK_EQ(weft_semaphore_available(semaphore), 0);
    weft_semaphore_release(semaphore, 3);
    CHECK_EQ(weft_semaphore_try_acquire(semaphore, 3), 0);
    weft_semaphore_release(semaphore, 3);
    return 0;
}

WORKER_TEST(semaphore, a_deadline_counts_only_while_there_are_too_few, TEST_TIMEOUT_S)
{
    weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(3);

    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &semaphore), 0);
    cr_expect_eq(let_deadlines_pass(&semaphore), 0, "a plain thread");
    cr_expect_eq(weft_semaphore_available(&semaphore), 3);
}

static void await_waiters(struct shared *shared)
{
    while (!has_waiters(&shared->semaphore.queue))
        (void)weft_yield();
}

static int take_three(void *arg)
{
    struct shared *shared = arg;
    int error = weft_semaphore_acquire(&shared->semaphore, 3, WEFT_FOREVER);

    if (error == 0)
        (void)atomic_fetch_add(&shared->order, 1);
    return error;
}

static int take_one(void *arg)
{
    struct shared *shared = arg;
    int error = weft_semaphore_acquire(&shared->semaphore, 1, WEFT_FOREVER);

    return error != 0 ? error : atomic_load(&shared->order);
}

/* Two permits are there, the first in the queue wants three. */
static int pass_the_large_one(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *large = must_spawn(take_three, shared);
    weft_fiber *small;

    await_waiters(shared);
    CHECK_EQ(weft_semaphore_try_acquire(&shared->semaphore, 1), -EBUSY);
    CHECK_EQ(weft_semaphore_acquire(&shared->semaphore, 1, 0), -ETIMEDOUT);
    small = must_spawn(take_one, shared);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_semaphore_available(&shared->semaphore), 2);
    weft_semaphore_release(&shared->semaphore, 1);
    CHECK_EQ(must_join(large), 0);
    weft_semaphore_release(&shared->semaphore, 1);
    CHECK_EQ(must_join(small), 1);
    return 0;
}

/* Small requests that come again and again would keep a large one waiting for ever. */
WORKER_TEST(semaphore, a_large_request_is_not_passed, TEST_TIMEOUT_S)
{
    struct shared shared = {.semaphore = WEFT_SEMAPHORE_INIT(2)};

    cr_expect_eq(run_workers(*workers, pass_the_large_one, &shared), 0);
    cr_expect_eq(weft_semaphore_available(&shared.semaphore), 0);
}

static int cancel_the_large_one(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *large = must_spawn(take_three, shared);
    weft_fiber *small[2];

    await_waiters(shared);
    for (int i = 0; i < 2; i++)
        small[i] = must_spawn(take_one, shared);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_yield(), 0);
    weft_cancel(large);
    CHECK_EQ(must_join(large), -ECANCELED);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(must_join(small[i]), 0);
    return 0;
}

/* Those behind it wait for nothing else. */
WORKER_TEST(semaphore, a_cancelled_request_lets_those_behind_it_go, TEST_TIMEOUT_S)
{
    struct shared shared = {.semaphore = WEFT_SEMAPHORE_INIT(2)};

    cr_expect_eq(run_workers(*workers, cancel_the_large_one, &shared), 0);
    cr_expect_eq(weft_semaphore_available(&shared.semaphore), 0);
}

static int take_cancelled(void *arg)
{
    weft_semaphore *semaphore = arg;

    weft_cancel(weft_self());
    CHECK_EQ(weft_semaphore_acquire(semaphore, 2, WEFT_FOREVER), 0);
    CHECK_EQ(weft_semaphore_acquire(semaphore, 1, WEFT_FOREVER), -ECANCELED);
    weft_semaphore_release(semaphore, 2);
    return 0;
}

WORKER_TEST(semaphore, a_cancelled_fiber_takes_what_is_there, TEST_TIMEOUT_S)
{
    weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(2);

    cr_expect_eq(run_workers(*workers, take_cancelled, &semaphore), 0);
    cr_expect_eq(weft_semaphore_available(&semaphore), 2);
}

struct bystanders {
    weft_semaphore semaphore;
    _Atomic(int) begun, is_over, ended;
};

/* More than there are, again and again, without waiting for them. */
static void *ask_too_much(void *arg)
{
    struct bystanders *bystanders = arg;

    (void)atomic_fetch_add(&bystanders->begun, 1);
    while (!atomic_load(&bystanders->is_over)) {
        CHECK_EQ(weft_semaphore_acquire(&bystanders->semaphore, 2, 0), -ETIMEDOUT);
        CHECK_EQ(weft_semaphore_acquire(&bystanders->semaphore, 2, weft_now()), -ETIMEDOUT);
        CHECK_EQ(weft_semaphore_try_acquire(&bystanders->semaphore, 2), -EBUSY);
    }
    (void)atomic_fetch_add(&bystanders->ended, 1);
    return NULL;
}

static int take_beside_them(void *arg)
{
    struct bystanders *bystanders = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, ask_too_much, bystanders), 0);
    while (atomic_load(&bystanders->begun) < THREADS)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 100 * ROUNDS; i++) {
        CHECK_EQ(weft_semaphore_try_acquire(&bystanders->semaphore, 1), 0);
        weft_semaphore_release(&bystanders->semaphore, 1);
        CHECK_EQ(weft_semaphore_acquire(&bystanders->semaphore, 1, 0), 0);
        weft_semaphore_release(&bystanders->semaphore, 1);
    }
    atomic_store(&bystanders->is_over, 1);
    while (atomic_load(&bystanders->ended) < THREADS)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

/* The permit is there, and nobody waits. */
WORKER_TEST(semaphore, who_does_not_wait_is_in_nobodys_way, TEST_TIMEOUT_S)
{
    struct bystanders bystanders = {.semaphore = WEFT_SEMAPHORE_INIT(1)};

    cr_expect_eq(run_workers(*workers, take_beside_them, &bystanders), 0);
    cr_expect_eq(weft_semaphore_available(&bystanders.semaphore), 1);
}

static int cancel_and_take(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < 2; i++) {
        weft_fiber *large = must_spawn(take_three, shared);

        await_waiters(shared);
        CHECK_EQ(weft_semaphore_try_acquire(&shared->semaphore, 2), -EBUSY);
        weft_cancel(large);
        /* It has not run since. */
        CHECK_EQ(i == 0 ? weft_semaphore_try_acquire(&shared->semaphore, 2)
                        : weft_semaphore_acquire(&shared->semaphore, 2, 0),
                 0);
        CHECK_EQ(weft_semaphore_try_acquire(&shared->semaphore, 1), -EBUSY);
        weft_semaphore_release(&shared->semaphore, 2);
        CHECK_EQ(must_join(large), -ECANCELED);
        CHECK_EQ(weft_semaphore_available(&shared->semaphore), 2);
    }
    return 0;
}

/* With one worker nobody runs between the cancel and the look. */
Test(semaphore, who_waits_no_more_is_in_nobodys_way, .timeout = TEST_TIMEOUT_S)
{
    struct shared shared = {.semaphore = WEFT_SEMAPHORE_INIT(2)};

    cr_expect_eq(run_workers(1, cancel_and_take, &shared), 0);
    cr_expect_null(shared.semaphore.queue);
}

static int release_one(void *arg)
{
    weft_semaphore_release(arg, 1);
    return 0;
}

static int take_and_free(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_semaphore *semaphore = calloc(1, sizeof *semaphore);
        weft_fiber *fiber;

        CHECK(semaphore != NULL);
        fiber = must_spawn(release_one, semaphore);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_semaphore_acquire(semaphore, 1, WEFT_FOREVER), 0);
        free(semaphore);
        CHECK_EQ(must_join(fiber), 0);
    }
    return 0;
}

/* The release that gave the permit may still be running. */
WORKER_TEST(semaphore, who_has_its_permit_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, take_and_free, NULL), 0);
}

CHILD(release_too_many)
{
    weft_semaphore semaphore = WEFT_SEMAPHORE_INIT(WEFT_SEMAPHORE_MAX);

    weft_semaphore_release(&semaphore, parameter);
    return 0;
}

Test(semaphore, permits_do_not_wrap_around, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    expect_abort("release_too_many", 1, "more permits");
    run_child("release_too_many", 0, NULL, &end);
    cr_expect_eq(end.exit_status, 0);
}
