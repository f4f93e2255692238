/* SPDX-License-Identifier: MIT */
/* once.h: functions that are run once, by fibers and plain threads. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FIBERS = 30, THREADS = 2, ALL = FIBERS + THREADS, ROUNDS = TEST_IS_TSAN ? 30 : 150 };

struct shared {
    weft_once once;
    int loaded; /* plain: what the function did must be seen by all */
    int failures_left;
    bool is_slow;
    _Atomic(int) runs;
    _Atomic(int) inside;
    _Atomic(int) begun;
    _Atomic(int) failed;
    _Atomic(int) ended;
    _Atomic(int) may_end;
};

static int load(void *arg)
{
    struct shared *shared = arg;
    int error = 0;

    CHECK_EQ(atomic_fetch_add(&shared->inside, 1), 0);
    (void)atomic_fetch_add(&shared->runs, 1);
    for (int i = 0; i < 5 && error == 0 && shared->is_slow && weft_self() != NULL; i++)
        error = weft_sleep(20 * WEFT_MICROSECOND);
    if (error == 0 && shared->failures_left > 0) {
        shared->failures_left--;
        error = -EIO;
    }
    if (error == 0)
        shared->loaded++;
    CHECK_EQ(atomic_fetch_sub(&shared->inside, 1), 1);
    return error != 0 ? error : 3; /* 0 or more is success */
}

static void need(struct shared *shared)
{
    int error;

    (void)atomic_fetch_add(&shared->begun, 1);
    error = weft_once_run(&shared->once, load, shared, WEFT_FOREVER);
    if (error == 0)
        CHECK_EQ(shared->loaded, 1);
    else
        CHECK_EQ(error, -EIO);
    (void)atomic_fetch_add(&shared->failed, error != 0);
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int need_in_fiber(void *arg)
{
    need(arg);
    return 0;
}

static void *need_in_thread(void *arg)
{
    need(arg);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static int need_in_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, need_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, need_in_fiber, shared), 0);
    while (atomic_load(&shared->ended) < ALL)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(weft_once_run(&shared->once, load, shared, 0), 0);
    return 0;
}

WORKER_TEST(once, all_wait_for_the_one_that_runs_it, TEST_TIMEOUT_S)
{
    struct shared shared = {.once = WEFT_ONCE_INIT, .is_slow = true};

    cr_expect_eq(run_workers(*workers, need_in_all, &shared), 0);
    cr_expect_eq(shared.runs, 1);
    cr_expect_eq(shared.failed, 0);
    cr_expect_null(shared.once.queue);
}

/* Each failure goes to the one that ran it, and wakes another that tries: one that slept on would
 * hang. */
WORKER_TEST(once, a_failure_lets_the_next_one_try, TEST_TIMEOUT_S)
{
    struct shared shared = {.once = WEFT_ONCE_INIT, .is_slow = true, .failures_left = ALL - 1};

    cr_expect_eq(run_workers(*workers, need_in_all, &shared), 0);
    cr_expect_eq(shared.runs, ALL);
    cr_expect_eq(shared.failed, ALL - 1);
    cr_expect_eq(shared.loaded, 1);
    cr_expect_null(shared.once.queue);
}

static int race_again(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *fibers[4];

        shared->once = (weft_once)WEFT_ONCE_INIT;
        shared->loaded = 0;
        shared->failures_left = i % 4;
        shared->is_slow = i % 8 >= 4;
        for (int j = 0; j < 4; j++)
            fibers[j] = must_spawn(need_in_fiber, shared);
        for (int j = 0; j < 4; j++)
            CHECK_EQ(must_join(fibers[j]), 0);
        CHECK_EQ(weft_once_run(&shared->once, load, shared, 0), 0);
        CHECK_EQ(shared->loaded, 1);
    }
    return 0;
}

WORKER_TEST(once, short_functions_race, TEST_TIMEOUT_S)
{
    struct shared shared = {.once = WEFT_ONCE_INIT};

    cr_expect_eq(run_workers(*workers, race_again, &shared), 0);
    cr_expect_eq(shared.ended, 4 * ROUNDS);
}

static int load_when_told(void *arg)
{
    struct shared *shared = arg;

    (void)atomic_fetch_add(&shared->runs, 1);
    while (atomic_load(&shared->may_end) == 0)
        if (weft_yield() != 0)
            return -ECANCELED;
    return atomic_load(&shared->may_end) < 0 ? -EIO : 0;
}

static int need_when_told(void *arg)
{
    struct shared *shared = arg;

    (void)atomic_fetch_add(&shared->begun, 1);
    return weft_once_run(&shared->once, load_when_told, shared, WEFT_FOREVER);
}

static void yield_a_while(void)
{
    for (int i = 0; i < 50; i++)
        (void)weft_yield();
}

/* The first one is inside the function, the second waits for it. */
static void start_two(struct shared *shared, weft_fiber **fibers)
{
    shared->once = (weft_once)WEFT_ONCE_INIT;
    atomic_store(&shared->may_end, 0);
    atomic_store(&shared->begun, 0);
    atomic_store(&shared->runs, 0);
    fibers[0] = must_spawn(need_when_told, shared);
    await_flag(&shared->runs);
    fibers[1] = must_spawn(need_when_told, shared);
    while (atomic_load(&shared->begun) < 2)
        CHECK_EQ(weft_yield(), 0);
    yield_a_while();
    CHECK_EQ(atomic_load(&shared->runs), 1);
}

static int cancel_in_turn(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[2];

    /* The one that waits gives up; a deadline does the same. */
    start_two(shared, fibers);
    weft_cancel(fibers[1]);
    CHECK_EQ(must_join(fibers[1]), -ECANCELED);
    CHECK_EQ(weft_once_run(&shared->once, load_when_told, shared, 0), -ETIMEDOUT);
    CHECK_EQ(weft_once_run(&shared->once, load_when_told, shared, weft_after(WEFT_MILLISECOND)),
             -ETIMEDOUT);
    atomic_store(&shared->may_end, 1);
    CHECK_EQ(must_join(fibers[0]), 0);
    CHECK_EQ(atomic_load(&shared->runs), 1);

    /* The one that runs is cancelled, and the one that waits runs it in its place. */
    start_two(shared, fibers);
    weft_cancel(fibers[0]);
    CHECK_EQ(must_join(fibers[0]), -ECANCELED);
    while (atomic_load(&shared->runs) < 2)
        CHECK_EQ(weft_yield(), 0);
    atomic_store(&shared->may_end, 1);
    CHECK_EQ(must_join(fibers[1]), 0);

    /* Nobody is left: the next that comes tries, though its deadline has passed. */
    start_two(shared, fibers);
    weft_cancel(fibers[1]);
    weft_cancel(fibers[0]);
    CHECK_EQ(must_join(fibers[0]), -ECANCELED);
    CHECK_EQ(must_join(fibers[1]), -ECANCELED);
    atomic_store(&shared->may_end, -1);
    CHECK_EQ(weft_once_run(&shared->once, load_when_told, shared, 0), -EIO);
    atomic_store(&shared->may_end, 1);
    CHECK_EQ(weft_once_run(&shared->once, load_when_told, shared, weft_now() - 1), 0);
    weft_cancel(weft_self());
    CHECK_EQ(weft_once_run(&shared->once, load_when_told, shared, WEFT_FOREVER), 0);
    return 0;
}

WORKER_TEST(once, a_cancel_ends_a_wait_or_a_run_and_is_not_the_end_of_it, TEST_TIMEOUT_S)
{
    struct shared shared = {.once = WEFT_ONCE_INIT};

    cr_expect_eq(run_workers(*workers, cancel_in_turn, &shared), 0);
    cr_expect_null(shared.once.queue);
}

static int try_once(void *arg)
{
    struct shared *shared = arg;

    return weft_once_run(&shared->once, load, shared, WEFT_FOREVER);
}

/* The turn of one comes as it is cancelled: it takes it, or another does. */
static int race_failure_with_cancel(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *fibers[3];
        int results[3];
        int successes = 0;

        shared->once = (weft_once)WEFT_ONCE_INIT;
        shared->loaded = 0;
        shared->failures_left = 1;
        shared->is_slow = i % 2 == 0;
        for (int j = 0; j < 3; j++)
            fibers[j] = must_spawn(try_once, shared);
        for (int j = i % 5; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        weft_cancel(fibers[1]);
        for (int j = 0; j < 3; j++) {
            CHECK_EQ(weft_join(fibers[j], &results[j], WEFT_FOREVER), 0);
            CHECK(results[j] == 0 || results[j] == -EIO || (j == 1 && results[j] == -ECANCELED));
            successes += results[j] == 0;
        }
        /* One failed of itself, one may have been cancelled. */
        CHECK(successes >= 1);
        CHECK_EQ(shared->loaded, 1);
        CHECK_EQ(weft_once_run(&shared->once, load, shared, 0), 0);
        CHECK_EQ(shared->loaded, 1);
    }
    return 0;
}

WORKER_TEST(once, a_turn_is_not_lost_to_one_that_is_cancelled, TEST_TIMEOUT_S)
{
    struct shared shared = {.once = WEFT_ONCE_INIT};

    cr_expect_eq(run_workers(*workers, race_failure_with_cancel, &shared), 0);
}

static weft_once outer = WEFT_ONCE_INIT;
static weft_once inner = WEFT_ONCE_INIT;

static int succeed(void *arg)
{
    (void)arg;
    return 0;
}

static int run_again(void *arg)
{
    return weft_once_run(arg, run_again, arg, WEFT_FOREVER);
}

/* Another object is no mistake. */
static int run_another(void *arg)
{
    (void)arg;
    return weft_once_run(&inner, succeed, NULL, WEFT_FOREVER);
}

static int run_both(void *arg)
{
    (void)arg;
    return weft_once_run(&outer, run_another, NULL, WEFT_FOREVER);
}

Test(once, one_may_be_run_inside_another, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, run_both, NULL), 0);
    cr_expect_eq(run_both(NULL), 0, "a plain thread");
}

CHILD(run_inside_itself)
{
    struct weft_config config = {.workers = 2};

    return parameter == 0 ? run_again(&outer) : weft_run(&config, run_again, &outer);
}

/* It would wait for itself. */
Test(once, a_call_from_inside_its_own_function_aborts, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("run_inside_itself", 0, "from inside its own function");
    expect_abort("run_inside_itself", 1, "from inside its own function");
}
