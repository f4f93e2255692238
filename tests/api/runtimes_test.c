/* SPDX-License-Identifier: MIT */
/* runtime.h: several runtimes in one process, side by side and one after another. */
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

struct pair {
    weft_runtime *runtime;
    weft_runtime *other;
    weft_fiber *fiber;
    _Atomic(int) flag;
    _Atomic(unsigned) ran;
};

static int count_run(void *arg)
{
    struct pair *pair = arg;

    (void)atomic_fetch_add(&pair->ran, 1);
    return 7;
}

static int count_run_after_yield(void *arg)
{
    (void)weft_yield();
    return count_run(arg);
}

static int sleep_for_ever(void *arg)
{
    struct pair *pair = arg;
    int result = weft_sleep_until(WEFT_FOREVER);

    (void)atomic_fetch_add(&pair->ran, 1);
    return result;
}

static int join_across(void *arg)
{
    struct pair *pair = arg;

    for (int i = 0; i < 500; i++) {
        weft_fiber *fiber;
        int result = 0;

        CHECK_EQ(weft_spawn_on(pair->other, NULL, &fiber, count_run_after_yield, pair), 0);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK_EQ(result, 7);
        CHECK_EQ(weft_spawn_on(pair->other, NULL, &fiber, sleep_for_ever, pair), 0);
        CHECK_EQ(weft_join(fiber, &result, weft_after(100 * WEFT_MICROSECOND)), -ETIMEDOUT);
        weft_cancel(fiber);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK_EQ(result, -ECANCELED);
        CHECK_EQ(weft_spawn_on(pair->other, NULL, &fiber, count_run, pair), 0);
        weft_detach(fiber);
    }
    CHECK(weft_runtime_self() == pair->runtime);
    CHECK_EQ(weft_wait(pair->other, NULL, WEFT_FOREVER), -EDEADLK);
    return 0;
}

/* A wake goes to the runtime of who waits: in the queues of the waker's own worker, the fiber
 * would run on a worker that it does not belong to. */
WORKER_TEST(runtimes, fibers_of_two_runtimes_join_each_other, TEST_TIMEOUT_S)
{
    struct resources before = resources_now();
    struct pair one = {.flag = 0};
    struct pair two = {.flag = 0};
    weft_fiber *fibers[2];

    one.runtime = two.other = must_start(*workers, NULL, NULL);
    two.runtime = one.other = must_start(*workers == 1 ? 2 : 1, NULL, NULL);
    cr_assert_eq(weft_spawn_on(one.runtime, NULL, &fibers[0], join_across, &one), 0);
    cr_assert_eq(weft_spawn_on(two.runtime, NULL, &fibers[1], join_across, &two), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(weft_join(fibers[i], NULL, WEFT_FOREVER), 0);
    cr_expect_eq(weft_stop(one.runtime), 0);
    (void)must_end(one.runtime);
    cr_expect_eq(weft_stop(two.runtime), 0);
    (void)must_end(two.runtime);
    assert_resources_return_to(before);
}

static int join_until_the_end(void *arg)
{
    struct pair *pair = arg;
    int result = 0;

    atomic_store(&pair->flag, 1);
    CHECK_EQ(weft_join(pair->fiber, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, -ECANCELED);
    return 3;
}

/* One runtime ends while a fiber of the other waits in it. */
WORKER_TEST(runtimes, a_runtime_ends_under_a_fiber_of_another, TEST_TIMEOUT_S)
{
    struct pair pair = {.runtime = must_start(*workers, NULL, NULL),
                        .other = must_start(1, NULL, NULL)};
    weft_fiber *joiner;
    int result = 0;

    cr_assert_eq(weft_spawn_on(pair.other, NULL, &pair.fiber, sleep_for_ever, &pair), 0);
    cr_assert_eq(weft_spawn_on(pair.runtime, NULL, &joiner, join_until_the_end, &pair), 0);
    while (atomic_load(&pair.flag) == 0)
        (void)usleep(100);
    cr_expect_eq(weft_stop(pair.other), 0);
    (void)must_end(pair.other);
    cr_assert_eq(weft_join(joiner, &result, WEFT_FOREVER), 0);
    cr_expect_eq(result, 3);
    cr_expect_eq(weft_stop(pair.runtime), 0);
    (void)must_end(pair.runtime);
}

static int start_inside(void *arg)
{
    weft_runtime *untouched = arg;
    weft_runtime *runtime = untouched;

    CHECK_EQ(weft_start(NULL, NULL, NULL, &runtime), -EDEADLK);
    CHECK(runtime == untouched);
    CHECK_EQ(weft_wait(weft_runtime_self(), NULL, WEFT_FOREVER), -EDEADLK);
    return 0;
}

/* A fiber that waited for its own runtime would never end. */
Test(runtimes, fibers_neither_start_nor_wait, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_null(weft_runtime_self());
    cr_expect_eq(run_workers(2, start_inside, NULL), 0);
    cr_expect_eq(weft_run(NULL, NULL, NULL), -EINVAL);
}

static unsigned count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    unsigned lines = 0;
    int c;

    cr_assert_not_null(file);
    while ((c = getc(file)) != EOF)
        lines += c == '\n';
    (void)fclose(file);
    return lines;
}

static int spawn_some(void *arg)
{
    for (int i = 0; i < 20; i++)
        CHECK_EQ(must_join(must_spawn(count_run_after_yield, arg)), 7);
    return 0;
}

/* A runtime that leaves something behind each time is fine in a test and not in a process that
 * starts one per task. */
Test(runtimes, two_hundred_runs_leave_nothing_behind, .timeout = TEST_TIMEOUT_S)
{
    struct pair pair = {.flag = 0};
    struct resources before;
    unsigned mappings;

    for (int i = 0; i < 20; i++) /* caches of the allocator and of the threads library fill */
        cr_assert_eq(run_workers(4, spawn_some, &pair), 0);
    before = resources_now();
    mappings = count_mappings();
    for (int i = 0; i < 200; i++)
        cr_assert_eq(run_workers(4, spawn_some, &pair), 0);
    assert_resources_return_to(before);
    cr_expect_eq(pair.ran, 220 * 20);
    /* The allocator may split or merge some of its own, and a sanitizer keeps what it likes. */
    if (!TEST_IS_SANITIZED)
        cr_expect_lt(count_mappings(), mappings + 50, "%u mappings before, %u after", mappings,
                     count_mappings());
}
