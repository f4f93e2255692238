/* SPDX-License-Identifier: MIT */
/* future.h: others use a future while its fiber is being made, which can take a while: functions of
 * the program copy what the fiber inherits. */
#include "../support/fixture.h"

#include <errno.h>

struct spawning {
    weft_future future;
    weft_event copying, go_on;
    int copied; /* what the copy function returns */
    int fiber_result;
};

static weft_local_key key;

static int copy_slowly(void *value, void **copy)
{
    struct spawning *spawning = value;

    *copy = value;
    weft_event_set(&spawning->copying);
    CHECK_EQ(weft_event_wait(&spawning->go_on, WEFT_FOREVER), 0);
    return spawning->copied;
}

static int return_result(void *arg)
{
    struct spawning *spawning = arg;

    CHECK(weft_local_get(key) == spawning);
    /* A cancel that came while we were made is ours. */
    return weft_is_cancelled() ? -ECANCELED : spawning->fiber_result;
}

static void await_copy(struct spawning *spawning)
{
    CHECK_EQ(weft_event_wait(&spawning->copying, WEFT_FOREVER), 0);
    CHECK(!weft_future_is_done(&spawning->future));
    CHECK_EQ(weft_future_await(&spawning->future, NULL, 0), -ETIMEDOUT);
}

static int look(void *arg)
{
    struct spawning *spawning = arg;

    await_copy(spawning);
    weft_event_set(&spawning->go_on);
    return 0;
}

static int cancel(void *arg)
{
    struct spawning *spawning = arg;

    await_copy(spawning);
    weft_future_cancel(&spawning->future);
    weft_event_set(&spawning->go_on);
    return 0;
}

static int set(void *arg)
{
    struct spawning *spawning = arg;

    await_copy(spawning);
    CHECK_EQ(weft_future_set(&spawning->future, 9, NULL), 0);
    weft_event_set(&spawning->go_on);
    return 0;
}

/* What the spawn returns while another does that. */
static int spawn_beside(struct spawning *spawning, int (*other)(void *))
{
    weft_fiber *fiber;
    int error;

    weft_event_reset(&spawning->copying);
    weft_event_reset(&spawning->go_on);
    CHECK_EQ(weft_local_set(key, NULL), 0);
    fiber = must_spawn(other, spawning);
    CHECK_EQ(weft_local_set(key, spawning), 0);
    error = weft_future_spawn(&spawning->future, return_result, spawning);
    CHECK_EQ(must_join(fiber), 0);
    return error;
}

static void expect_result(struct spawning *spawning, int expected)
{
    int result = 0;

    CHECK_EQ(weft_future_await(&spawning->future, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, expected);
    weft_future_close(&spawning->future);
}

static int spawn_beside_others(void *arg)
{
    const struct spawning good = {.future = WEFT_FUTURE_INIT, .fiber_result = 3};
    struct weft_local_attr attr = WEFT_LOCAL_ATTR_INIT;
    struct spawning spawning = good;

    (void)arg;
    attr.inherit = true;
    attr.copy = copy_slowly;
    CHECK_EQ(weft_local_key_create(&key, &attr), 0);
    CHECK_EQ(spawn_beside(&spawning, look), 0);
    expect_result(&spawning, 3);
    spawning = good;
    CHECK_EQ(spawn_beside(&spawning, cancel), 0);
    expect_result(&spawning, -ECANCELED);
    spawning = good;
    CHECK_EQ(spawn_beside(&spawning, set), 0);
    expect_result(&spawning, 9);
    CHECK_EQ(weft_local_set(key, NULL), 0);
    weft_local_key_delete(key);
    return 0;
}

/* One that held a lock meanwhile would keep the other's worker, and with it the copy. */
WORKER_TEST(future_spawn, others_use_the_future_while_its_fiber_is_made, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_beside_others, NULL), 0);
}

static int fail_beside_others(void *arg)
{
    const struct spawning bad = {.future = WEFT_FUTURE_INIT, .copied = -EIO, .fiber_result = 3};
    struct weft_local_attr attr = WEFT_LOCAL_ATTR_INIT;
    struct spawning spawning = bad;

    (void)arg;
    attr.inherit = true;
    attr.copy = copy_slowly;
    CHECK_EQ(weft_local_key_create(&key, &attr), 0);
    CHECK_EQ(spawn_beside(&spawning, look), -EIO);
    CHECK(!weft_future_is_done(&spawning.future));
    spawning.copied = 0;
    CHECK_EQ(spawn_beside(&spawning, look), 0); /* it is as before */
    expect_result(&spawning, 3);
    spawning = bad;
    CHECK_EQ(spawn_beside(&spawning, look), -EIO);
    CHECK_EQ(weft_future_set(&spawning.future, 5, NULL), 0);
    expect_result(&spawning, 5);
    spawning = bad;
    CHECK_EQ(spawn_beside(&spawning, cancel), -EIO);
    expect_result(&spawning, -ECANCELED);
    spawning = bad;
    CHECK_EQ(spawn_beside(&spawning, set), -EIO);
    expect_result(&spawning, 9);
    CHECK_EQ(weft_local_set(key, NULL), 0);
    weft_local_key_delete(key);
    return 0;
}

/* A promise that nobody keeps any more would be awaited for ever. */
WORKER_TEST(future_spawn, one_that_fails_loses_nothing_that_came_meanwhile, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, fail_beside_others, NULL), 0);
}
