/* SPDX-License-Identifier: MIT */
/* fiber.h and runtime.h from outside: spawn, join, cancel and stop by threads that are no worker.
 */
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, FIBERS_PER_THREAD = TEST_IS_TSAN ? 1000 : 10000, BATCH = 50 };

struct outside {
    weft_runtime *runtime;
    weft_fiber *fiber;
    int fd;
    _Atomic(int) flag;
    _Atomic(int) go_on;
    _Atomic(unsigned) spawned;
    _Atomic(unsigned) refused;
    _Atomic(unsigned) ran;
};

static void run_threads(unsigned count, void *(*fn)(void *), void *arg)
{
    pthread_t threads[16];

    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, fn, arg), 0);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
}

static int count_run(void *arg)
{
    struct outside *outside = arg;

    (void)atomic_fetch_add(&outside->ran, 1);
    return 7;
}

static int count_run_after_yield(void *arg)
{
    (void)weft_yield();
    return count_run(arg);
}

static int sleep_for_ever(void *arg)
{
    struct outside *outside = arg;
    int result = weft_sleep_until(WEFT_FOREVER);

    (void)atomic_fetch_add(&outside->ran, 1);
    return result;
}

static void *spawn_and_join_each(void *arg)
{
    struct outside *outside = arg;

    for (unsigned i = 0; i < FIBERS_PER_THREAD; i++) {
        weft_fiber *fiber;
        int result = 0;

        CHECK_EQ(weft_spawn_on(outside->runtime, NULL, &fiber,
                               i % 2 ? count_run : count_run_after_yield, outside),
                 0);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK_EQ(result, 7);
    }
    return NULL;
}

/* Each thread waits for its fiber before it spawns the next, so the workers are about to sleep
 * whenever a fiber comes: a wake that is lost once leaves the thread waiting for ever. */
WORKER_TEST(outside, every_spawn_wakes_a_worker, TEST_TIMEOUT_S)
{
    struct resources before = resources_now();
    struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};

    run_threads(THREADS, spawn_and_join_each, &outside);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    cr_expect_eq(must_end(outside.runtime), 0);
    cr_expect_eq(outside.ran, THREADS * FIBERS_PER_THREAD);
    cr_expect_eq(run_stats().fibers_spawned, THREADS * FIBERS_PER_THREAD + 1); /* the stopper */
    assert_resources_return_to(before);
}

static void *spawn_and_join_batches(void *arg)
{
    struct outside *outside = arg;

    for (unsigned i = 0; i < FIBERS_PER_THREAD / BATCH; i++) {
        weft_fiber *fibers[BATCH];

        for (unsigned j = 0; j < BATCH; j++)
            CHECK_EQ(weft_spawn_on(outside->runtime, NULL, &fibers[j], count_run, outside), 0);
        /* Some have ended, some have not, and each third is given up instead. */
        for (unsigned j = 0; j < BATCH; j++) {
            if (j % 3 == 0)
                weft_detach(fibers[j]);
            else
                CHECK_EQ(must_join(fibers[j]), 7);
        }
    }
    return NULL;
}

/* Stacks come from the depot for threads, go to workers' caches, and come back: none is lost, and
 * none is handed out twice. */
WORKER_TEST(outside, batches_are_joined_and_detached, TEST_TIMEOUT_S)
{
    struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};

    run_threads(THREADS, spawn_and_join_batches, &outside);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
    cr_expect_eq(outside.ran, THREADS * FIBERS_PER_THREAD);
    cr_expect_lt(run_stats().stacks_mapped, THREADS * BATCH + 200 * (*workers + 1));
}

static void *spawn_until_refused(void *arg)
{
    struct outside *outside = arg;
    int error;

    do {
        error = weft_spawn_on(outside->runtime, NULL, NULL, count_run_after_yield, outside);
        (void)atomic_fetch_add(error == 0 ? &outside->spawned : &outside->refused, 1);
    } while (error == 0 || error == -ENOMEM);
    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(weft_spawn_on(outside->runtime, NULL, NULL, count_run, outside), -ECANCELED);
    return NULL;
}

static void *stop_soon(void *arg)
{
    struct outside *outside = arg;

    while (atomic_load(&outside->spawned) < 500)
        (void)usleep(100);
    CHECK_EQ(weft_stop(outside->runtime), 0);
    return NULL;
}

/* A fiber that was accepted while the end began and never ran would be one whose resources nobody
 * gives back; one that was accepted after the last look would run on freed memory. */
WORKER_TEST(outside, spawns_during_the_end_run_or_are_refused, TEST_TIMEOUT_S)
{
    for (int round = 0; round < (TEST_IS_SANITIZED ? 3 : 10); round++) {
        struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
        pthread_t spawners[THREADS];
        pthread_t stopper;

        for (int i = 0; i < THREADS; i++)
            cr_assert_eq(pthread_create(&spawners[i], NULL, spawn_until_refused, &outside), 0);
        cr_assert_eq(pthread_create(&stopper, NULL, stop_soon, &outside), 0);
        for (int i = 0; i < THREADS; i++)
            cr_assert_eq(pthread_join(spawners[i], NULL), 0);
        cr_assert_eq(pthread_join(stopper, NULL), 0);
        (void)must_end(outside.runtime);
        cr_expect_eq(outside.ran, outside.spawned, "of %u fibers %u ran", outside.spawned,
                     outside.ran);
        cr_expect_eq(run_stats().fibers_spawned, outside.spawned + 1); /* the stopper */
    }
}

static int stop_own_runtime(void *arg)
{
    struct outside *outside = arg;

    CHECK_EQ(weft_stop(weft_runtime_self()), 0);
    CHECK_EQ(weft_stop(weft_runtime_self()), 0);
    CHECK(weft_is_cancelled());
    CHECK_EQ(weft_spawn(NULL, count_run, outside), -ECANCELED);
    CHECK_EQ(weft_spawn_on(weft_runtime_self(), NULL, NULL, count_run, outside), -ECANCELED);
    return 5;
}

static void *spawn_the_stopper(void *arg)
{
    struct outside *outside = arg;

    CHECK_EQ(weft_spawn_on(outside->runtime, NULL, NULL, stop_own_runtime, outside), 0);
    return NULL;
}

/* The thread may still be on its way out of the call that ended the runtime: its memory must wait
 * for it. */
WORKER_TEST(outside, a_fiber_can_stop_its_runtime, TEST_TIMEOUT_S)
{
    for (int round = 0; round < 50; round++) {
        struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, spawn_the_stopper, &outside), 0);
        cr_expect_eq(must_end(outside.runtime), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
}

static int wait_for_flag(void *arg)
{
    struct outside *outside = arg;

    await_flag(&outside->flag);
    return weft_is_cancelled() ? -ECANCELED : 9;
}

/* The first fiber's return begins the end as in weft_run(), and its result is what comes back;
 * a stop before that cancels it. */
WORKER_TEST(outside, the_first_fiber_ends_the_runtime, TEST_TIMEOUT_S)
{
    struct outside outside = {.flag = 0};
    int untouched = 42;

    outside.runtime = must_start(*workers, wait_for_flag, &outside);
    cr_expect_eq(weft_wait(outside.runtime, &untouched, weft_after(5 * WEFT_MILLISECOND)),
                 -ETIMEDOUT);
    cr_expect_eq(untouched, 42);
    atomic_store(&outside.flag, 1);
    cr_expect_eq(must_end(outside.runtime), 9);

    outside.runtime = must_start(*workers, sleep_for_ever, &outside);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    cr_expect_eq(must_end(outside.runtime), -ECANCELED);
}

/* Nothing ever ran: the end has nobody but the stopper to notice it. */
WORKER_TEST(outside, an_empty_runtime_can_be_stopped, TEST_TIMEOUT_S)
{
    struct resources before = resources_now();

    for (int i = 0; i < 20; i++) {
        weft_runtime *runtime = must_start(*workers, NULL, NULL);

        cr_expect_eq(weft_stop(runtime), 0);
        cr_expect_eq(must_end(runtime), 0);
    }
    assert_resources_return_to(before);
}

static int read_for_ever(void *arg)
{
    struct outside *outside = arg;
    char byte;

    return (int)weft_read(outside->fd, &byte, 1, WEFT_FOREVER);
}

/* A thread interrupts each kind of wait: a sleep, a join, and one that only its own worker can
 * interrupt.  The worker sleeps meanwhile. */
WORKER_TEST(outside, threads_cancel_fibers, TEST_TIMEOUT_S)
{
    static int (*const kinds[])(void *) = {sleep_for_ever, read_for_ever};
    struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
    int fds[2];

    make_pipe(fds);
    outside.fd = fds[0];
    for (int i = 0; i < 200; i++) {
        weft_fiber *fiber;
        int result = 0;

        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, &fiber, kinds[i % 2], &outside), 0);
        if (i % 4 < 2)
            cr_expect_eq(weft_join(fiber, NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
        weft_cancel(fiber);
        weft_cancel(fiber);
        cr_assert_eq(weft_join(fiber, &result, WEFT_FOREVER), 0);
        cr_expect_eq(result, -ECANCELED);
    }
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* A thread that cancels must not wait in a full ring for a worker that waits for it, and a stop
 * must not do so with locks held. */
WORKER_TEST(outside, more_operations_than_slots_are_cancelled, TEST_TIMEOUT_S)
{
    enum { READERS = 400 };
    struct weft_config config = {.workers = *workers, .ring_entries = 8};
    struct outside outside = {.flag = 0};
    weft_fiber *fibers[READERS];
    int fds[2];

    make_pipe(fds);
    outside.fd = fds[0];
    cr_assert_eq(weft_start(&config, NULL, NULL, &outside.runtime), 0);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, &fibers[i], read_for_ever, &outside), 0);
    cr_expect_eq(weft_join(fibers[0], NULL, weft_after(20 * WEFT_MILLISECOND)), -ETIMEDOUT);
    for (int i = 0; i < READERS / 2; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < READERS / 2; i++)
        cr_expect_eq(weft_join(fibers[i], NULL, WEFT_FOREVER), 0);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void *join_the_fiber(void *arg)
{
    struct outside *outside = arg;
    int result = 0;

    atomic_store(&outside->flag, 1);
    CHECK_EQ(weft_join(outside->fiber, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED);
    return NULL;
}

/* The end of the runtime wakes a thread that waits in it, which then reads a result there. */
WORKER_TEST(outside, the_end_waits_for_joining_threads, TEST_TIMEOUT_S)
{
    for (int round = 0; round < 20; round++) {
        struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
        pthread_t thread;

        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, &outside.fiber, sleep_for_ever, &outside),
                     0);
        cr_assert_eq(pthread_create(&thread, NULL, join_the_fiber, &outside), 0);
        while (atomic_load(&outside.flag) == 0 || round % 2)
            if (usleep(1000) == 0 && atomic_load(&outside.flag))
                break;
        (void)usleep(2000);
        cr_expect_eq(weft_stop(outside.runtime), 0);
        (void)must_end(outside.runtime);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
}

/* As for weft_spawn(), and a name and a size reach the fiber. */
Test(outside, spawn_refuses_what_spawn_refuses, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 2, .max_fibers = 3};
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    struct outside outside = {.flag = 0};
    weft_fiber *fibers[3];
    weft_fiber *untouched = (weft_fiber *)&outside;
    weft_fiber *fiber = untouched;

    cr_assert_eq(weft_start(&config, NULL, NULL, &outside.runtime), 0);
    attr.stack_size_kib = 9000;
    cr_expect_eq(weft_spawn_on(outside.runtime, &attr, &fiber, count_run, &outside), -EINVAL);
    attr.stack_size_kib = 16;
    attr.name = "from outside";
    for (int i = 0; i < 3; i++)
        cr_assert_eq(weft_spawn_on(outside.runtime, &attr, &fibers[i], sleep_for_ever, &outside),
                     0);
    cr_expect_str_eq(weft_fiber_name(fibers[0]), "from outside");
    cr_expect_neq(weft_fiber_id(fibers[0]), weft_fiber_id(fibers[1]));
    cr_expect_eq(weft_spawn_on(outside.runtime, NULL, &fiber, count_run, &outside), -EAGAIN);
    cr_expect_eq(fiber, untouched);
    weft_cancel(fibers[1]);
    cr_expect_eq(weft_join(fibers[1], NULL, WEFT_FOREVER), 0);
    cr_expect_eq(weft_spawn_on(outside.runtime, NULL, NULL, count_run, &outside), 0);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
    cr_expect_eq(run_stats().fibers_spawned, 5); /* with the stopper */
}

static int spawn_until_told(void *arg)
{
    struct outside *outside = arg;

    while (atomic_load(&outside->go_on) == 0 && weft_spawn(NULL, count_run, outside) == 0)
        (void)weft_yield();
    return 0;
}

/* Fibers are spawned by one worker and end on another.  A reader that saw the end of one and not
 * its spawn would have less than none alive. */
WORKER_TEST(outside, no_more_fibers_end_than_were_spawned, TEST_TIMEOUT_S)
{
    struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
    struct weft_stats stats;

    for (unsigned i = 0; i < *workers; i++)
        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, NULL, spawn_until_told, &outside), 0);
    do {
        cr_assert_eq(weft_stats_read_on(outside.runtime, &stats), 0);
        cr_assert_leq(stats.fibers_started, stats.fibers_spawned);
        cr_assert_leq(stats.fibers_finished, stats.fibers_started);
        cr_assert_leq(stats.fibers_freed, stats.fibers_finished);
    } while (stats.fibers_finished < (TEST_IS_TSAN ? 2 : 20) * FIBERS_PER_THREAD);
    atomic_store(&outside.go_on, 1);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
}

static int yield_until_told(void *arg)
{
    struct outside *outside = arg;

    (void)atomic_fetch_add(&outside->ran, 1);
    while (atomic_load(&outside->go_on) == 0 && weft_yield() == 0)
        ;
    return 0;
}

/* While a worker is busy with its own fibers it looks at what comes from outside all the same. */
WORKER_TEST(outside, busy_workers_take_fibers_from_outside, TEST_TIMEOUT_S)
{
    struct outside outside = {.runtime = must_start(*workers, NULL, NULL)};
    struct weft_stats stats;
    weft_fiber *fiber;

    for (unsigned i = 0; i < 2 * *workers; i++)
        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, NULL, yield_until_told, &outside), 0);
    while (atomic_load(&outside.ran) < 2 * *workers)
        (void)usleep(100);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(weft_spawn_on(outside.runtime, NULL, &fiber, count_run, &outside), 0);
        cr_assert_eq(weft_join(fiber, NULL, WEFT_FOREVER), 0);
    }
    cr_expect_eq(weft_stats_read_on(outside.runtime, &stats), 0);
    cr_expect_eq(stats.fibers_spawned, 2 * *workers + 100);
    cr_expect_eq(stats.fibers_freed, 100);
    atomic_store(&outside.go_on, 1);
    cr_expect_eq(weft_stop(outside.runtime), 0);
    (void)must_end(outside.runtime);
}
