/* SPDX-License-Identifier: MIT */
/* fiber.h: what happens when fibers or memory run out, and afterwards. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/memory.h"

#include <errno.h>
#include <sys/resource.h>

enum { LIMIT = 50 };

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static uint64_t fibers_spawned(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.fibers_spawned;
}

static void expect_refusal(int error)
{
    uint64_t before = fibers_spawned();
    weft_fiber *untouched = (weft_fiber *)&before;
    weft_fiber *fiber = untouched;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_spawn(&fiber, return_zero, NULL), error);
        CHECK_EQ(weft_spawn_with(NULL, NULL, return_zero, NULL), error);
    }
    CHECK(fiber == untouched);
    CHECK_EQ(fibers_spawned(), before);
}

static void cancel_and_join(weft_fiber **fibers, int length)
{
    for (int i = 0; i < length; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < length; i++)
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
}

static int reach_the_limit(void *arg)
{
    weft_fiber *fibers[LIMIT];

    (void)arg;
    for (int round = 0; round < 5; round++) {
        /* The first fiber counts too. */
        for (int i = 0; i < LIMIT - 1; i++)
            fibers[i] = must_spawn(sleep_for_ever, NULL);
        expect_refusal(-EAGAIN);
        cancel_and_join(fibers, LIMIT - 1);
    }
    return 0;
}

/* At the limit nothing is created and nothing is lost; once fibers have ended, the room is back.
 * A count that is not given back on one path would shrink the limit round by round. */
WORKER_TEST(limits, max_fibers_is_exact_and_recovers, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_fibers = LIMIT};

    cr_expect_eq(run_config(&config, reach_the_limit, NULL), 0);
    cr_expect_eq(run_stats().fibers_spawned, 5 * (LIMIT - 1) + 1);
}

static int spawn_detached_at_the_limit(void *arg)
{
    (void)arg;
    for (int ended = 0; ended < 1000;) {
        int result = weft_spawn(NULL, return_zero, NULL);
        CHECK(result == 0 || result == -EAGAIN);
        if (result == 0)
            ended++;
        else
            (void)weft_yield();
    }
    return 0;
}

/* Detached fibers give their place back too, with nobody joining them. */
WORKER_TEST(limits, detached_fibers_give_their_place_back, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_fibers = 8};

    cr_expect_eq(run_config(&config, spawn_detached_at_the_limit, NULL), 0);
    cr_expect_eq(run_stats().fibers_spawned, 1001);
}

static int be_the_only_one(void *arg)
{
    (void)arg;
    expect_refusal(-EAGAIN);
    return 0;
}

/* The smallest limit leaves room for the first fiber and no other. */
WORKER_TEST(limits, a_limit_of_one_is_the_first_fiber, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .max_fibers = 1};

    cr_expect_eq(run_config(&config, be_the_only_one, NULL), 0);
}

enum { STACKS = 64, STACK_MIB = 4 }; /* stacks of 64 KiB that fit into so much memory */

static int reach_the_stack_limit(void *arg)
{
    weft_fiber *fibers[STACKS];
    bool is_alone = weft_worker_count() == 1;
    int result = 0;

    (void)arg;
    for (int round = 0; round < 5; round++) {
        int count = 0;
        while (count < STACKS && (result = weft_spawn(&fibers[count], sleep_for_ever, NULL)) == 0)
            count++;
        CHECK_EQ(result, -ENOMEM);
        /* The first fiber has one.  Other workers may keep some of those that were given back. */
        CHECK(is_alone ? count == STACKS - 1 : count < STACKS);
        CHECK(round > 0 || count > 0);
        /* What others keep may come back at any time: the monitor has them trim. */
        if (count == STACKS - 1)
            expect_refusal(-ENOMEM);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        cancel_and_join(fibers, count);
    }
    return 0;
}

/* No more stacks than the limit has room for, whoever asks; those that exist go on, and what they
 * give back is used again. */
WORKER_TEST(limits, stack_memory_is_bounded_and_recovers, TEST_TIMEOUT_S)
{
    struct weft_config config = {
        .workers = *workers, .stack_size_kib = 64, .max_stack_memory_mib = STACK_MIB, .monitor = 2};

    cr_expect_eq(run_config(&config, reach_the_stack_limit, NULL), 0);
    cr_expect_leq(run_stats().stacks_mapped, STACKS);
}

/* A limit below the first fiber's stack cannot be kept: the start says so. */
Test(limits, a_limit_without_room_for_one_stack_fails_the_start, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.stack_size_kib = 2048, .max_stack_memory_mib = 1};
    struct resources before = resources_now();

    cr_expect_eq(weft_run(&config, return_zero, NULL), -ENOMEM);
    assert_resources_return_to(before);
}

static int exhaust_address_space(void *arg)
{
    enum { FIBERS = 4096 };
    static weft_fiber *fibers[FIBERS];
    const struct weft_fiber_attr attr = {.stack_size_kib = 8192};
    struct rlimit limit;
    uint64_t spawned_before;
    int result = 0;
    int count = 0;

    (void)arg;
    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = memory_now().size_kib * 1024 + (1ul << 30);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (int round = 0; round < 3; round++) {
        spawned_before = fibers_spawned();
        count = 0;
        while (count < FIBERS &&
               (result = weft_spawn_with(&attr, &fibers[count], sleep_for_ever, NULL)) == 0)
            count++;
        CHECK_EQ(result, -ENOMEM);
        CHECK(count > 0);
        CHECK_EQ(fibers_spawned(), spawned_before + (uint64_t)count);
        /* Fibers with smaller stacks that exist already go on. */
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        cancel_and_join(fibers, count);
    }
    return 0;
}

CHILD(run_out_of_address_space)
{
    struct weft_config config = {.workers = parameter};

    return weft_run(&config, exhaust_address_space, NULL);
}

/* Out of address space is an error of one spawn: the runtime, and the fibers that it has, go on. */
Test(limits, no_address_space_fails_the_spawn_only, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer needs the address space itself");
    for (unsigned workers = 1; workers <= 4; workers *= 4) {
        struct child_end end;
        run_child("run_out_of_address_space", workers, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
    }
}

static int keep_many_alive(void *arg)
{
    static weft_fiber *fibers[TEST_FIBERS_ALIVE_MAX];
    struct weft_stats stats;

    (void)arg;
    for (int i = 0; i < TEST_FIBERS_ALIVE_MAX; i++)
        fibers[i] = must_spawn(sleep_for_ever, NULL);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    cancel_and_join(fibers, TEST_FIBERS_ALIVE_MAX);
    do {
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.fibers_freed < TEST_FIBERS_ALIVE_MAX);
    return 0;
}

/* Queues that are full must spill, and no stack may go without its guard in silence. */
WORKER_TEST(limits, many_fibers_at_once, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_size_kib = 64, .guard = 1};

    cr_expect_eq(run_config(&config, keep_many_alive, NULL), 0);
    cr_expect_geq(run_stats().stacks_mapped, TEST_FIBERS_ALIVE_MAX);
    cr_expect_geq(run_stats().slab_bytes, (uint64_t)TEST_FIBERS_ALIVE_MAX * 64 * 1024);
}

/* The other guards carry a program as well. */
WORKER_TEST(limits, every_kind_of_guard_runs_programs, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_size_kib = 64, .max_fibers = LIMIT};

    for (config.guard = 1; config.guard <= 3; config.guard++) {
        struct weft_stats stats;
        cr_expect_eq(run_config(&config, reach_the_limit, NULL), 0);
        stats = run_stats();
        if (config.guard == 3)
            cr_expect_eq(stats.stacks_unguarded, stats.stacks_mapped);
        else
            cr_expect_eq(stats.stacks_unguarded, 0);
    }
}

static int reuse_stacks(void *arg)
{
    struct weft_stats stats;

    (void)arg;
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(must_join(must_spawn(return_zero, NULL)), 0);
    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.slab_bytes < UINT64_C(64) << 20;
}

/* One fiber after the other needs a handful of stacks, not ten thousand. */
WORKER_TEST(limits, stacks_are_used_again, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_size_kib = 64};

    cr_expect_eq(run_config(&config, reuse_stacks, NULL), 1);
}
