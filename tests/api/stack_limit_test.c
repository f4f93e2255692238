/* SPDX-License-Identifier: MIT */
/* runtime.h: what still works once max_stack_memory_mib is used up. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    LIMIT_MIB = 4,
    STACK_KIB = 64,
    STACKS = LIMIT_MIB * 1024 / STACK_KIB,
    READS = TEST_IS_SANITIZED ? 2000 : 20000,
};

struct full {
    weft_scope scope;
    weft_runtime *runtime;
    _Atomic(int) is_full;
    _Atomic(unsigned) refused;
    _Atomic(int) is_over;
};

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static int fill_and_sleep(void *arg)
{
    struct full *full = arg;

    /* One is our own.  The worker that made it may have made more, and hands them over later. */
    for (int i = 1; i < STACKS; i++)
        while (weft_spawn(NULL, sleep_for_ever, NULL) != 0)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_spawn(NULL, sleep_for_ever, NULL), -ENOMEM);
    atomic_store(&full->is_full, 1);
    return sleep_for_ever(NULL);
}

static int fill_a_scope(void *arg)
{
    struct full *full = arg;

    for (int i = 1; i < STACKS; i++)
        while (weft_scope_spawn(&full->scope, sleep_for_ever, NULL) != 0)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_scope_spawn(&full->scope, sleep_for_ever, NULL), -ENOMEM);
    atomic_store(&full->is_full, 1);
    return weft_scope_close(&full->scope, 0);
}

/* Starts a runtime whose first fiber leaves no room for a stack of any size. */
static void start_full(struct full *full, unsigned workers, int (*fn)(void *))
{
    struct weft_config config = {
        .workers = workers, .stack_size_kib = STACK_KIB, .max_stack_memory_mib = LIMIT_MIB};

    cr_assert_eq(weft_start(&config, fn, full, &full->runtime), 0);
    while (atomic_load(&full->is_full) == 0)
        (void)usleep(100);
}

/* The stop needs a fiber.  If the limit kept that one out, a server under its full load could not
 * be ended. */
WORKER_TEST(stack_limit, a_full_runtime_can_be_stopped, TEST_TIMEOUT_S)
{
    struct full full = {.scope = WEFT_SCOPE_INIT};

    start_full(&full, *workers, fill_and_sleep);
    cr_assert_eq(weft_stop(full.runtime), 0);
    cr_expect_eq(must_end(full.runtime), -ECANCELED);
}

/* So does a thread that cancels a scope. */
WORKER_TEST(stack_limit, a_thread_cancels_a_scope_of_a_full_runtime, TEST_TIMEOUT_S)
{
    struct full full = {.scope = WEFT_SCOPE_INIT};

    start_full(&full, *workers, fill_a_scope);
    cr_assert_eq(weft_scope_cancel(&full.scope), 0);
    cr_expect_eq(must_end(full.runtime), -ECANCELED);
}

static void *spawn_in_vain(void *arg)
{
    struct full *full = arg;

    while (atomic_load(&full->is_over) == 0) {
        CHECK_EQ(weft_spawn_on(full->runtime, NULL, NULL, sleep_for_ever, NULL), -ENOMEM);
        (void)atomic_fetch_add(&full->refused, 1);
    }
    return NULL;
}

static uint64_t spawned_on(weft_runtime *runtime)
{
    struct weft_stats stats;

    cr_assert_eq(weft_stats_read_on(runtime, &stats), 0);
    return stats.fibers_spawned;
}

/* What was refused is no fiber, at no time: a count that is taken back makes the number of those
 * that are alive jump. */
WORKER_TEST(stack_limit, what_is_refused_is_never_counted, TEST_TIMEOUT_S)
{
    struct full full = {.scope = WEFT_SCOPE_INIT};
    uint64_t spawned;
    pthread_t thread;

    start_full(&full, *workers, fill_and_sleep);
    spawned = spawned_on(full.runtime);
    cr_assert_eq(pthread_create(&thread, NULL, spawn_in_vain, &full), 0);
    for (int i = 0; i < READS || atomic_load(&full.refused) < READS; i++)
        cr_assert_eq(spawned_on(full.runtime), spawned, "read %d", i);
    atomic_store(&full.is_over, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(weft_stop(full.runtime), 0);
    (void)must_end(full.runtime);
}

/* Stacks are made in batches, and those that are left lie with a worker that sleeps: a thread that
 * wants one would be refused for good. */
WORKER_TEST(stack_limit, what_workers_keep_comes_back, TEST_TIMEOUT_S)
{
    enum { ALL = 4, TRIES = 3000 };
    struct weft_config config = {.workers = *workers, .max_stack_memory_mib = 1, .monitor = 2};
    weft_runtime *runtime;

    cr_assert_eq(weft_start(&config, sleep_for_ever, NULL, &runtime), 0);
    (void)usleep(300 * 1000); /* as a rule the monitor has gone to sleep by then */
    for (int i = 1; i < ALL; i++) {
        int error, tries = 0;

        while ((error = weft_spawn_on(runtime, NULL, NULL, sleep_for_ever, NULL)) == -ENOMEM &&
               tries++ < TRIES)
            (void)usleep(10 * 1000);
        cr_assert_eq(error, 0, "stack %d of %d", i + 1, ALL);
    }
    cr_assert_eq(weft_stop(runtime), 0);
    cr_expect_eq(must_end(runtime), -ECANCELED);
}
