/* SPDX-License-Identifier: MIT */
/* allocator.h: the library's memory comes from where the program says, and goes back there. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct ledger {
    _Atomic(long) blocks;
    _Atomic(long) bytes;
    _Atomic(long) calls;
    long limit; /* of calls, after which there is no memory; 0: none */
    _Atomic(int) refuses;
};

static void *ledger_alloc(void *context, size_t size, size_t alignment)
{
    struct ledger *ledger = context;
    long call = atomic_fetch_add(&ledger->calls, 1);
    void *memory;

    CHECK(size > 0 && alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    if ((ledger->limit > 0 && call >= ledger->limit) || atomic_load(&ledger->refuses))
        return NULL;
    memory = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    CHECK(memory != NULL);
    memset(memory, 0xa5, size); /* nobody promised zeros */
    (void)atomic_fetch_add(&ledger->blocks, 1);
    (void)atomic_fetch_add(&ledger->bytes, (long)size);
    return memory;
}

static void ledger_free(void *context, void *memory, size_t size)
{
    struct ledger *ledger = context;

    CHECK(memory != NULL);
    memset(memory, 0x5a, size);
    (void)atomic_fetch_sub(&ledger->blocks, 1);
    (void)atomic_fetch_sub(&ledger->bytes, (long)size);
    free(memory);
}

static struct weft_allocator allocator_of(struct ledger *ledger)
{
    struct weft_allocator allocator = {ledger_alloc, ledger_free, ledger, {0}};

    return allocator;
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int use_the_runtime(void *arg)
{
    struct ledger *ledger = arg;
    struct weft_allocator other = allocator_of(ledger);
    weft_channel *channel;
    struct weft_stats stats;
    long before;

    CHECK(atomic_load(&ledger->blocks) > 0);
    CHECK_EQ(weft_set_allocator(&other), -EBUSY);
    CHECK_EQ(weft_set_allocator(NULL), -EBUSY);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(must_join(must_spawn(return_zero, NULL)), 0);
    before = atomic_load(&ledger->bytes);
    CHECK_EQ(weft_channel_create(&channel, 1000, 1000), 0);
    CHECK(atomic_load(&ledger->bytes) >= before + 1000 * 1000);
    weft_channel_free(channel);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK(stats.allocated_bytes > 0);
    return 0;
}

/* Every block comes from the program and goes back, with the size that it was asked for. */
WORKER_TEST(allocator, the_programs_gets_all_back, TEST_TIMEOUT_S)
{
    struct ledger ledger = {.blocks = 0};
    struct weft_allocator allocator = allocator_of(&ledger);

    (void)unsetenv("WEFT_ALLOCATOR");
    cr_assert_eq(weft_set_allocator(&allocator), 0);
    for (int run = 0; run < 3; run++) {
        cr_expect_eq(run_workers(*workers, use_the_runtime, &ledger), 0);
        cr_expect_eq(atomic_load(&ledger.blocks), 0);
        cr_expect_eq(atomic_load(&ledger.bytes), 0);
    }
    /* Nothing of it is left, so another one can follow. */
    ledger.calls = 0;
    cr_assert_eq(weft_set_allocator(NULL), 0);
    cr_expect_eq(run_workers(*workers, return_zero, NULL), 0);
    cr_expect_eq(atomic_load(&ledger.calls), 0);
}

enum { CROWD = 3000, YIELDS = 5 };

static int yield_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < YIELDS; i++)
        CHECK_EQ(weft_yield(), 0);
    return 1;
}

static int run_without_room_for_the_ready(void *arg)
{
    struct ledger *ledger = arg;
    weft_fiber *fibers[CROWD];
    int sum = 0;

    for (int i = 0; i < CROWD; i++)
        fibers[i] = must_spawn(yield_some, NULL);
    atomic_store(&ledger->refuses, 1);
    for (int i = 0; i < CROWD; i++)
        sum += must_join(fibers[i]);
    atomic_store(&ledger->refuses, 0);
    return sum;
}

/* A queue that cannot grow passes on what it has no room for: no fiber waits for it, and none is
 * lost. */
WORKER_TEST(allocator, a_full_queue_without_memory_loses_nobody, TEST_TIMEOUT_S)
{
    struct ledger ledger = {.blocks = 0};
    struct weft_allocator allocator = allocator_of(&ledger);
    struct weft_config config = {.workers = *workers, .monitor = 3}; /* no spare that takes some */

    (void)unsetenv("WEFT_ALLOCATOR");
    cr_assert_eq(weft_set_allocator(&allocator), 0);
    cr_expect_eq(run_config(&config, run_without_room_for_the_ready, &ledger), CROWD);
    /* Where there are more workers, each queue may have room for its share. */
    if (*workers == 1 && !getenv("WEFT_CHAOS"))
        cr_expect_gt(run_stats().ready_spills, 0);
}

/* An allocator that says no is no memory, at each call in turn. */
WORKER_TEST(allocator, the_programs_may_refuse, TEST_TIMEOUT_S)
{
    struct ledger ledger = {.limit = 1};
    struct weft_allocator allocator = allocator_of(&ledger);
    struct weft_config config = {.workers = *workers, .monitor = 2};
    int result = -ENOMEM;

    (void)unsetenv("WEFT_ALLOCATOR");
    cr_assert_eq(weft_set_allocator(&allocator), 0);
    for (; result < 0 && ledger.limit < 1000; ledger.limit++) {
        atomic_store(&ledger.calls, 0);
        result = weft_run(&config, return_zero, NULL);
        cr_assert(result == 0 || result == -ENOMEM, "%d", result);
        cr_assert_eq(atomic_load(&ledger.blocks), 0, "leaked at limit %ld", ledger.limit);
    }
    cr_expect_eq(result, 0);
    cr_expect_gt(ledger.limit, 4, "hardly anything was allocated");
}

Test(allocator, what_is_incomplete_is_refused, .timeout = TEST_TIMEOUT_S)
{
    struct ledger ledger = {.blocks = 0};
    struct weft_allocator allocator = allocator_of(&ledger);

    allocator.free = NULL;
    cr_expect_eq(weft_set_allocator(&allocator), -EINVAL);
    allocator = allocator_of(&ledger);
    allocator.alloc = NULL;
    cr_expect_eq(weft_set_allocator(&allocator), -EINVAL);
    allocator = allocator_of(&ledger);
    allocator.reserved[4] = 1;
    cr_expect_eq(weft_set_allocator(&allocator), -EINVAL);
}

CHILD(run_with_a_ledger)
{
    struct ledger ledger = {.blocks = 0};
    struct weft_allocator allocator = allocator_of(&ledger);
    int result;

    (void)parameter;
    CHECK_EQ(weft_set_allocator(&allocator), 0);
    result = weft_run(NULL, return_zero, NULL);
    if (result < 0)
        return result == -EINVAL ? 22 : result == -ENOTSUP ? 95 : 1;
    return atomic_load(&ledger.calls) > 0 ? 2 : 0;
}

/* The environment wins, as with every option; this program has no jemalloc. */
Test(allocator, the_environment_overrides, .timeout = TEST_TIMEOUT_S)
{
    static const struct {
        const char *variable;
        int status;
        const char *said;
    } cases[] = {
        {"WEFT_ALLOCATOR=", 2, ""},
        {"WEFT_ALLOCATOR=auto", 2, ""},
        {"WEFT_ALLOCATOR=system", 0, ""},
        {"WEFT_ALLOCATOR=jemalloc", 95, "-ljemalloc"},
        {"WEFT_ALLOCATOR=mimalloc", 22, "WEFT_ALLOCATOR=mimalloc"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const environment[] = {cases[i].variable, NULL};
        struct child_end end;

        run_child("run_with_a_ledger", 0, environment, &end);
        cr_expect_eq(end.exit_status, cases[i].status, "%s: status %d, %s", cases[i].variable,
                     end.exit_status, end.output);
        cr_expect_not_null(strstr(end.output, cases[i].said), "%s: %s", cases[i].variable,
                           end.output);
    }
}
