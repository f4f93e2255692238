/* SPDX-License-Identifier: MIT */
/* local.h: values of fibers and threads, their destructors, and what children inherit. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FIBERS = 32, ROUNDS = 100, KEYS = 40 };

static weft_local_key keys[KEYS];
static _Atomic(int) destroyed; /* the sum of the values */
static _Atomic(int) copies;
static _Atomic(uint64_t) migrations;

static void *pointer(int value)
{
    return (void *)(intptr_t)value;
}

static int value_of(weft_local_key key)
{
    return (int)(intptr_t)weft_local_get(key);
}

static void destroy_number(void *value)
{
    (void)atomic_fetch_add(&destroyed, (int)(intptr_t)value);
}

static int copy_number(void *value, void **copy)
{
    (void)atomic_fetch_add(&copies, 1);
    *copy = pointer((int)(intptr_t)value + 1);
    return 0;
}

static weft_local_key make_key(void (*destroy)(void *), bool inherit, int (*copy)(void *, void **))
{
    struct weft_local_attr attr = WEFT_LOCAL_ATTR_INIT;
    weft_local_key key = {0, 0};

    attr.destroy = destroy;
    attr.inherit = inherit;
    attr.copy = copy;
    CHECK_EQ(weft_local_key_create(&key, &attr), 0);
    return key;
}

/* A fiber's own numbers, which nobody else has. */
static int keep_numbers(void *arg)
{
    int number = (int)(intptr_t)arg;

    for (int k = 0; k < KEYS; k++)
        CHECK(weft_local_get(keys[k]) == NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int worker = weft_worker_index();
        int k = (number + i * 7) % KEYS;

        CHECK_EQ(weft_local_set(keys[k], pointer(number * KEYS + k + 1)), 0);
        CHECK_EQ(i % 10 ? weft_yield() : weft_sleep(20 * WEFT_MICROSECOND), 0);
        if (weft_worker_index() != worker)
            (void)atomic_fetch_add(&migrations, 1);
        for (int l = 0; l < KEYS; l++)
            CHECK(weft_local_get(keys[l]) == NULL || value_of(keys[l]) == number * KEYS + l + 1);
        CHECK_EQ(value_of(keys[k]), number * KEYS + k + 1);
    }
    return 0;
}

static int keep_many(void *arg)
{
    weft_fiber *fibers[FIBERS];

    (void)arg;
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(keep_numbers, pointer(i + 1));
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Chaos resumes each fiber on another worker: whoever kept values by thread would mix them up. */
WORKER_TEST(local, values_stay_with_the_fiber, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1, .monitor = 2};

    for (int k = 0; k < KEYS; k++)
        keys[k] = make_key(NULL, false, NULL);
    atomic_store(&migrations, 0);
    cr_expect_eq(run_config(&config, keep_many, NULL), 0);
    if (*workers > 1)
        cr_expect_gt(atomic_load(&migrations), FIBERS * ROUNDS / 4);
    cr_expect_eq(run_workers(*workers, keep_many, NULL), 0);
    for (int k = 0; k < KEYS; k++)
        weft_local_key_delete(keys[k]);
}

static int set_and_return(void *arg)
{
    for (int k = 0; k < KEYS; k++)
        CHECK_EQ(weft_local_set(keys[k], pointer(1)), 0);
    return (int)(intptr_t)arg;
}

static int set_and_sleep(void *arg)
{
    CHECK_EQ(set_and_return(arg), (int)(intptr_t)arg);
    return weft_sleep_until(WEFT_FOREVER);
}

static int end_in_every_way(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *fiber;

    (void)arg;
    CHECK_EQ(must_join(must_spawn(set_and_return, pointer(3))), 3);
    CHECK_EQ(atomic_load(&destroyed), KEYS);
    CHECK_EQ(weft_spawn(&fiber, set_and_return, pointer(-EIO)), 0);
    CHECK_EQ(must_join(fiber), -EIO);
    CHECK_EQ(atomic_load(&destroyed), 2 * KEYS);
    CHECK_EQ(weft_spawn(&fiber, set_and_sleep, NULL), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_yield(), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(atomic_load(&destroyed), 3 * KEYS);
    CHECK_EQ(weft_scope_spawn(&scope, set_and_sleep, NULL), 0);
    CHECK_EQ(weft_scope_spawn(&scope, set_and_return, pointer(-EIO)), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), -EIO);
    CHECK_EQ(atomic_load(&destroyed), 5 * KEYS);
    CHECK_EQ(weft_spawn(NULL, set_and_sleep, NULL), 0); /* the end of the runtime cancels it */
    return set_and_return(pointer(7));
}

WORKER_TEST(local, destructors_run_on_every_way_out, TEST_TIMEOUT_S)
{
    for (int k = 0; k < KEYS; k++)
        keys[k] = make_key(destroy_number, false, NULL);
    atomic_store(&destroyed, 0);
    cr_expect_eq(run_workers(*workers, end_in_every_way, NULL), 7);
    cr_expect_eq(atomic_load(&destroyed), 7 * KEYS);
    for (int k = 0; k < KEYS; k++)
        weft_local_key_delete(keys[k]);
}

static weft_local_key restless;
static _Atomic(int) turns;
static _Atomic(int) deferred;

static void see_value(void *arg)
{
    CHECK_EQ(value_of(restless), (int)(intptr_t)arg);
    (void)atomic_fetch_add(&deferred, 1);
}

/* Sets its own value again and again, and suspends on the way. */
static void set_again(void *value)
{
    int next = (int)(intptr_t)value + 1;

    CHECK(weft_local_get(restless) == NULL);
    (void)atomic_fetch_add(&turns, 1);
    (void)weft_yield();
    CHECK_EQ(weft_local_set(restless, pointer(next)), 0);
    CHECK_EQ(weft_local_set(keys[KEYS - 1], pointer(5)), 0); /* which moves the slots */
    CHECK_EQ(weft_defer(see_value, pointer(next)), 0);
}

static int be_restless(void *arg)
{
    CHECK_EQ(weft_local_set(restless, arg), 0);
    return weft_defer(see_value, arg);
}

static int run_restless(void *arg)
{
    (void)arg;
    return must_join(must_spawn(be_restless, pointer(1)));
}

/* A destructor that always sets something would never let its fiber end. */
WORKER_TEST(local, destructors_are_repeated_up_to_a_bound, TEST_TIMEOUT_S)
{
    restless = make_key(set_again, false, NULL);
    for (int k = 0; k < KEYS; k++)
        keys[k] = make_key(destroy_number, false, NULL);
    atomic_store(&turns, 0);
    atomic_store(&deferred, 0);
    atomic_store(&destroyed, 0);
    cr_expect_eq(run_workers(*workers, run_restless, NULL), 0);
    cr_expect_eq(atomic_load(&turns), WEFT_LOCAL_ROUNDS);
    cr_expect_eq(atomic_load(&deferred), 1 + WEFT_LOCAL_ROUNDS, "defers of destructors are lost");
    cr_expect_eq(atomic_load(&destroyed), 5 * WEFT_LOCAL_ROUNDS);
}

/* keys[0] is inherited as it is, keys[1] copied, keys[2] not inherited. */
static int expect_inherited(void *arg)
{
    int generations = (int)(intptr_t)arg;

    CHECK_EQ(value_of(keys[0]), 100);
    CHECK_EQ(value_of(keys[1]), 200 + generations);
    CHECK(weft_local_get(keys[2]) == NULL);
    return 0;
}

static int spawn_grandchild(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    int result;

    (void)expect_inherited(arg);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(must_join(must_spawn(expect_inherited, pointer(2))), 0);
    CHECK_EQ(weft_scope_spawn(&scope, expect_inherited, pointer(2)), 0);
    result = weft_scope_close(&scope, 0);
    CHECK_EQ(value_of(keys[1]), 201);
    return result;
}

static int spawn_in_every_way(void *arg)
{
    weft_runtime *other = arg;
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_future future = WEFT_FUTURE_INIT;
    weft_fiber *fiber;

    CHECK_EQ(must_join(must_spawn(spawn_grandchild, pointer(1))), 0);
    CHECK_EQ(weft_spawn_with(&attr, &fiber, expect_inherited, pointer(1)), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_spawn_on(weft_runtime_self(), NULL, &fiber, expect_inherited, pointer(1)), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_spawn_on(other, NULL, &fiber, spawn_grandchild, pointer(1)), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_scope_spawn(&scope, spawn_grandchild, pointer(1)), 0);
    CHECK_EQ(weft_scope_spawn_with(&scope, &attr, expect_inherited, pointer(1)), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(weft_future_spawn(&future, expect_inherited, pointer(1)), 0);
    return weft_future_await(&future, NULL, WEFT_FOREVER);
}

static int bequeath(void *arg)
{
    CHECK_EQ(weft_local_set(keys[0], pointer(100)), 0);
    CHECK_EQ(weft_local_set(keys[1], pointer(200)), 0);
    CHECK_EQ(weft_local_set(keys[2], pointer(300)), 0);
    CHECK_EQ(spawn_in_every_way(arg), 0);
    CHECK_EQ(weft_local_set(keys[0], NULL), 0);
    CHECK_EQ(weft_local_set(keys[1], NULL), 0);
    CHECK_EQ(weft_local_set(keys[2], NULL), 0);
    return 0;
}

static void make_inherited_keys(void)
{
    keys[0] = make_key(destroy_number, true, NULL);
    keys[1] = make_key(destroy_number, true, copy_number);
    keys[2] = make_key(destroy_number, false, NULL);
    atomic_store(&destroyed, 0);
    atomic_store(&copies, 0);
}

enum { CHILDREN = 7, GRANDCHILDREN = 6 };

/* A spare worker that joined it meanwhile would be taken for a thread that the run has left. */
static weft_runtime *start_without_spares(void)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    weft_runtime *runtime;

    config.workers = 2;
    config.monitor = 2;
    cr_assert_eq(weft_start(&config, NULL, NULL, &runtime), 0);
    return runtime;
}

/* A pointer that is shared is destroyed by nobody but whoever set it; a copy by who got it. */
WORKER_TEST(local, children_inherit_chosen_keys, TEST_TIMEOUT_S)
{
    weft_runtime *other = start_without_spares();

    make_inherited_keys();
    cr_expect_eq(run_workers(*workers, bequeath, other), 0);
    cr_expect_eq(weft_stop(other), 0);
    (void)must_end(other);
    cr_expect_eq(atomic_load(&copies), CHILDREN + GRANDCHILDREN);
    cr_expect_eq(atomic_load(&destroyed), CHILDREN * 201 + GRANDCHILDREN * 202);
}

static int replace_inherited(void *arg)
{
    CHECK_EQ(weft_local_set(keys[0], arg), 0);
    return value_of(keys[0]);
}

static int bequeath_to_one(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_local_set(keys[0], pointer(100)), 0);
    CHECK_EQ(must_join(must_spawn(replace_inherited, pointer(9))), 9);
    CHECK_EQ(atomic_load(&destroyed), 9);
    CHECK_EQ(value_of(keys[0]), 100);
    return 0;
}

/* What the child sets itself is its own, also under a key that it has inherited. */
WORKER_TEST(local, a_child_owns_what_it_sets, TEST_TIMEOUT_S)
{
    make_inherited_keys();
    cr_expect_eq(run_workers(*workers, bequeath_to_one, NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), 109);
}

static int refuse_copy(void *value, void **copy)
{
    (void)value;
    (void)copy;
    return -EDQUOT;
}

static int suspend_and_copy(void *value, void **copy)
{
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_local_set(keys[KEYS - 1], pointer(1)), 0); /* which moves the slots */
    CHECK_EQ(weft_sleep(WEFT_MICROSECOND), 0);
    return copy_number(value, copy);
}

static int spawn_in_vain(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *fiber = NULL;

    (void)arg;
    CHECK_EQ(weft_local_set(keys[1], pointer(10)), 0);
    CHECK_EQ(weft_local_set(keys[3], pointer(1)), 0);
    CHECK_EQ(weft_spawn(&fiber, expect_inherited, NULL), -EDQUOT);
    CHECK(fiber == NULL);
    CHECK_EQ(weft_scope_spawn(&scope, expect_inherited, NULL), -EDQUOT);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(atomic_load(&destroyed), 2 * 11);
    CHECK_EQ(weft_local_set(keys[3], NULL), 0);
    weft_cancel(weft_self());
    CHECK_EQ(weft_spawn(&fiber, expect_inherited, NULL), -ECANCELED);
    CHECK_EQ(weft_scope_spawn(&scope, expect_inherited, NULL), -ECANCELED);
    CHECK_EQ(atomic_load(&destroyed), 4 * 11);
    return 0;
}

/* A spawn that fails has undone what it began, whoever refused. */
WORKER_TEST(local, copies_for_no_child_are_destroyed, TEST_TIMEOUT_S)
{
    make_inherited_keys();
    keys[3] = make_key(NULL, true, refuse_copy);
    cr_expect_eq(run_workers(*workers, spawn_in_vain, NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), 4 * 11 + 10);
}

static int return_copied(void *arg)
{
    (void)arg;
    return value_of(keys[4]);
}

static int copy_slowly(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_local_set(keys[4], pointer(10)), 0);
    CHECK_EQ(must_join(must_spawn(return_copied, NULL)), 11);
    CHECK_EQ(weft_scope_spawn(&scope, return_copied, NULL), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return value_of(keys[4]);
}

/* The spawner wakes on another worker, in the middle of the spawn. */
WORKER_TEST(local, a_copy_may_suspend, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1, .monitor = 2};

    for (int k = 0; k < KEYS; k++)
        keys[k] = make_key(NULL, false, NULL);
    keys[4] = make_key(NULL, true, suspend_and_copy);
    cr_expect_eq(run_config(&config, copy_slowly, NULL), 10);
    cr_expect_eq(atomic_load(&copies), 2);
}

static int expect_child_of_thread(void *arg)
{
    (void)arg;
    CHECK_EQ(value_of(keys[0]), 100);
    CHECK_EQ(value_of(keys[1]), 201);
    CHECK(weft_local_get(keys[2]) == NULL);
    return 0;
}

static void *use_in_thread(void *arg)
{
    weft_fiber *fiber;

    for (int k = 0; k < 3; k++)
        CHECK(weft_local_get(keys[k]) == NULL);
    CHECK_EQ(weft_local_set(restless, pointer(1)), 0);
    CHECK_EQ(weft_local_set(keys[0], pointer(100)), 0);
    CHECK_EQ(weft_local_set(keys[1], pointer(200)), 0);
    CHECK_EQ(weft_local_set(keys[2], pointer(300)), 0);
    CHECK_EQ(weft_spawn_on(arg, NULL, &fiber, expect_child_of_thread, NULL), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(value_of(keys[1]), 200);
    return NULL;
}

static void set_again_in_thread(void *value)
{
    CHECK_EQ(value_of(keys[0]) + value_of(keys[1]), 0); /* they came before */
    CHECK_EQ(weft_local_set(restless, pointer((int)(intptr_t)value + 1)), 0);
    (void)atomic_fetch_add(&turns, 1);
}

WORKER_TEST(local, a_plain_thread_has_its_own, TEST_TIMEOUT_S)
{
    weft_runtime *runtime = must_start(*workers, NULL, NULL);
    pthread_t threads[3];

    make_inherited_keys();
    restless = make_key(set_again_in_thread, false, NULL);
    atomic_store(&turns, 0);
    cr_assert_eq(weft_local_set(keys[0], pointer(5000)), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, use_in_thread, runtime), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), 3 * (100 + 200 + 300 + 201));
    cr_expect_eq(atomic_load(&turns), 3 * WEFT_LOCAL_ROUNDS);
    cr_expect_eq(value_of(keys[0]), 5000);
    cr_expect_eq(weft_stop(runtime), 0);
    (void)must_end(runtime);
}

static int use_deleted(void *arg)
{
    weft_local_key key = make_key(destroy_number, true, copy_number), other;

    (void)arg;
    CHECK_EQ(weft_local_set(key, pointer(1)), 0);
    weft_local_key_delete(key);
    other = make_key(destroy_number, false, NULL);
    CHECK_EQ(other.index, key.index); /* the same place */
    CHECK(weft_local_get(other) == NULL);
    CHECK_EQ(must_join(must_spawn(set_and_return, pointer(0))), 0);
    CHECK_EQ(weft_local_set(other, pointer(50)), 0);
    CHECK_EQ(value_of(other), 50);
    return 0;
}

WORKER_TEST(local, a_new_key_sees_nothing_of_a_deleted_one, TEST_TIMEOUT_S)
{
    for (int k = 0; k < KEYS; k++)
        keys[k] = make_key(NULL, false, NULL);
    atomic_store(&destroyed, 0);
    atomic_store(&copies, 0);
    cr_expect_eq(run_workers(*workers, use_deleted, NULL), 0);
    cr_expect_eq(atomic_load(&copies), 0);
    cr_expect_eq(atomic_load(&destroyed), 50);
}

Test(local, keys_are_bounded, .timeout = TEST_TIMEOUT_S)
{
    static weft_local_key all[WEFT_LOCAL_KEYS_MAX];
    struct weft_local_attr attr = {.copy = copy_number};
    weft_local_key key = {7, 0};

    cr_expect_eq(weft_local_key_create(&key, &attr), -EINVAL);
    for (int i = 0; i < WEFT_LOCAL_KEYS_MAX; i++)
        cr_assert_eq(weft_local_key_create(&all[i], NULL), 0);
    cr_expect_eq(weft_local_key_create(&key, NULL), -EAGAIN);
    cr_expect_eq(key.index, 7);
    cr_expect_eq(weft_local_set(all[WEFT_LOCAL_KEYS_MAX - 1], &key), 0);
    cr_expect_eq(weft_local_get(all[WEFT_LOCAL_KEYS_MAX - 1]), &key);
    cr_expect_null(weft_local_get(all[3]));
    weft_local_key_delete(all[500]);
    cr_expect_eq(weft_local_key_create(&all[500], NULL), 0);
    for (int i = 0; i < WEFT_LOCAL_KEYS_MAX; i++)
        weft_local_key_delete(all[i]);
}
