/* SPDX-License-Identifier: MIT */
/* mutex.h: fibers and plain threads that want one lock. */
#define WEFT_LOCK_CHECKS 0

#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { FIBERS = 50, ROUNDS = TEST_IS_TSAN ? 100 : 400, THREADS = 3 };

struct shared {
    weft_mutex mutex;
    weft_recursive_mutex recursive;
    long count; /* under the mutex: plain on purpose */
    _Atomic(int) flag;
    _Atomic(int) go_on;
    int result;
};

static void expect_unused(const weft_mutex *mutex)
{
    static const weft_mutex unused = WEFT_MUTEX_INIT;

    cr_expect_eq(memcmp(mutex, &unused, sizeof unused), 0, "something was left in the mutex");
}

static void count_rounds(struct shared *shared, bool may_yield)
{
    for (int i = 0; i < ROUNDS; i++) {
        long before;

        CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
        before = shared->count;
        if (may_yield && i % 7 == 0)
            CHECK_EQ(weft_yield(), 0);
        shared->count = before + 1;
        weft_mutex_unlock(&shared->mutex);
        if (may_yield && i % 5 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
}

static int count_in_fiber(void *arg)
{
    count_rounds(arg, true);
    return 0;
}

static void *count_in_thread(void *arg)
{
    struct shared *shared = arg;

    count_rounds(shared, false);
    (void)atomic_fetch_add(&shared->flag, 1);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static int count_in_all(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[FIBERS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, count_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(count_in_fiber, shared);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    while (atomic_load(&shared->flag) < THREADS)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

/* Two holders at once would lose counts; a lost wake would hang. */
WORKER_TEST(mutex, one_holder_at_a_time, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, count_in_all, &shared), 0);
    cr_expect_eq(shared.count, (long)(FIBERS + THREADS) * ROUNDS);
    expect_unused(&shared.mutex);
}

static void await_waiter(struct shared *shared)
{
    /* Locked and nothing else is what it is while nobody waits. */
    while (__atomic_load_n(&shared->mutex.word, __ATOMIC_ACQUIRE) <= WEFT_MUTEX_LOCKED)
        (void)weft_yield();
}

static int lock_for_ever(void *arg)
{
    struct shared *shared = arg;
    int error = weft_mutex_lock(&shared->mutex, WEFT_FOREVER);

    shared->result = error;
    atomic_store(&shared->flag, 1);
    if (error == 0)
        weft_mutex_unlock(&shared->mutex);
    return error;
}

static int let_deadlines_pass(void *arg)
{
    struct shared *shared = arg;

    CHECK_EQ(weft_mutex_lock(&shared->mutex, 0), 0);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, 0), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, -1), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), -EBUSY);
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, weft_now() - WEFT_SECOND), 0);
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), 0);
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

/* What is free needs no waiting, so a deadline that has passed is no reason to refuse it. */
WORKER_TEST(mutex, a_deadline_counts_only_while_it_is_held, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &shared), 0);
    expect_unused(&shared.mutex);
}

Test(mutex, a_plain_thread_has_deadlines_too, .timeout = TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(let_deadlines_pass(&shared), 0);
    expect_unused(&shared.mutex);
}

static int cancel_waiter(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fiber;

    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    fiber = must_spawn(lock_for_ever, shared);
    await_waiter(shared);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(shared->mutex.word, WEFT_MUTEX_LOCKED);
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), 0);
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

/* If it kept its place, the unlock would wake a fiber that is gone. */
WORKER_TEST(mutex, a_cancelled_waiter_leaves_the_queue, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, cancel_waiter, &shared), 0);
    expect_unused(&shared.mutex);
}

static int lock_cancelled(void *arg)
{
    struct shared *shared = arg;

    weft_cancel(weft_self());
    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_mutex_lock(&shared->mutex, 0), -ECANCELED);
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), -EBUSY);
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

/* Clean-up takes locks; only waiting is refused. */
WORKER_TEST(mutex, a_cancelled_fiber_locks_what_is_free, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, lock_cancelled, &shared), 0);
    expect_unused(&shared.mutex);
}

static int cancel_woken(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];

    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    for (int i = 0; i < 2; i++)
        fibers[i] = must_spawn(lock_for_ever, shared);
    await_waiter(shared);
    weft_mutex_unlock(&shared->mutex);
    for (int i = 0; i < 2; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < 2; i++) {
        int result = must_join(fibers[i]);

        CHECK(result == 0 || result == -ECANCELED);
    }
    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

/* The one that was woken goes away, or takes the lock: it may not keep the wake to itself. */
WORKER_TEST(mutex, a_cancel_after_the_wake_passes_it_on, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, cancel_woken, &shared), 0);
    expect_unused(&shared.mutex);
}

static int pass_a_waiter(void *arg)
{
    struct shared *shared = arg;
    int passed = 0;
    weft_fiber *fiber;

    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    fiber = must_spawn(lock_for_ever, shared);
    await_waiter(shared);
    while (atomic_load(&shared->flag) == 0) {
        weft_mutex_unlock(&shared->mutex);
        CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
        CHECK(++passed <= WEFT_MUTEX_BYPASSES + 2);
    }
    weft_mutex_unlock(&shared->mutex);
    return must_join(fiber);
}

/* A holder that comes back at once could keep the lock for ever. */
WORKER_TEST(mutex, a_waiter_is_passed_a_bounded_number_of_times, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, pass_a_waiter, &shared), 0);
    expect_unused(&shared.mutex);
}

/* The one worker is ours until we wait: the waiter is awake and cannot run. */
static int pass_one_on_its_way(void *arg)
{
    struct shared *shared = arg;
    int passed = 0;
    weft_fiber *fiber;

    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
    fiber = must_spawn(lock_for_ever, shared);
    await_waiter(shared);
    weft_mutex_unlock(&shared->mutex);
    while (passed <= 2 * WEFT_MUTEX_BYPASSES && weft_mutex_try_lock(&shared->mutex) == 0) {
        passed++;
        weft_mutex_unlock(&shared->mutex);
    }
    CHECK_EQ(must_join(fiber), 0);
    return passed;
}

/* What mutex.h says of them: no more, and no fewer, or each would cost a switch. */
Test(mutex, so_many_pass_a_waiter_on_its_way, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3}; /* no spare that runs the waiter */
    struct shared shared = {.mutex = WEFT_MUTEX_INIT};

    cr_expect_eq(run_config(&config, pass_one_on_its_way, &shared), WEFT_MUTEX_BYPASSES + 1);
    expect_unused(&shared.mutex);
}

static int lock_and_free(void *arg)
{
    weft_mutex *mutex = arg;

    CHECK_EQ(weft_mutex_lock(mutex, WEFT_FOREVER), 0);
    weft_mutex_unlock(mutex);
    free(mutex);
    return 0;
}

static int hand_over_and_forget(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_mutex *mutex = calloc(1, sizeof *mutex);
        weft_fiber *fiber;

        CHECK(mutex != NULL);
        CHECK_EQ(weft_mutex_lock(mutex, WEFT_FOREVER), 0);
        fiber = must_spawn(lock_and_free, mutex);
        for (int j = i % 4; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        weft_mutex_unlock(mutex);
        CHECK_EQ(must_join(fiber), 0);
    }
    return 0;
}

/* The last one to lock it frees it, while the unlock that woke that one may still be running. */
WORKER_TEST(mutex, the_last_holder_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, hand_over_and_forget, NULL), 0);
}

static int lock_recursively(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_recursive_mutex_lock(&shared->recursive, WEFT_FOREVER), 0);
        CHECK_EQ(weft_recursive_mutex_lock(&shared->recursive, 0), 0);
        if (i % 3 == 0)
            CHECK_EQ(weft_yield(), 0); /* it stays the fiber's on another worker */
        CHECK_EQ(weft_recursive_mutex_try_lock(&shared->recursive), 0);
        shared->count++;
        weft_recursive_mutex_unlock(&shared->recursive);
        weft_recursive_mutex_unlock(&shared->recursive);
        if (i % 5 == 0)
            CHECK_EQ(weft_yield(), 0);
        weft_recursive_mutex_unlock(&shared->recursive);
    }
    return 0;
}

static int lock_recursively_in_fibers(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[FIBERS / 10];

    for (int i = 0; i < FIBERS / 10; i++)
        fibers[i] = must_spawn(lock_recursively, shared);
    for (int i = 0; i < FIBERS / 10; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(weft_recursive_mutex_lock(&shared->recursive, WEFT_FOREVER), 0);
    return 0;
}

/* The last lock stays with a fiber that has ended. */
WORKER_TEST(mutex, a_recursive_one_counts_its_holders_locks, TEST_TIMEOUT_S)
{
    struct shared shared = {.recursive = WEFT_RECURSIVE_MUTEX_INIT};

    cr_expect_eq(run_workers(*workers, lock_recursively_in_fibers, &shared), 0);
    cr_expect_eq(shared.count, (long)(FIBERS / 10) * ROUNDS);
    cr_expect_eq(weft_recursive_mutex_try_lock(&shared.recursive), -EBUSY);
    cr_expect_eq(weft_recursive_mutex_lock(&shared.recursive, weft_after(WEFT_MILLISECOND)),
                 -ETIMEDOUT);
}
