/* SPDX-License-Identifier: MIT */
/* local.h: what the destructors of values, and what they defer, see of the other values. */
#include "../support/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { FIBERS = 8 };

/* Made in this order, so with increasing indices: destructors are called in it too. */
static weft_local_key inherited, plain_before, watched, plain_after;
static _Atomic(int) destroyed, deferred;

static void *pointer(int value)
{
    return (void *)(intptr_t)value;
}

static int value_of(weft_local_key key)
{
    return (int)(intptr_t)weft_local_get(key);
}

static void expect_plain_values(int number)
{
    CHECK_EQ(value_of(plain_before), number + 1);
    CHECK_EQ(value_of(plain_after), number + 2);
}

static void see_values(void *arg)
{
    CHECK_EQ(value_of(inherited), 100);
    CHECK(weft_local_get(watched) == NULL);
    expect_plain_values((int)(intptr_t)arg);
    (void)atomic_fetch_add(&deferred, 1);
}

static int see_inherited(void *arg)
{
    CHECK_EQ(value_of(inherited), (int)(intptr_t)arg);
    return 0;
}

/* Of a fiber, whose number it is, or of a plain thread, whose number is 1000. */
static void see_and_defer(void *value)
{
    int number = (int)(intptr_t)value;

    expect_plain_values(number);
    (void)atomic_fetch_add(&destroyed, 1);
    if (number == 1000)
        return;
    CHECK_EQ(value_of(inherited), 100);
    (void)weft_yield();
    CHECK_EQ(must_join(must_spawn(see_inherited, pointer(100))), 0);
    CHECK_EQ(weft_defer(see_values, value), 0);
}

static void set_values(int number)
{
    CHECK_EQ(weft_local_set(plain_before, pointer(number + 1)), 0);
    CHECK_EQ(weft_local_set(watched, pointer(number)), 0);
    CHECK_EQ(weft_local_set(plain_after, pointer(number + 2)), 0);
}

static int set_and_return(void *arg)
{
    CHECK_EQ(value_of(inherited), 100);
    set_values((int)(intptr_t)arg);
    return 0;
}

static int run_fibers(void *arg)
{
    weft_fiber *fibers[FIBERS];

    (void)arg;
    CHECK_EQ(weft_local_set(inherited, pointer(100)), 0);
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(set_and_return, pointer(10 * i + 1));
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(value_of(inherited), 100);
    return 0;
}

static void make_keys(void)
{
    struct weft_local_attr heirs = {.inherit = true}, ends = {.destroy = see_and_defer};

    cr_assert_eq(weft_local_key_create(&inherited, &heirs), 0);
    cr_assert_eq(weft_local_key_create(&plain_before, NULL), 0);
    cr_assert_eq(weft_local_key_create(&watched, &ends), 0);
    cr_assert_eq(weft_local_key_create(&plain_after, NULL), 0);
    cr_assert(inherited.index < plain_before.index && plain_before.index < watched.index &&
              watched.index < plain_after.index);
}

/* What nobody destroys is there to the end, whatever its key's place among the others. */
WORKER_TEST(local_end, destructors_and_defers_see_what_is_not_destroyed, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .chaos = 1, .monitor = 2};

    make_keys();
    cr_expect_eq(run_workers(*workers, run_fibers, NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), FIBERS);
    cr_expect_eq(atomic_load(&deferred), FIBERS);
    cr_expect_eq(run_config(&config, run_fibers, NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), 2 * FIBERS);
    cr_expect_eq(atomic_load(&deferred), 2 * FIBERS);
}

static void *set_in_thread(void *arg)
{
    set_values((int)(intptr_t)arg);
    return NULL;
}

Test(local_end, destructors_of_a_plain_thread_too, .timeout = TEST_TIMEOUT_S)
{
    pthread_t thread;

    make_keys();
    cr_assert_eq(pthread_create(&thread, NULL, set_in_thread, pointer(1000)), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(atomic_load(&destroyed), 1);
}
