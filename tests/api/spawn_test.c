/* SPDX-License-Identifier: MIT */
/* fiber.h: spawning, attributes, stacks, names and numbers. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <fenv.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int return_arg(void *arg)
{
    return (int)(intptr_t)arg;
}

static int count(void *arg)
{
    (void)atomic_fetch_add((_Atomic(int) *)arg, 1);
    return 0;
}

static int spawn_many(void *arg)
{
    enum { FIBERS = 1000 };
    static weft_fiber *fibers[FIBERS];
    _Atomic(int) ran = 0;

    (void)arg;
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(count, &ran);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(ran, FIBERS);
    return 0;
}

/* Each fiber runs exactly once: a queue that loses one hangs the joiner, one that hands one out
 * twice runs a function on freed data. */
WORKER_TEST(spawn, every_fiber_runs_once, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_many, NULL), 0);
    cr_expect_eq(run_stats().fibers_spawned, 1001);
}

static int spawn_detached(void *arg)
{
    _Atomic(int) *ran = arg;

    for (int i = 0; i < 100; i++)
        CHECK_EQ(weft_spawn(NULL, count, ran), 0);
    while (atomic_load(ran) < 100)
        CHECK_EQ(weft_yield(), 0);
    return 0;
}

/* A null handle means "detached": the fiber runs and frees itself with nobody waiting. */
WORKER_TEST(spawn, a_null_handle_detaches, TEST_TIMEOUT_S)
{
    _Atomic(int) ran = 0;

    cr_expect_eq(run_workers(*workers, spawn_detached, &ran), 0);
    cr_expect_eq(ran, 100);
}

static int spawn_nested(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    weft_fiber *left;
    weft_fiber *right;

    if (depth == 0)
        return 1;
    left = must_spawn(spawn_nested, (void *)(depth - 1));
    right = must_spawn(spawn_nested, (void *)(depth - 1));
    return must_join(left) + must_join(right);
}

/* Fibers spawn fibers: a join that waits on another worker's fiber must not stop its own. */
WORKER_TEST(spawn, trees_of_fibers_join, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_nested, (void *)9), 512);
}

static int check_attributes(void *arg)
{
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    char name[] = "reused buffer";
    weft_fiber *fiber = NULL;

    (void)arg;
    attr.name = name;
    attr.stack_size_kib = 64;
    CHECK_EQ(weft_spawn_with(&attr, &fiber, return_arg, (void *)5), 0);
    (void)memset(name, 'x', sizeof name - 1);
    CHECK(strcmp(weft_fiber_name(fiber), "reused buffer") == 0);
    CHECK_EQ(must_join(fiber), 5);

    CHECK_EQ(weft_spawn_with(NULL, &fiber, return_arg, (void *)6), 0);
    CHECK(strcmp(weft_fiber_name(fiber), "") == 0);
    CHECK_EQ(must_join(fiber), 6);
    return 0;
}

/* The name is copied, as documented: callers build it in a buffer on their stack. */
WORKER_TEST(spawn, attributes_are_copied, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, check_attributes, NULL), 0);
}

static int check_names(void *arg)
{
    static const char longer[] = "a name that is much longer than there is room for";
    struct weft_fiber_attr attr = {.name = longer};
    weft_fiber *fiber = NULL;
    const char *name;

    (void)arg;
    CHECK_EQ(weft_spawn_with(&attr, &fiber, return_arg, NULL), 0);
    name = weft_fiber_name(fiber);
    CHECK_EQ(strlen(name), WEFT_FIBER_NAME_MAX - 1);
    CHECK(strncmp(name, longer, WEFT_FIBER_NAME_MAX - 1) == 0);
    CHECK_EQ(must_join(fiber), 0);

    CHECK_EQ(weft_set_name("first"), 0);
    CHECK(strcmp(weft_fiber_name(weft_self()), "first") == 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK(strcmp(weft_fiber_name(weft_self()), "first") == 0);
    CHECK_EQ(weft_set_name(longer), 0);
    CHECK_EQ(strlen(weft_fiber_name(weft_self())), WEFT_FIBER_NAME_MAX - 1);
    CHECK_EQ(weft_set_name(""), 0);
    CHECK(strcmp(weft_fiber_name(weft_self()), "") == 0);

    /* The next fiber may get the record of one that had a name. */
    fiber = must_spawn(return_arg, NULL);
    CHECK(strcmp(weft_fiber_name(fiber), "") == 0);
    return must_join(fiber);
}

/* A long name is cut, with its closing zero, instead of running into the next field. */
WORKER_TEST(spawn, names_are_cut_and_can_change, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, check_names, NULL), 0);
}

static int return_whether_id_is(void *arg)
{
    return weft_fiber_id(weft_self()) == *(uint64_t *)arg;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int check_ids(void *arg)
{
    enum { FIBERS = 500 };
    static uint64_t ids[2 * FIBERS];
    static weft_fiber *fibers[FIBERS];
    _Atomic(int) ran = 0;

    (void)arg;
    for (int round = 0; round < 2; round++) { /* the second round reuses the records */
        for (int i = 0; i < FIBERS; i++) {
            uint64_t *id = &ids[round * FIBERS + i];
            *id = 0;
            fibers[i] = must_spawn(count, &ran);
            *id = weft_fiber_id(fibers[i]);
            CHECK(*id >= 1);
            CHECK_EQ(must_join(fibers[i]), 0);
        }
    }
    qsort(ids, 2 * FIBERS, sizeof *ids, compare_ids);
    for (int i = 1; i < 2 * FIBERS; i++)
        CHECK(ids[i] != ids[i - 1]);
    return 0;
}

/* Numbers appear in logs: one that is used twice tells two stories as one. */
WORKER_TEST(spawn, ids_are_never_used_twice, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, check_ids, NULL), 0);
}

static int check_own_id(void *arg)
{
    uint64_t id = weft_fiber_id(weft_self());

    (void)arg;
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_fiber_id(weft_self()), id);
        CHECK_EQ(return_whether_id_is(&id), 1);
    }
    return 0;
}

/* weft_self() is the fiber that asks, also after others ran in between and on another worker. */
WORKER_TEST(spawn, self_is_the_fiber_that_asks, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1};

    cr_expect_eq(run_config(&config, check_own_id, NULL), 0);
}

static int check_sizes(void *arg)
{
    static const uint32_t bad[] = {1, 15, 8193, UINT32_MAX};
    static const uint32_t good[] = {16, 17, 31, 100, 256, 5000, 8192};
    weft_fiber *untouched = (weft_fiber *)arg;
    weft_fiber *fiber = untouched;
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        attr.stack_size_kib = bad[i];
        CHECK_EQ(weft_spawn_with(&attr, &fiber, return_arg, NULL), -EINVAL);
        CHECK(fiber == untouched);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        attr.stack_size_kib = good[i];
        CHECK_EQ(weft_spawn_with(&attr, &fiber, return_arg, (void *)3), 0);
        CHECK_EQ(must_join(fiber), 3);
    }
    return 0;
}

/* A size out of range is an error with nothing created: not a stack of another size. */
WORKER_TEST(spawn, stack_sizes_have_a_range, TEST_TIMEOUT_S)
{
    int placeholder;

    cr_expect_eq(run_workers(*workers, check_sizes, &placeholder), 0);
    cr_expect_eq(run_stats().fibers_spawned, 8);
}

__attribute__((noinline)) static uintptr_t frame_address(void)
{
    return (uintptr_t)__builtin_frame_address(0);
}

__attribute__((noinline)) static unsigned use_stack(uintptr_t base, size_t bytes)
{
    volatile unsigned char frame[256];

    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (unsigned char)i;
    if (base - frame_address() < bytes)
        frame[7] = (unsigned char)(frame[7] + use_stack(base, bytes));
    return frame[7];
}

/* All but two pages: one is the guard, and the fiber's record needs a part of the other. */
static int use_own_stack(void *arg)
{
    size_t size = (size_t)(uintptr_t)arg * 1024;

    return use_stack(frame_address(), size - 8192) > 0;
}

static int use_stacks(void *arg)
{
    static const uint32_t sizes[] = {16, 17, 64, 1024, 8192};
    weft_fiber *fiber;

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct weft_fiber_attr attr = {.stack_size_kib = sizes[i]};
        CHECK_EQ(weft_spawn_with(&attr, &fiber, use_own_stack, (void *)(uintptr_t)sizes[i]), 0);
        CHECK_EQ(must_join(fiber), 1);
    }
    fiber = must_spawn(use_own_stack, (void *)(uintptr_t)256);
    return must_join(fiber);
}

/* The stack asked for can be used.  A slab that hands out stacks of another class, or lays the
 * record over the stack, corrupts a neighbour. */
WORKER_TEST(spawn, stacks_can_be_used, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_stacks, NULL), 1);
}

/* The runtime's own default size reaches fibers that ask for none. */
Test(spawn, the_default_stack_size_is_the_configured_one, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .stack_size_kib = 4096};

    cr_expect_eq(run_config(&config, use_own_stack, (void *)4096), 1);
}

static int overflow_stack(void *arg)
{
    (void)arg;
    return (int)use_stack(frame_address(), SIZE_MAX / 2);
}

static int overflow_beside_others(void *arg)
{
    (void)arg;
    for (int i = 0; i < 64; i++) /* mapped stacks on both sides: without a guard nothing faults */
        CHECK_EQ(weft_spawn(NULL, overflow_stack, NULL), 0);
    return weft_yield();
}

CHILD(overflow)
{
    struct weft_config config = {.workers = 1, .guard = parameter};

    return weft_run(&config, overflow_beside_others, NULL);
}

/* An overflow dies at the guard instead of overwriting the next fiber's stack. */
Test(spawn, an_overflow_hits_the_guard, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned guard = 1; guard <= 2; guard++) {
        struct child_end end;
        run_child("overflow", guard, NULL, &end);
        if (TEST_IS_SANITIZED)
            cr_expect(end.signal != 0 || end.exit_status != 0, "it lived: %s", end.output);
        else
            cr_expect_eq(end.signal, 11, "status %d, signal %d: %s", end.exit_status, end.signal,
                         end.output);
    }
}

static int spawn_from_rounding(void *arg)
{
    (void)arg;
    return fegetround();
}

static int check_rounding_is_inherited(void *arg)
{
    static const int modes[] = {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO, FE_TONEAREST};

    (void)arg;
    for (int i = 0; i < 40; i++) {
        int mode = modes[i % 4];
        weft_fiber *fiber;
        CHECK_EQ(fesetround(mode), 0);
        fiber = must_spawn(spawn_from_rounding, NULL);
        CHECK_EQ(fesetround(modes[(i + 1) % 4]), 0);
        CHECK_EQ(must_join(fiber), mode);
        CHECK_EQ(fegetround(), modes[(i + 1) % 4]);
    }
    return fesetround(FE_TONEAREST);
}

/* The modes of the spawner, as documented: not those of the worker, nor of the last fiber that
 * used the stack. */
WORKER_TEST(spawn, floating_point_modes_are_inherited, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, check_rounding_is_inherited, NULL), 0);
}

enum { TREE_DEPTH = 4, TREE_FAN_OUT = 10, TREE_LEAVES = 10 * 10 * 10 * 10 };

static _Atomic(unsigned) tree_alive, tree_alive_max;

static void note_spawn(void)
{
    unsigned alive = atomic_fetch_add(&tree_alive, 1) + 1;
    unsigned most = atomic_load(&tree_alive_max);

    while (alive > most && !atomic_compare_exchange_weak(&tree_alive_max, &most, alive))
        ;
}

static int grow(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    weft_fiber *children[TREE_FAN_OUT];
    int leaves = depth == 0;

    for (int i = 0; i < TREE_FAN_OUT && depth > 0; i++) {
        note_spawn();
        children[i] = must_spawn(grow, (void *)(depth - 1));
    }
    for (int i = 0; i < TREE_FAN_OUT && depth > 0; i++)
        leaves += must_join(children[i]);
    (void)atomic_fetch_sub(&tree_alive, 1);
    return leaves;
}

/* The newest fiber runs first, so a worker goes down one branch, but for the oldest that it begins
 * every 61 turns (docs/fairness.md).  Breadth first there would be ten thousand. */
WORKER_TEST(spawn, a_tree_has_few_fibers_alive_at_a_time, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .monitor = 3};
    /* Chaos begins old ones as it likes. */
    unsigned most = getenv("WEFT_CHAOS") ? TREE_LEAVES / 2 : TREE_LEAVES / TREE_FAN_OUT;

    atomic_store(&tree_alive, 1);
    atomic_store(&tree_alive_max, 0);
    cr_expect_eq(run_config(&config, grow, (void *)(intptr_t)TREE_DEPTH), TREE_LEAVES);
    cr_expect_leq(atomic_load(&tree_alive_max), most);
}

/* A plain thread has no runtime to spawn into. */
Test(spawn, plain_threads_are_refused)
{
    weft_fiber *untouched = (weft_fiber *)&untouched;
    weft_fiber *fiber = untouched;

    cr_expect_eq(weft_spawn(&fiber, return_arg, NULL), -EPERM);
    cr_expect_eq(weft_spawn_with(NULL, &fiber, return_arg, NULL), -EPERM);
    cr_expect_eq(weft_spawn(NULL, return_arg, NULL), -EPERM);
    cr_expect(fiber == untouched);
    cr_expect_eq(weft_set_name("thread"), -EPERM);
}
