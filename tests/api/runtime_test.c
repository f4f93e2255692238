/* SPDX-License-Identifier: MIT */
/* runtime.h: starting and ending runs, and who belongs to which. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static int return_what_arg_points_to(void *arg)
{
    return *(int *)arg;
}

/* The result of the first fiber is the program's exit status: no value may be changed on the way,
 * least of all one that looks like an error of the runtime. */
WORKER_TEST(runtime, run_returns_what_the_function_returned, TEST_TIMEOUT_S)
{
    static int results[] = {0, 1, 7, INT_MAX, INT_MIN, -ETIMEDOUT, -ECANCELED, -EINVAL};

    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        cr_expect_eq(run_workers(*workers, return_what_arg_points_to, &results[i]), results[i]);
}

static int look_around(void *arg)
{
    unsigned workers = *(unsigned *)arg;

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_worker_count(), workers);
        CHECK(weft_worker_index() >= 0);
        CHECK((unsigned)weft_worker_index() < weft_worker_limit()); /* a spare may have it */
        CHECK(weft_self() != NULL);
        CHECK(!weft_is_cancelled());
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

/* A fiber sizes its data by the limit and indexes it by the worker: both must fit. */
WORKER_TEST(runtime, fibers_know_their_runtime, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, look_around, workers), 0);
}

/* A plain thread is told so, before and after runs, instead of being taken for a fiber. */
Test(runtime, plain_threads_belong_to_none, .timeout = TEST_TIMEOUT_S)
{
    int zero = 0;

    for (int i = 0; i < 2; i++) {
        cr_expect_eq(weft_worker_count(), 0);
        cr_expect_eq(weft_worker_index(), -1);
        cr_expect_null(weft_self());
        cr_expect_not(weft_is_cancelled());
        cr_expect_eq(run_workers(2, return_what_arg_points_to, &zero), 0);
    }
}

/* What the first run leaves behind (a thread, a ring, a static variable) would break the next. */
WORKER_TEST(runtime, runs_follow_one_another, TEST_TIMEOUT_S)
{
    int result;

    for (int i = 0; i < 50; i++) {
        result = i;
        cr_assert_eq(run_workers(*workers, return_what_arg_points_to, &result), i);
    }
}

struct neighbour {
    unsigned workers;
    unsigned spawns;
    _Atomic(int) *present; /* how many of the two runs are going on */
    int result;
};

static int yield_once(void *arg)
{
    (void)arg;
    return weft_yield();
}

static int live_beside(void *arg)
{
    struct neighbour *self = arg;
    struct weft_stats stats;

    (void)atomic_fetch_add(self->present, 1);
    while (atomic_load(self->present) != 2)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    for (unsigned i = 0; i < self->spawns; i++)
        CHECK_EQ(must_join(must_spawn(yield_once, NULL)), 0);
    CHECK_EQ(weft_worker_count(), self->workers);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK_EQ(stats.workers, self->workers);
    CHECK_EQ(stats.fibers_spawned, self->spawns + 1);
    return (int)self->spawns;
}

static void *run_neighbour(void *arg)
{
    struct neighbour *self = arg;
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = self->workers;
    self->result = weft_run(&config, live_beside, self);
    return NULL;
}

/* Two libraries of one program may each start a runtime: neither sees the other's fibers, workers
 * or counters. */
WORKER_TEST(runtime, runs_side_by_side_do_not_mix, TEST_TIMEOUT_S)
{
    _Atomic(int) present = 0;
    struct resources before = resources_now();
    struct neighbour a = {.workers = *workers, .spawns = 100, .present = &present};
    struct neighbour b = {.workers = *workers + 1, .spawns = 300, .present = &present};
    pthread_t threads[2];

    (void)unsetenv("WEFT_WORKERS");
    cr_assert_eq(pthread_create(&threads[0], NULL, run_neighbour, &a), 0);
    cr_assert_eq(pthread_create(&threads[1], NULL, run_neighbour, &b), 0);
    cr_assert_eq(pthread_join(threads[0], NULL), 0);
    cr_assert_eq(pthread_join(threads[1], NULL), 0);
    cr_expect_eq(a.result, 100);
    cr_expect_eq(b.result, 300);
    assert_resources_return_to(before);
}

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "the inner run started");
}

static int run_inside(void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    (void)arg;
    config.workers = 1;
    CHECK_EQ(weft_run(&config, must_not_run, NULL), -EDEADLK);
    CHECK_EQ(weft_run(NULL, must_not_run, NULL), -EDEADLK);
    return must_join(must_spawn(yield_once, NULL));
}

/* A run inside a fiber would block its worker for the whole inner run: refused, without harm. */
WORKER_TEST(runtime, run_inside_a_fiber_is_refused, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, run_inside, NULL), 0);
}

static int check_signal_mask(void *arg)
{
    sigset_t mask;

    (void)arg;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQ(sigismember(&mask, SIGUSR1), 1);
    CHECK_EQ(sigismember(&mask, SIGTERM), 1);
    return 0;
}

/* A program that blocks its signals to take them with signalfd or sigwait loses them if a worker
 * thread still takes them. */
WORKER_TEST(runtime, workers_block_the_callers_blocked_signals, TEST_TIMEOUT_S)
{
    sigset_t mask;

    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR1);
    (void)sigaddset(&mask, SIGTERM);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &mask, NULL), 0);
    cr_expect_eq(run_workers(*workers, check_signal_mask, NULL), 0);
}

static int differ_from_caller(void *arg)
{
    CHECK(gettid() != *(pid_t *)arg);
    return 0;
}

/* The workers are threads of their own, so that the caller's thread keeps its affinity, its name
 * and its signal mask. */
WORKER_TEST(runtime, the_calling_thread_is_no_worker, TEST_TIMEOUT_S)
{
    pid_t caller = gettid();
    cpu_set_t before;
    cpu_set_t after;

    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    cr_expect_eq(run_workers(*workers, differ_from_caller, &caller), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_expect(CPU_EQUAL(&before, &after), "the caller was pinned");
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int compare_worker_stats(void *arg)
{
    struct weft_stats total;
    struct weft_stats sum = {.turns = 0};
    struct weft_stats one = {.turns = 77}, two;

    (void)arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(must_join(must_spawn(do_nothing, NULL)), 0);
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        CHECK_EQ(weft_stats_read_worker(i, &one), 0);
        CHECK_EQ(one.workers, 1);
        sum.fibers_spawned += one.fibers_spawned;
        sum.fibers_finished += one.fibers_finished;
        sum.turns += one.turns;
        CHECK_EQ(weft_stats_read_worker_on(weft_runtime_self(), i, &two), 0);
        CHECK(two.turns >= one.turns && two.fibers_finished == one.fibers_finished);
    }
    CHECK_EQ(weft_stats_read(&total), 0);
    CHECK_EQ(total.workers, weft_worker_count());
    CHECK_EQ(sum.fibers_spawned, 101);
    CHECK_EQ(total.fibers_spawned, 101);
    CHECK_EQ(sum.fibers_finished, 100);
    CHECK(sum.turns >= 101 && sum.turns <= total.turns);

    one.turns = 77;
    CHECK_EQ(weft_stats_read_worker(weft_worker_count(), &one), -ERANGE);
    CHECK_EQ(weft_stats_read_worker_on(weft_runtime_self(), weft_worker_count(), &one), -ERANGE);
    CHECK_EQ(one.turns, 77);
    return 0;
}

/* The counters of the workers add up to those of the runtime: a counter kept in the wrong place
 * shows one worker busy for all of them. */
WORKER_TEST(runtime, worker_counters_add_up, TEST_TIMEOUT_S)
{
    struct weft_stats one = {.turns = 77};

    /* Without spares, which come and go while it adds. */
    struct weft_config config = {.workers = *workers, .monitor = 3};

    cr_expect_eq(run_config(&config, compare_worker_stats, NULL), 0);
    cr_expect_eq(weft_stats_read_worker(0, &one), -EPERM);
    cr_expect_eq(one.turns, 77);
}

enum { FEW = 6 };

static int compute_for_a_while(void *arg)
{
    weft_time end = weft_after(30 * WEFT_MILLISECOND);

    while (weft_now() < end)
        ;
    *(int *)arg = weft_worker_index();
    return 0;
}

static int compute_few(void *arg)
{
    weft_fiber *fibers[FEW];
    int workers[FEW];
    int seen = 0;

    for (int i = 0; i < FEW; i++)
        fibers[i] = must_spawn(compute_for_a_while, &workers[i]);
    for (int i = 0; i < FEW; i++) {
        CHECK_EQ(must_join(fibers[i]), 0);
        seen |= 1 << workers[i];
    }
    *(int *)arg = seen;
    return 0;
}

/* A handful of long computations: too few turns for anything that is looked at every so many of
 * them, and yet the other workers must come to help.  A busy machine can keep the helper from its
 * CPU until all is done, so one run of several has to show it. */
Test(runtime, few_long_computations_are_shared, .timeout = TEST_TIMEOUT_S)
{
    int seen = 0;

    for (int i = 0; i < 20 && (seen & (seen - 1)) == 0; i++)
        cr_assert_eq(run_workers(2, compute_few, &seen), 0);
    /* Two workers at least: a spare one may have helped. */
    cr_expect_neq(seen & (seen - 1), 0, "one worker alone ran all, those seen are 0x%x", seen);
}
