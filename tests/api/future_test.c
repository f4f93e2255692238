/* SPDX-License-Identifier: MIT */
/* future.h: each awaiter gets the one result, and of many futures none is left behind. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { MANY = 20 };

static int return_number(void *arg)
{
    (void)weft_yield();
    return *(int *)arg;
}

static int linger(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

struct awaiting {
    weft_future *future;
    _Atomic(int) begun;
    _Atomic(int) sum;
};

static int await_sum(void *arg)
{
    struct awaiting *awaiting = arg;
    int result = 0;

    atomic_fetch_add(&awaiting->begun, 1);
    CHECK_EQ(weft_future_await(awaiting->future, &result, WEFT_FOREVER), 0);
    atomic_fetch_add(&awaiting->sum, result);
    return 0;
}

static int await_in_many(void *arg)
{
    for (int round = 0; round < 20; round++) {
        int number = 7;
        weft_future future = WEFT_FUTURE_INIT;
        struct awaiting awaiting = {.future = &future};
        weft_scope scope = WEFT_SCOPE_INIT;

        CHECK_EQ(weft_future_spawn(&future, return_number, &number), 0);
        for (int i = 0; i < MANY; i++)
            CHECK_EQ(weft_scope_spawn(&scope, await_sum, &awaiting), 0);
        CHECK_EQ(weft_scope_close(&scope, 0), 0);
        CHECK_EQ(atomic_load(&awaiting.sum), MANY * 7);
        CHECK(weft_future_is_done(&future));
        CHECK_EQ(weft_future_set(&future, 3, NULL), -EALREADY);
        weft_future_close(&future);
    }
    (void)arg;
    return 0;
}

WORKER_TEST(future, every_awaiter_gets_the_fibers_result, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, await_in_many, NULL), 0);
}

static void *await_on_thread(void *arg)
{
    CHECK_EQ(await_sum(arg), 0);
    return NULL;
}

static void *set_on_thread(void *arg)
{
    struct awaiting *awaiting = arg;

    while (atomic_load(&awaiting->begun) < 3)
        ;
    CHECK_EQ(weft_future_set(awaiting->future, 5, awaiting), 0);
    CHECK_EQ(weft_future_set(awaiting->future, 6, NULL), -EALREADY);
    return NULL;
}

static int promise(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    struct awaiting awaiting = {.future = &future};
    weft_scope scope = WEFT_SCOPE_INIT;
    pthread_t awaiter, setter;

    (void)arg;
    CHECK_EQ(weft_future_await(&future, NULL, 0), -ETIMEDOUT);
    CHECK_EQ(weft_future_await(&future, NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK(!weft_future_is_done(&future));
    CHECK(weft_future_value(&future) == NULL);
    CHECK_EQ(pthread_create(&awaiter, NULL, await_on_thread, &awaiting), 0);
    CHECK_EQ(pthread_create(&setter, NULL, set_on_thread, &awaiting), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(weft_scope_spawn(&scope, await_sum, &awaiting), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK_EQ(pthread_join(awaiter, NULL), 0);
    CHECK_EQ(pthread_join(setter, NULL), 0);
    CHECK_EQ(atomic_load(&awaiting.sum), 15);
    CHECK(weft_future_value(&future) == &awaiting);
    /* Also in a cancelled fiber, and with a deadline that has passed. */
    weft_cancel(weft_self());
    CHECK_EQ(weft_future_await(&future, NULL, 0), 0);
    weft_future_close(&future);
    return 0;
}

/* Results come from threads and go to threads, as to fibers. */
WORKER_TEST(future, threads_set_and_await, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, promise, NULL), 0);
}

static int give_early(void *arg)
{
    weft_future *future = arg;

    CHECK_EQ(weft_future_set(future, 4, future), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    return -EIO; /* too late */
}

static int take_early(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    int result = 0;

    (void)arg;
    CHECK_EQ(weft_future_spawn(&future, give_early, &future), 0);
    CHECK_EQ(weft_future_await(&future, &result, WEFT_FOREVER), 0);
    CHECK_EQ(result, 4);
    weft_future_close(&future); /* waits for the fiber, which still runs */
    return 0;
}

WORKER_TEST(future, a_fiber_gives_its_result_early, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, take_early, NULL), 0);
}

static int cancel_in_every_phase(void *arg)
{
    (void)arg;
    for (int round = 0; round < 60; round++) {
        weft_future future = WEFT_FUTURE_INIT;
        int number = -ECANCELED;
        int result = 0;

        CHECK_EQ(weft_future_spawn(&future, round % 2 ? linger : return_number, &number), 0);
        for (int i = 0; i < round % 5; i++)
            (void)weft_yield();
        weft_future_cancel(&future);
        weft_future_cancel(&future);
        CHECK_EQ(weft_future_await(&future, &result, WEFT_FOREVER), 0);
        CHECK_EQ(result, -ECANCELED);
        weft_future_close(&future);
    }
    return 0;
}

/* Before the fiber begins, while it waits, and while it ends. */
WORKER_TEST(future, a_cancel_reaches_the_fiber_behind_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_in_every_phase, NULL), 0);
}

struct family {
    weft_future futures[MANY];
    weft_future *all[MANY];
    int numbers[MANY];
};

static void spawn_all(struct family *family, int count, int (*fn)(void *))
{
    memset(family, 0, sizeof *family);
    for (int i = 0; i < count; i++) {
        family->numbers[i] = i;
        family->all[i] = &family->futures[i];
        CHECK_EQ(weft_future_spawn(family->all[i], fn, &family->numbers[i]), 0);
    }
}

static void close_all(struct family *family, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK(weft_future_is_done(family->all[i]));
        weft_future_close(family->all[i]);
    }
}

static int linger_but_one(void *arg)
{
    return *(int *)arg == 3 ? -EPIPE : linger(arg);
}

static int gather_all(void *arg)
{
    struct family family;

    (void)arg;
    CHECK_EQ(weft_gather(NULL, 0, 0), 0);
    spawn_all(&family, MANY, return_number);
    CHECK_EQ(weft_gather(family.all, MANY, WEFT_FOREVER), 0);
    CHECK_EQ(weft_gather(family.all, MANY, 0), 0); /* all are there */
    close_all(&family, MANY);
    spawn_all(&family, MANY, linger_but_one);
    CHECK_EQ(weft_gather(family.all, MANY, WEFT_FOREVER), -EPIPE);
    close_all(&family, MANY);
    spawn_all(&family, MANY, linger);
    CHECK_EQ(weft_gather(family.all, MANY, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    close_all(&family, MANY);
    return 0;
}

static int gather_with_promise(void *arg)
{
    struct family family;
    weft_future lost = WEFT_FUTURE_INIT;
    int result = 0;

    (void)arg;
    spawn_all(&family, 4, linger_but_one);
    family.all[4] = &lost;
    CHECK_EQ(weft_gather(family.all, 5, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_future_await(&lost, &result, 0), 0);
    CHECK_EQ(result, -ECANCELED);
    close_all(&family, 5);
    return 0;
}

WORKER_TEST(future, gather_waits_for_all_and_cancels_the_rest_after_a_failure, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, gather_all, NULL), 0);
    cr_expect_eq(run_workers(*workers, gather_with_promise, NULL), 0);
}

static int gather_cancelled(void *arg)
{
    struct family *family = arg;

    return weft_gather(family->all, MANY, WEFT_FOREVER);
}

static int cancel_gatherer(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++) {
        struct family family;
        weft_fiber *fiber;

        spawn_all(&family, MANY, linger);
        fiber = must_spawn(gather_cancelled, &family);
        for (int i = 0; i < round; i++)
            (void)weft_yield();
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), -ECANCELED);
        close_all(&family, MANY);
    }
    return 0;
}

/* The fibers have their memory from the caller: they must have ended, whatever ends the wait. */
WORKER_TEST(future, a_cancelled_gather_still_waits_for_the_fibers, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_gatherer, NULL), 0);
}

static int sleep_or_fail(void *arg)
{
    int number = *(int *)arg;

    if (number < 2)
        return -EIO - number;
    return number == 5 ? 55 : linger(arg);
}

static int fail_all(void *arg)
{
    (void)arg;
    return -EPIPE;
}

static int race_and_any(void *arg)
{
    struct family family;
    int result = 0;
    ssize_t index;

    (void)arg;
    CHECK_EQ(weft_race(NULL, 0, NULL, 0), -EINVAL);
    CHECK_EQ(weft_any(NULL, 0, NULL, 0), -EINVAL);
    spawn_all(&family, 9, sleep_or_fail);
    CHECK_EQ(weft_any(family.all, 9, &result, WEFT_FOREVER), 5);
    CHECK_EQ(result, 55);
    close_all(&family, 9);
    spawn_all(&family, 2, sleep_or_fail);
    index = weft_race(family.all, 2, &result, WEFT_FOREVER);
    CHECK(index == 0 || index == 1);
    CHECK_EQ(result, -EIO - index);
    close_all(&family, 2);
    spawn_all(&family, 4, fail_all);
    CHECK_EQ(weft_any(family.all, 4, &result, WEFT_FOREVER), -EPIPE);
    close_all(&family, 4);
    spawn_all(&family, 4, linger);
    CHECK_EQ(weft_race(family.all, 4, &result, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    close_all(&family, 4);
    spawn_all(&family, 4, linger);
    CHECK_EQ(weft_any(family.all, 4, &result, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    close_all(&family, 4);
    return 0;
}

WORKER_TEST(future, race_takes_the_first_and_any_the_first_success, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_and_any, NULL), 0);
}

static int complete_in_order(void *arg)
{
    weft_future futures[MANY];
    weft_future_group group = WEFT_FUTURE_GROUP_INIT;
    weft_future *future = NULL;

    (void)arg;
    memset(futures, 0, sizeof futures);
    CHECK_EQ(weft_future_group_next(&group, &future, WEFT_FOREVER), -ENOENT);
    for (int i = 0; i < MANY; i++)
        weft_future_group_add(&group, &futures[i]);
    CHECK_EQ(weft_future_group_next(&group, &future, 0), -ETIMEDOUT);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_future_set(&futures[i * 7 % MANY], i, NULL), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_future_group_next(&group, &future, 0), 0);
        CHECK(future == &futures[i * 7 % MANY]);
        weft_future_close(future);
    }
    CHECK_EQ(weft_future_group_next(&group, &future, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_future_group_close(&group);
    weft_future_cancel(&futures[2]);
    CHECK_EQ(weft_future_await(&futures[2], NULL, 0), 0);
    weft_future_close(&futures[2]);
    return 0;
}

WORKER_TEST(future, a_group_returns_them_as_they_complete, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, complete_in_order, NULL), 0);
}

static int drop_error(void *arg)
{
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    weft_future future = WEFT_FUTURE_INIT;

    (void)arg;
    attr.name = "unheard";
    CHECK_EQ(weft_future_spawn_with(&future, &attr, fail_all, NULL), 0);
    weft_future_close(&future);
    return 0;
}

static int read_error(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    int result;

    (void)arg;
    CHECK_EQ(weft_future_spawn(&future, fail_all, NULL), 0);
    CHECK_EQ(weft_future_await(&future, &result, WEFT_FOREVER), 0);
    weft_future_close(&future);
    return 0;
}

static int close_twice(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;

    (void)arg;
    weft_future_close(&future);
    weft_future_close(&future);
    return 0;
}

static int spawn_twice(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;

    CHECK_EQ(weft_future_spawn(&future, linger, arg), 0);
    return weft_future_spawn(&future, linger, arg);
}

static int add_twice(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    weft_future_group group = WEFT_FUTURE_GROUP_INIT;

    (void)arg;
    weft_future_group_add(&group, &future);
    weft_future_group_add(&group, &future);
    return 0;
}

static const struct misuse {
    int (*fn)(void *);
    const char *message;
} misuses[] = {
    {close_twice, "the future is closed twice"},
    {spawn_twice, "the future was used before"},
    {add_twice, "the future is in a group already"},
};

CHILD(misuse_future)
{
    return weft_run(NULL, misuses[parameter].fn, NULL);
}

/* Each of these would otherwise go on with freed memory. */
Test(future, misuse_aborts_with_the_rule, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof misuses / sizeof *misuses; i++)
        expect_abort("misuse_future", i, misuses[i].message);
}

CHILD(end_with_error)
{
    return weft_run(NULL, parameter == 0 ? drop_error : read_error, NULL);
}

/* An error that nobody looks at must not vanish. */
Test(future, an_unread_error_is_reported, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("end_with_error", 0, NULL, &end);
    cr_expect_eq(end.signal, 0);
    cr_expect_not_null(strstr(end.output, "a future of fiber \"unheard\" was closed with an error "
                                          "that nobody has read"),
                       "%s", end.output);
    run_child("end_with_error", 1, NULL, &end);
    cr_expect_eq(end.signal, 0);
    cr_expect_null(strstr(end.output, "future"), "%s", end.output);
}

/* A thread has no fiber to spawn from, but promises are for it as well. */
Test(future, plain_threads_use_promises, .timeout = TEST_TIMEOUT_S)
{
    weft_future futures[2] = {WEFT_FUTURE_INIT, WEFT_FUTURE_INIT};
    weft_future *all[2] = {&futures[0], &futures[1]};
    int result = 0;

    cr_expect_eq(weft_future_spawn(&futures[0], linger, NULL), -EPERM);
    cr_expect_eq(weft_future_await(&futures[0], NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    cr_expect_eq(weft_future_set(&futures[1], 9, NULL), 0);
    cr_expect_eq(weft_race(all, 2, &result, WEFT_FOREVER), 1);
    cr_expect_eq(result, 9);
    cr_expect_eq(weft_gather(all, 2, WEFT_FOREVER), -ECANCELED);
    weft_future_close(&futures[0]);
    weft_future_close(&futures[1]);
}
