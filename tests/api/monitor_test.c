/* SPDX-License-Identifier: MIT */
/* No fiber waits behind another that computes or blocks. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/silence.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Computes until somebody sets the flag: for ever, if that somebody waits behind it.  Relaxed,
 * since ThreadSanitizer holds a lock of the flag in any other load, and lets the one who wants to
 * set it wait for as long as there are readers: with ten threads in this loop, for ever. */
static int compute_until_flag(void *arg)
{
    _Atomic(int) *flag = arg;

    while (atomic_load_explicit(flag, memory_order_relaxed) == 0)
        ;
    return 0;
}

static int set_flag(void *arg)
{
    atomic_store((_Atomic(int) *)arg, 1);
    return 0;
}

/* In chaos mode whoever should be behind a computation can be somewhere else. */
static void expect_stalls(void)
{
    if (getenv("WEFT_CHAOS") == NULL)
        cr_expect_gt(run_stats().stalls, 0);
}

static int compute_before_a_spawned_fiber(void *arg)
{
    _Atomic(int) flag = 0;
    weft_fiber *other = must_spawn(set_flag, &flag);

    (void)arg;
    (void)compute_until_flag(&flag);
    CHECK_EQ(must_join(other), 0);
    return 0;
}

/* A fiber that was just created waits behind its creator's computation.  Only a helper can run it,
 * and the creator ends only when it has run. */
Test(monitor, spawned_fibers_do_not_wait_behind_their_spawner, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned workers = 2; workers <= 4; workers *= 2) {
        cr_expect_eq(run_workers(workers, compute_before_a_spawned_fiber, NULL), 0);
        expect_stalls();
    }
}

enum { CHAIN = 50 };

struct chain {
    _Atomic(int) flag;
    weft_fiber *first[CHAIN];
};

static int yield_a_while(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        (void)weft_yield();
    return 0;
}

static int join_then_set_flag(void *arg)
{
    struct chain *chain = arg;

    for (int i = 0; i < CHAIN; i++)
        CHECK_EQ(must_join(chain->first[i]), 0);
    return set_flag(&chain->flag);
}

static int compute_before_ready_fibers(void *arg)
{
    struct chain chain = {0};
    weft_fiber *second;

    (void)arg;
    for (int i = 0; i < CHAIN; i++)
        chain.first[i] = must_spawn(yield_a_while, NULL);
    second = must_spawn(join_then_set_flag, &chain);
    for (int i = 0; i < CHAIN; i++)
        (void)weft_yield(); /* many are past their first turn now, or on another worker */
    (void)compute_until_flag(&chain.flag);
    CHECK_EQ(must_join(second), 0);
    return 0;
}

/* The same for fibers in the ready queue and in the next slot, which others take later than fresh
 * ones where nobody is stuck. */
Test(monitor, ready_fibers_do_not_wait_behind_a_computation, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned workers = 2; workers <= 4; workers *= 2)
        for (int round = 0; round < 10; round++)
            cr_expect_eq(run_workers(workers, compute_before_ready_fibers, NULL), 0);
}

static int compute_politely(void *arg)
{
    _Atomic(int) flag = 0;
    weft_fiber *other = must_spawn(set_flag, &flag);
    unsigned yields = 0;

    (void)arg;
    while (atomic_load(&flag) == 0)
        yields += weft_yield_if_due();
    CHECK(yields >= 1);
    CHECK_EQ(must_join(other), 0);
    return 0;
}

/* One worker: the other fiber runs only if the loop yields, and it yields only when it is asked. */
Test(monitor, yield_if_due_yields_after_a_while, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};

    cr_expect_eq(run_config(&config, compute_politely, NULL), 0);
    expect_stalls();
}

static int never_due(void *arg)
{
    weft_time end = weft_after(50 * WEFT_MILLISECOND);

    (void)arg;
    while (weft_now() < end)
        CHECK(!weft_yield_if_due());
    return 0;
}

/* Without a monitor nobody asks, and from a plain thread there is nothing to yield. */
Test(monitor, yield_if_due_needs_a_monitor, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3};

    cr_expect_eq(run_config(&config, never_due, NULL), 0);
    cr_expect_eq(run_stats().stalls, 0);
    cr_expect_not(weft_yield_if_due());
}

static int read_pipe(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static int wake_after_silence(void *arg)
{
    CHECK_EQ(read_pipe(arg), 1);
    return compute_before_a_spawned_fiber(NULL);
}

/* A monitor that slept through the silence and did not wake with the worker would let the last
 * fiber compute for ever. */
Test(monitor, wakes_with_the_workers, .timeout = TEST_TIMEOUT_S)
{
    struct silence silence = {.seconds = 2};
    int pipe_fds[2];
    pthread_t watcher;

    cr_assert_eq(pipe(pipe_fds), 0);
    silence.end = pipe_fds[1];
    cr_assert_eq(pthread_create(&watcher, NULL, await_silence, &silence), 0);
    cr_expect_eq(weft_run(&(struct weft_config){.workers = 2}, wake_after_silence, &pipe_fds[0]),
                 0);
    cr_assert_eq(pthread_join(watcher, NULL), 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

/* Waits for the hogs, while somebody sets their flag. */
struct hogs {
    unsigned count;
    int (*hog)(void *);    /* stays in its first turn until... */
    void *hog_arg;         /* ...of this... */
    int (*helper)(void *); /* ...this fiber lets it go */
    void *helper_arg;
    unsigned threads_max; /* while all were at it */
};

static unsigned count_threads(void)
{
    return resources_now().threads;
}

static int run_hogs(void *arg)
{
    struct hogs *hogs = arg;
    weft_fiber *fibers[128], *helper;

    CHECK(hogs->count <= sizeof fibers / sizeof *fibers);
    /* The youngest runs first: the hogs, and the helper behind them. */
    helper = must_spawn(hogs->helper, hogs->helper_arg);
    for (unsigned i = 0; i < hogs->count; i++)
        fibers[i] = must_spawn(hogs->hog, hogs->hog_arg);
    for (unsigned i = 0; i < hogs->count; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(must_join(helper), 0);
    hogs->threads_max = count_threads();
    return 0;
}

/* As many fibers compute as there are workers, and go on until another fiber has run. */
WORKER_TEST(monitor, computations_on_every_worker_stop_nobody, TEST_TIMEOUT_S)
{
    _Atomic(int) flag = 0;
    struct hogs hogs = {*workers, compute_until_flag, &flag, set_flag, &flag, 0};

    cr_expect_eq(run_workers(*workers, run_hogs, &hogs), 0);
    expect_stalls();
    if (*workers == 1 && getenv("WEFT_CHAOS") == NULL)
        cr_expect_gt(run_stats().spare_calls, 0);
    cr_expect_leq(run_stats().spares, 4);
}

/* Blocks its thread, not only its fiber. */
static int block_until_byte(void *arg)
{
    char byte;

    CHECK_EQ(read(((int *)arg)[0], &byte, 1), 1);
    CHECK_EQ(write(((int *)arg)[1], &byte, 1), 1);
    return 0;
}

static int write_byte(void *arg)
{
    CHECK_EQ(write(((int *)arg)[1], "", 1), 1);
    return 0;
}

/* The same with a system call that blocks until another fiber has run. */
WORKER_TEST(monitor, blocking_calls_on_every_worker_stop_nobody, TEST_TIMEOUT_S)
{
    int pipe_fds[2];
    struct hogs hogs = {*workers, block_until_byte, pipe_fds, write_byte, pipe_fds, 0};

    cr_assert_eq(pipe(pipe_fds), 0);
    cr_expect_eq(run_workers(*workers, run_hogs, &hogs), 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

static void *release_when_all_are_stuck(void *arg)
{
    _Atomic(int) *flag = arg;
    unsigned most = 0;

    /* Long enough for a runtime without a bound to show; no verdict hangs on it. */
    for (int i = 0; i < 200; i++) {
        unsigned threads = count_threads();

        most = threads > most ? threads : most;
        (void)usleep(1000);
    }
    atomic_store(flag, 1);
    return (void *)(uintptr_t)most;
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

/* More hogs than workers and spares: the others wait then, but threads are not made without end,
 * and all is well when the hogs stop. */
WORKER_TEST(monitor, spares_are_bounded, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .spare_workers = 2};
    _Atomic(int) flag = 0;
    struct hogs hogs = {*workers + 2 + 4, compute_until_flag, &flag, return_zero, NULL, 0};
    struct resources before = resources_now();
    pthread_t releaser;
    void *most;

    cr_assert_eq(pthread_create(&releaser, NULL, release_when_all_are_stuck, &flag), 0);
    cr_expect_eq(weft_run(&config, run_hogs, &hogs), 0);
    cr_assert_eq(pthread_join(releaser, &most), 0);
    /* The releaser, the workers, the spares, the monitor. */
    cr_expect_leq((unsigned)(uintptr_t)most, before.threads + 1 + *workers + 2 + 1);
    cr_expect_leq(run_stats().spares, 2);
    assert_resources_return_to(before);
}

static int call_spares_again_and_again(void *arg)
{
    for (int round = 0; round < 20; round++) {
        _Atomic(int) flag = 0;
        struct hogs hogs = {2, compute_until_flag, &flag, set_flag, &flag, 0};

        CHECK_EQ(run_hogs(&hogs), 0);
        CHECK(hogs.threads_max <= *(unsigned *)arg);
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    }
    return 0;
}

/* A spare that was sent to the reserve is called again before another is made, and what it has
 * left behind (a timer, here) is carried out. */
Test(monitor, spares_are_used_again, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .spare_workers = 3};
    unsigned threads_max = resources_now().threads + 1 + 3 + 1;

    cr_expect_eq(run_config(&config, call_spares_again_and_again, &threads_max), 0);
    cr_expect_gt(run_stats().spare_calls, 0);
    cr_expect_leq(run_stats().spares, 3);
}

static int look_at_index(void *arg)
{
    CHECK(weft_worker_index() >= 0);
    CHECK((unsigned)weft_worker_index() < weft_worker_limit());
    CHECK_EQ(weft_worker_count(), 1);
    return set_flag(arg);
}

/* A spare has a number of its own, below the limit. */
Test(monitor, spares_have_numbers_below_the_limit, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .spare_workers = 2};
    _Atomic(int) flag = 0;
    struct hogs hogs = {1, compute_until_flag, &flag, look_at_index, &flag, 0};

    cr_expect_eq(run_config(&config, run_hogs, &hogs), 0);
    /* On a loaded machine the first one can seem stuck too, and be relieved.  In chaos the helper
     * can come before the hog. */
    if (getenv("WEFT_CHAOS") == NULL)
        cr_expect_geq(run_stats().spares, 1);
    cr_expect_leq(run_stats().spares, 2);
    cr_expect_eq(weft_worker_limit(), 0);
}

struct rescue {
    _Atomic(int) flag;
    int pipe_fds[2];
};

/* Does one of each kind of wait before it lets the hogs go. */
static int wait_in_every_way(void *arg)
{
    struct rescue *rescue = arg;
    weft_fiber *writer;
    char byte;

    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0);
    writer = must_spawn(write_byte, rescue->pipe_fds);
    CHECK_EQ(weft_read(rescue->pipe_fds[0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(must_join(writer), 0);
    CHECK_EQ(weft_read(rescue->pipe_fds[0], &byte, 1, weft_after(5 * WEFT_MILLISECOND)),
             -ETIMEDOUT);
    return set_flag(&rescue->flag);
}

static int compute_until_rescue(void *arg)
{
    return compute_until_flag(&((struct rescue *)arg)->flag);
}

/* Blocks its thread again and again. */
static int doze_until_rescue(void *arg)
{
    while (atomic_load(&((struct rescue *)arg)->flag) == 0)
        (void)usleep(20000);
    return 0;
}

static int run_hogs_after_waiters(void *arg)
{
    struct hogs hogs = *(struct hogs *)arg;
    weft_fiber *waiter = must_spawn(hogs.helper, hogs.helper_arg);

    hogs.helper = return_zero;
    /* The waiter is in its first wait, on this worker's timers, when the hogs begin. */
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(run_hogs(&hogs), 0);
    CHECK_EQ(must_join(waiter), 0);
    return 0;
}

static void expect_rescue(unsigned workers, unsigned count, int (*hog)(void *))
{
    struct rescue rescue = {0};
    struct hogs hogs = {count, hog, &rescue, wait_in_every_way, &rescue, 0};
    struct weft_config config = {.workers = workers, .spare_workers = 4};

    cr_assert_eq(pipe(rescue.pipe_fds), 0);
    cr_expect_eq(run_config(&config, run_hogs_after_waiters, &hogs), 0);
    (void)close(rescue.pipe_fds[0]);
    (void)close(rescue.pipe_fds[1]);
}

/* Timers and completions of a worker that computes reach their fibers: one hog, as many as workers,
 * and two more. */
WORKER_TEST(monitor, waits_end_while_workers_compute, TEST_TIMEOUT_S)
{
    expect_rescue(*workers, 1, compute_until_rescue);
    expect_rescue(*workers, *workers, compute_until_rescue);
    expect_rescue(*workers, *workers + 2, compute_until_rescue);
}

/* The same while they block in the kernel. */
WORKER_TEST(monitor, waits_end_while_workers_block, TEST_TIMEOUT_S)
{
    expect_rescue(*workers, 1, doze_until_rescue);
    expect_rescue(*workers, *workers, doze_until_rescue);
}
