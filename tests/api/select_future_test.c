/* SPDX-License-Identifier: MIT */
/* select.h with futures: results beside values, from fibers and from elsewhere. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { ROUNDS = TEST_IS_TSAN ? 100 : 300, SELECTORS = 6 };

struct shared {
    weft_channel *channel; /* of int */
    weft_future future;
    _Atomic(int) woken;
};

/* Returns what weft_select() does; the value or the result is in `*got`. */
static int select_both(struct shared *shared, int *got, weft_time deadline)
{
    int value = 0, result = 0;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(shared->channel, &value),
                                       WEFT_FUTURE_CASE(&shared->future, &result)};
    int index = weft_select(cases, 2, deadline);

    *got = index == 0 ? value : result;
    if (index >= 0)
        CHECK_EQ(cases[index].result, 0);
    return index;
}

static struct shared make_shared(void)
{
    struct shared shared = {.future = WEFT_FUTURE_INIT};

    CHECK_EQ(weft_channel_create(&shared.channel, sizeof(int), 1), 0);
    return shared;
}

static int select_one_after_the_other(void *arg)
{
    struct shared *shared = arg;
    int value = 7, got = 0, seen = 0;

    shared->future = (weft_future)WEFT_FUTURE_INIT;
    CHECK_EQ(select_both(shared, &got, 0), -ETIMEDOUT);
    CHECK_EQ(select_both(shared, &got, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, 0), 0);
    CHECK_EQ(select_both(shared, &got, WEFT_FOREVER), 0);
    CHECK_EQ(got, 7);
    CHECK_EQ(weft_future_set(&shared->future, -EDOM, NULL), 0);
    /* It stays complete, and so ready; beside a value both are taken some time. */
    CHECK_EQ(select_both(shared, &got, 0), 1);
    CHECK_EQ(got, -EDOM);
    for (int round = 0; seen != 3; round++) {
        int index;

        CHECK(round < 1000);
        if (weft_channel_length(shared->channel) == 0)
            CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, 0), 0);
        index = select_both(shared, &got, WEFT_FOREVER);
        CHECK(index == 0 || index == 1);
        seen |= 1 << index;
    }
    if (weft_channel_length(shared->channel) > 0)
        CHECK_EQ(weft_channel_receive(shared->channel, &value, sizeof value, 0), 0);
    weft_future_close(&shared->future);
    return 0;
}

WORKER_TEST(select_future, takes_results_beside_values, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, select_one_after_the_other, &shared), 0);
    cr_expect_eq(select_one_after_the_other(&shared), 0, "a plain thread");
    weft_channel_free(shared.channel);
}

static int select_for_ever(void *arg)
{
    struct shared *shared = arg;
    int got, index = select_both(shared, &got, WEFT_FOREVER);

    atomic_fetch_add(&shared->woken, 1);
    return index < 0 ? index : got;
}

static void *select_in_thread(void *arg)
{
    CHECK_EQ(select_for_ever(arg), 12);
    return NULL;
}

/* Whether the fibers wait already, or are about to, makes no difference to what they get. */
static void pause_for(int round)
{
    if (round % 3 == 1)
        CHECK_EQ(weft_yield(), 0);
    else if (round % 3 == 2)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 4), 0);
}

static int return_twelve(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_yield(), 0);
    return 12;
}

/* Everybody who waits is told of a completion, each once. */
static int complete_for_all(void *arg)
{
    struct shared *shared = arg;

    for (int round = 0; round < ROUNDS; round++) {
        weft_fiber *fibers[SELECTORS];
        pthread_t thread;

        shared->future = (weft_future)WEFT_FUTURE_INIT;
        shared->woken = 0;
        for (int i = 0; i < SELECTORS; i++)
            fibers[i] = must_spawn(select_for_ever, shared);
        CHECK_EQ(pthread_create(&thread, NULL, select_in_thread, shared), 0);
        pause_for(round);
        if (round % 2 == 0)
            CHECK_EQ(weft_future_set(&shared->future, 12, NULL), 0);
        else
            CHECK_EQ(weft_future_spawn(&shared->future, return_twelve, NULL), 0);
        for (int i = 0; i < SELECTORS; i++)
            CHECK_EQ(must_join(fibers[i]), 12);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(shared->woken, SELECTORS + 1);
        weft_future_close(&shared->future);
    }
    return 0;
}

WORKER_TEST(select_future, tells_all_that_wait, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, complete_for_all, &shared), 0);
    weft_channel_free(shared.channel);
}

/* The future, the value and the cancel come at once: each selector gets one of the three, and a
 * value that none of them got is still there. */
static int race(void *arg)
{
    struct shared *shared = arg;

    for (int round = 0; round < ROUNDS; round++) {
        weft_fiber *fibers[SELECTORS];
        int value = 7, values = 0, rest = 0;

        shared->future = (weft_future)WEFT_FUTURE_INIT;
        for (int i = 0; i < SELECTORS; i++)
            fibers[i] = must_spawn(select_for_ever, shared);
        pause_for(round);
        CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, 0), 0);
        weft_cancel(fibers[round % SELECTORS]);
        CHECK_EQ(weft_future_set(&shared->future, 12, NULL), 0);
        for (int i = 0; i < SELECTORS; i++) {
            int got = must_join(fibers[i]);

            CHECK(got == 7 || got == 12 || (got == -ECANCELED && i == round % SELECTORS));
            values += got == 7;
        }
        if (weft_channel_try_receive(shared->channel, &value, sizeof value) == 0)
            rest = 1;
        CHECK_EQ(values + rest, 1);
        weft_future_close(&shared->future);
    }
    return 0;
}

WORKER_TEST(select_future, gives_each_one_outcome, TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();

    cr_expect_eq(run_workers(*workers, race, &shared), 0);
    weft_channel_free(shared.channel);
}

static int fail_at_once(void *arg)
{
    (void)arg;
    return -EDOM;
}

static int read_an_error(void *arg)
{
    weft_future futures[2] = {WEFT_FUTURE_INIT, WEFT_FUTURE_INIT};
    int first = 0, second = 0;
    struct weft_select_case cases[] = {
        WEFT_FUTURE_CASE(&futures[0], &first), WEFT_FUTURE_CASE(&futures[1], &second),
        WEFT_FUTURE_CASE((weft_future *)NULL, &second), WEFT_FUTURE_CASE(&futures[0], &first)};
    int index;

    (void)arg;
    CHECK_EQ(weft_future_spawn(&futures[0], fail_at_once, NULL), 0);
    index = weft_select(cases, 4, WEFT_FOREVER);
    CHECK(index == 0 || index == 3);
    CHECK_EQ(first, -EDOM);
    CHECK_EQ(second, 0);
    weft_future_close(&futures[0]);
    weft_future_close(&futures[1]);
    return 0;
}

CHILD(end_with_error_read)
{
    (void)parameter;
    return weft_run(NULL, read_an_error, NULL);
}

/* Nothing is reported when it is closed: the error has been read.  The same future may be in two
 * cases. */
Test(select_future, counts_as_reading, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("end_with_error_read", 0, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_null(strstr(end.output, "future"), "%s", end.output);
}

static int select_over_closed(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;
    int result;
    struct weft_select_case cases[] = {WEFT_FUTURE_CASE(&future, &result)};

    (void)arg;
    weft_future_close(&future);
    return weft_select(cases, 1, WEFT_FOREVER);
}

CHILD(select_over_a_closed_future)
{
    (void)parameter;
    return weft_run(NULL, select_over_closed, NULL);
}

Test(select_future, aborts_on_a_closed_one, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("select_over_a_closed_future", 0, "the future has been closed");
}
