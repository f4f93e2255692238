/* SPDX-License-Identifier: MIT */
/* condition.h: signals for fibers and plain threads. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { WAITERS = 20, THREADS = 2, ITEMS = TEST_IS_TSAN ? 500 : 2000 };

struct shared {
    weft_mutex mutex;
    weft_condition changed;
    int items;   /* under the mutex */
    int taken;   /* under the mutex */
    int waiting; /* under the mutex */
    int woken;   /* under the mutex */
    _Atomic(int) ended;
};

static void lock(struct shared *shared)
{
    CHECK_EQ(weft_mutex_lock(&shared->mutex, WEFT_FOREVER), 0);
}

static void consume(struct shared *shared)
{
    lock(shared);
    while (shared->taken < ITEMS) {
        if (shared->items == 0) {
            CHECK_EQ(weft_condition_wait(&shared->changed, &shared->mutex, WEFT_FOREVER), 0);
            continue;
        }
        shared->items--;
        shared->taken++;
    }
    weft_mutex_unlock(&shared->mutex);
    weft_condition_broadcast(&shared->changed);
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int consume_in_fiber(void *arg)
{
    consume(arg);
    return 0;
}

static void *consume_in_thread(void *arg)
{
    consume(arg);
    return NULL;
}

static int produce_for_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, consume_in_thread, shared), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(weft_spawn(NULL, consume_in_fiber, shared), 0);
    for (int i = 0; i < ITEMS; i++) {
        lock(shared);
        shared->items++;
        if (i % 2 == 0)
            weft_condition_signal(&shared->changed);
        weft_mutex_unlock(&shared->mutex);
        if (i % 2 == 1)
            weft_condition_signal(&shared->changed);
        if (i % 7 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    while (atomic_load(&shared->ended) < WAITERS + THREADS)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

/* A signal between the unlock and the sleep would be lost, and its item stay. */
WORKER_TEST(condition, no_signal_is_lost, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, produce_for_all, &shared), 0);
    cr_expect_eq(shared.taken, ITEMS);
    cr_expect_null(shared.changed.queue);
}

/* Waits once, and says so; the mutex is the caller's whatever comes back. */
static int wait_once(void *arg)
{
    struct shared *shared = arg;
    int result;

    lock(shared);
    shared->waiting++;
    result = weft_condition_wait(&shared->changed, &shared->mutex, WEFT_FOREVER);
    shared->woken++;
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), -EBUSY);
    if (weft_is_cancelled() == 0 && shared->woken % 3 == 0)
        (void)weft_yield();
    weft_mutex_unlock(&shared->mutex);
    return result;
}

/* Returns with the mutex locked, once so many have waited. */
static void await_waiting(struct shared *shared, int count)
{
    lock(shared);
    while (shared->waiting < count) {
        weft_mutex_unlock(&shared->mutex);
        (void)weft_yield();
        lock(shared);
    }
}

static int await_woken(struct shared *shared, int count)
{
    int woken;

    do {
        (void)weft_yield();
        lock(shared);
        woken = shared->woken;
        weft_mutex_unlock(&shared->mutex);
    } while (woken < count);
    return woken;
}

static int signal_one_by_one(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[WAITERS];

    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(wait_once, shared);
    await_waiting(shared, WAITERS);
    weft_condition_signal(&shared->changed); /* with the mutex */
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(await_woken(shared, 1), 1);
    weft_condition_signal(&shared->changed); /* without it */
    CHECK_EQ(await_woken(shared, 2), 2);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(await_woken(shared, 2), 2);
    lock(shared);
    weft_condition_broadcast(&shared->changed);
    weft_mutex_unlock(&shared->mutex);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    weft_condition_signal(&shared->changed); /* for nobody */
    weft_condition_broadcast(&shared->changed);
    return 0;
}

WORKER_TEST(condition, a_signal_wakes_one_and_a_broadcast_all, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, signal_one_by_one, &shared), 0);
    cr_expect_eq(shared.woken, WAITERS);
}

static int cancel_a_waiter(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];

    for (int i = 0; i < 2; i++)
        fibers[i] = must_spawn(wait_once, shared);
    await_waiting(shared, 2);
    weft_cancel(fibers[0]); /* it must wait for the mutex that we hold */
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(shared->woken, 0);
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(must_join(fibers[0]), -ECANCELED);
    weft_condition_signal(&shared->changed);
    CHECK_EQ(must_join(fibers[1]), 0);
    return 0;
}

/* A caller that got an error without the mutex would unlock that of another. */
WORKER_TEST(condition, a_cancelled_waiter_has_the_mutex_again, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, cancel_a_waiter, &shared), 0);
    cr_expect_null(shared.changed.queue);
}

static int cancel_after_the_signal(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fiber = must_spawn(wait_once, shared);

    await_waiting(shared, 1);
    weft_condition_signal(&shared->changed); /* it waits for the mutex now */
    weft_cancel(fiber);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(shared->woken, 0);
    weft_mutex_unlock(&shared->mutex);
    CHECK_EQ(must_join(fiber), 0);
    return 0;
}

/* What has happened is reported, not the cancel that came after it. */
WORKER_TEST(condition, a_signal_before_the_cancel_counts, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, cancel_after_the_signal, &shared), 0);
}

static int let_deadlines_pass(void *arg)
{
    struct shared *shared = arg;
    weft_condition *changed = &shared->changed;
    weft_mutex *mutex = &shared->mutex;

    lock(shared);
    CHECK_EQ(weft_condition_wait(changed, mutex, 0), -ETIMEDOUT);
    CHECK_EQ(weft_condition_wait(changed, mutex, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_condition_wait(changed, mutex, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_try_lock(mutex), -EBUSY);
    weft_mutex_unlock(mutex);
    return 0;
}

WORKER_TEST(condition, a_deadline_that_passes_leaves_the_mutex_locked, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &shared), 0);
    cr_expect_eq(let_deadlines_pass(&shared), 0, "a plain thread");
    cr_expect_null(shared.changed.queue);
}

static int wait_cancelled(void *arg)
{
    struct shared *shared = arg;

    weft_cancel(weft_self());
    lock(shared);
    CHECK_EQ(weft_condition_wait(&shared->changed, &shared->mutex, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_mutex_try_lock(&shared->mutex), -EBUSY);
    weft_mutex_unlock(&shared->mutex);
    return 0;
}

WORKER_TEST(condition, a_cancelled_fiber_does_not_wait, TEST_TIMEOUT_S)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .changed = WEFT_CONDITION_INIT};

    cr_expect_eq(run_workers(*workers, wait_cancelled, &shared), 0);
    cr_expect_null(shared.changed.queue);
}
