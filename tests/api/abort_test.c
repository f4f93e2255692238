/* SPDX-License-Identifier: MIT */
/* Programs that break a rule of the interface are stopped with the rule's name, not left to
 * corrupt themselves. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

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

static int join_twice(void *arg)
{
    weft_fiber *fiber = must_spawn(return_zero, arg);

    CHECK_EQ(must_join(fiber), 0);
    return must_join(fiber);
}

static int join_itself(void *arg)
{
    (void)arg;
    return must_join(weft_self());
}

static int join_arg(void *arg)
{
    return must_join(arg);
}

static int join_beside_a_joiner(void *arg)
{
    weft_fiber *fiber = must_spawn(sleep_for_ever, arg);
    weft_fiber *joiners[2];

    for (int i = 0; i < 2; i++)
        joiners[i] = must_spawn(join_arg, fiber);
    return must_join(joiners[0]) + must_join(joiners[1]);
}

static int detach_twice(void *arg)
{
    weft_fiber *fiber = must_spawn(sleep_for_ever, arg);

    weft_detach(fiber);
    weft_detach(fiber);
    return 0;
}

static int detach_and_join(void *arg)
{
    weft_fiber *fiber = must_spawn(sleep_for_ever, arg);

    weft_detach(fiber);
    return must_join(fiber);
}

static int detach_joined(void *arg)
{
    weft_fiber *fiber = must_spawn(return_zero, arg);

    CHECK_EQ(must_join(fiber), 0);
    weft_detach(fiber);
    return 0;
}

static const struct {
    int (*fn)(void *);
    const char *word;
} mistakes[] = {
    {join_twice, "join"},     {join_itself, "join"},       {join_beside_a_joiner, "join"},
    {detach_twice, "detach"}, {detach_and_join, "detach"}, {detach_joined, "detach"},
};

enum { MISTAKE_COUNT = sizeof mistakes / sizeof *mistakes };

CHILD(make_mistake)
{
    struct weft_config config = {.workers = parameter / MISTAKE_COUNT};

    return weft_run(&config, mistakes[parameter % MISTAKE_COUNT].fn, NULL);
}

static void expect_mistake_aborts(unsigned workers, unsigned mistake)
{
    expect_abort("make_mistake", workers * MISTAKE_COUNT + mistake, mistakes[mistake].word);
}

/* After the first join the record may be another fiber's already. */
WORKER_TEST(rules, joining_twice_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 0);
}

/* It would wait for ever, for itself. */
WORKER_TEST(rules, joining_oneself_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 1);
}

/* Only one can take the result; the other would read freed memory. */
WORKER_TEST(rules, a_second_joiner_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 2);
}

/* The second detach would free what the first one left to the fiber. */
WORKER_TEST(rules, detaching_twice_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 3);
}

/* A detached fiber frees itself at any moment: joining it reads freed memory. */
WORKER_TEST(rules, joining_a_detached_fiber_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 4);
}

/* The handle is gone with the join. */
WORKER_TEST(rules, detaching_a_joined_fiber_aborts, TEST_TIMEOUT_S)
{
    expect_mistake_aborts(*workers, 5);
}

CHILD(misuse_key)
{
    weft_local_key none = {0, 0}, wild = {WEFT_LOCAL_KEYS_MAX, 1};
    weft_local_key key;

    CHECK_EQ(weft_local_key_create(&key, NULL), 0);
    weft_local_key_delete(key);
    if (parameter == 0)
        (void)weft_local_get(none);
    else if (parameter == 1)
        (void)weft_local_get(wild);
    else if (parameter == 2)
        CHECK_EQ(weft_local_set(key, &key), 0);
    else
        weft_local_key_delete(key);
    return 0;
}

/* It would give out the values of another key. */
Test(rules, a_local_key_that_is_none_aborts, .timeout = TEST_TIMEOUT_S)
{
    static const char *const words[] = {
        "weft_local_get: there is no such key",
        "weft_local_get: there is no such key",
        "weft_local_set: there is no such key",
        "weft_local_key_delete: there is no such key",
    };

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        expect_abort("misuse_key", i, words[i]);
}
