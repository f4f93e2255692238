/* SPDX-License-Identifier: MIT */
/* select.h with timers: what expires, is moved and is cancelled beside channels. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { ROUNDS = TEST_IS_TSAN ? 100 : 300, SELECTORS = 6 };

#define MS WEFT_MILLISECOND

struct shared {
    weft_channel *channel; /* of int */
    weft_timer timer;
    _Atomic(int64_t) reported;
    _Atomic(int) received;
};

/* Returns what weft_select() does; the count or the value is in `*got`. */
static int select_both(struct shared *shared, int64_t *got, int *result, weft_time deadline)
{
    int value = 0;
    int64_t count = 0;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(shared->channel, &value),
                                       WEFT_TIMER_CASE(&shared->timer, &count)};
    int index = weft_select(cases, 2, deadline);

    *got = index == 0 ? value : count;
    *result = index >= 0 ? cases[index].result : 0;
    return index;
}

static int select_one_after_the_other(void *arg)
{
    struct shared *shared = arg;
    weft_time when = weft_after(2 * MS);
    int value = 7, result;
    int64_t got;

    /* Not armed: ready, as a closed channel is. */
    CHECK_EQ(select_both(shared, &got, &result, WEFT_FOREVER), 1);
    CHECK_EQ(result, -ENODATA);
    CHECK_EQ(weft_timer_arm(&shared->timer, when, 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, WEFT_FOREVER), 0);
    if (select_both(shared, &got, &result, WEFT_FOREVER) == 0) {
        CHECK_EQ(got, 7);
        CHECK_EQ(select_both(shared, &got, &result, WEFT_FOREVER), 1);
    }
    CHECK_EQ(got, 1);
    CHECK_EQ(result, 0);
    CHECK(weft_now() >= when);
    /* Deadlines, before the timer and after it. */
    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(3600 * WEFT_SECOND), 0, WEFT_TIMER_BURST),
             0);
    result = weft_channel_try_receive(shared->channel, &value, sizeof value);
    CHECK(result == 0 || result == -EAGAIN); /* the timer may have come first */
    CHECK_EQ(select_both(shared, &got, &result, 0), -ETIMEDOUT);
    CHECK_EQ(select_both(shared, &got, &result, weft_after(MS)), -ETIMEDOUT);
    CHECK_EQ(weft_timer_move(&shared->timer, weft_now() - 1), 0);
    CHECK_EQ(select_both(shared, &got, &result, 0), 1);
    CHECK_EQ(got, 1);
    CHECK_EQ(weft_timer_arm(&shared->timer, weft_now() - 5 * MS, MS, WEFT_TIMER_SKIP), 0);
    CHECK_EQ(select_both(shared, &got, &result, 0), 1);
    CHECK(got >= 6);
    CHECK(weft_timer_cancel(&shared->timer));
    return 0;
}

static struct shared make_shared(void)
{
    struct shared shared = {.timer = WEFT_TIMER_INIT};

    CHECK_EQ(weft_channel_create(&shared.channel, sizeof(int), 4), 0);
    return shared;
}

WORKER_TEST(select_timer, reports_expirations_beside_values, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, select_one_after_the_other, &shared), 0);
    cr_expect_eq(select_one_after_the_other(&shared), 0, "a plain thread");
    weft_channel_free(shared.channel);
}

static int select_for_ever(void *arg)
{
    struct shared *shared = arg;
    int64_t got;
    int result, index = select_both(shared, &got, &result, WEFT_FOREVER);

    return index == 1 && result == 0 ? (int)got : index == 1 ? result : index;
}

static weft_fiber *spawn_waiting(struct shared *shared)
{
    weft_fiber *fiber;

    CHECK_EQ(weft_timer_arm(&shared->timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
    fiber = must_spawn(select_for_ever, shared);
    while (!has_waiters(&shared->timer.queue))
        CHECK_EQ(weft_yield(), 0);
    return fiber;
}

static int change_while_it_waits(void *arg)
{
    struct shared *shared = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *fiber = spawn_waiting(shared);
    int result, value = 1;
    int64_t got;

    CHECK_EQ(weft_timer_move(&shared->timer, weft_after(MS)), 0);
    CHECK_EQ(must_join(fiber), 1);
    fiber = spawn_waiting(shared);
    CHECK_EQ(weft_timer_arm(&shared->timer, weft_now(), 0, WEFT_TIMER_BURST), 0);
    CHECK_EQ(must_join(fiber), 1);
    fiber = spawn_waiting(shared);
    CHECK(weft_timer_cancel(&shared->timer));
    CHECK_EQ(must_join(fiber), -ENODATA);
    fiber = spawn_waiting(shared);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK(!has_waiters(&shared->timer.queue));
    fiber = spawn_waiting(shared);
    CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, WEFT_FOREVER), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK(!has_waiters(&shared->timer.queue));
    CHECK_EQ(weft_scope_open(&scope, weft_after(MS)), 0);
    CHECK_EQ(select_both(shared, &got, &result, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    CHECK(weft_timer_cancel(&shared->timer));
    return 0;
}

/* The select sleeps until a time that does not count any more. */
WORKER_TEST(select_timer, sees_what_is_changed_while_it_waits, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, change_while_it_waits, &shared), 0);
    weft_channel_free(shared.channel);
}

static int extend(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < 20; i++) {
        weft_time when = weft_after(MS);

        if (weft_timer_move(&shared->timer, when) != 0)
            return -ENODATA; /* it has expired: we did not run for a millisecond */
        atomic_store(&shared->reported, when);
        CHECK_EQ(weft_sleep(WEFT_MICROSECOND * 200), 0);
    }
    return 0;
}

static int be_extended(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fiber;
    int result;
    int64_t got;

    CHECK_EQ(weft_timer_arm(&shared->timer, weft_after(MS), 0, WEFT_TIMER_BURST), 0);
    fiber = must_spawn(extend, shared);
    CHECK_EQ(select_both(shared, &got, &result, WEFT_FOREVER), 1);
    CHECK_EQ(got, 1);
    if (must_join(fiber) == 0)
        CHECK(weft_now() >= atomic_load(&shared->reported));
    return 0;
}

WORKER_TEST(select_timer, a_time_that_is_extended_does_not_come, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, be_extended, &shared), 0);
    weft_channel_free(shared.channel);
}

static int select_until_closed(void *arg)
{
    struct shared *shared = arg;

    for (;;) {
        int64_t got;
        int result, index = select_both(shared, &got, &result, WEFT_FOREVER);

        CHECK(index >= 0);
        if (result == -ENODATA)
            return index;
        CHECK_EQ(result, 0);
        if (index == 0)
            (void)atomic_fetch_add(&shared->received, (int)got);
        else
            (void)atomic_fetch_add(&shared->reported, got);
    }
}

static int feed(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[SELECTORS];
    weft_time first = weft_now();

    CHECK_EQ(weft_timer_arm(&shared->timer, first, MS / 8, WEFT_TIMER_SKIP), 0);
    for (int i = 0; i < SELECTORS; i++)
        fibers[i] = must_spawn(select_until_closed, shared);
    for (int i = 1; i <= ROUNDS; i++) {
        CHECK_EQ(weft_channel_send(shared->channel, &i, sizeof i, WEFT_FOREVER), 0);
        if (i % 16 == 0)
            CHECK_EQ(weft_sleep(MS / 8), 0);
    }
    weft_channel_close(shared->channel);
    for (int i = 0; i < SELECTORS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(atomic_load(&shared->received), ROUNDS * (ROUNDS + 1) / 2);
    CHECK(first + (atomic_load(&shared->reported) - 1) * (MS / 8) <= weft_now());
    return atomic_load(&shared->reported) > 0;
}

/* No value and no expiration is lost or comes twice, however the two meet. */
WORKER_TEST(select_timer, several_selects_share_values_and_expirations, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, feed, &shared), 1);
    weft_channel_free(shared.channel);
}

static void *cancel_in_thread(void *arg)
{
    struct shared *shared = arg;

    while (!has_waiters(&shared->timer.queue))
        ;
    return (void *)(intptr_t)weft_timer_cancel(&shared->timer);
}

Test(select_timer, a_plain_thread_is_told_of_a_cancel, .timeout = TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();
    pthread_t thread;
    void *was_armed;

    cr_assert_eq(weft_timer_arm(&shared.timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
    cr_assert_eq(pthread_create(&thread, NULL, cancel_in_thread, &shared), 0);
    cr_expect_eq(select_for_ever(&shared), -ENODATA);
    cr_assert_eq(pthread_join(thread, &was_armed), 0);
    cr_expect_eq((intptr_t)was_armed, 1);
    weft_channel_free(shared.channel);
}
