/* SPDX-License-Identifier: MIT */
/* select.h with descriptors: readiness beside values, times and results. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { ROUNDS = TEST_IS_TSAN ? 100 : 300 };

#define MS WEFT_MILLISECOND

struct shared {
    weft_channel *channel; /* of int */
    int fds[2];
};

/* Returns what weft_select() does; the value or the events are in `*got`. */
static int select_both(struct shared *shared, int *got, int *result, weft_time deadline)
{
    weft_poll poll = WEFT_POLL_INIT(shared->fds[0], POLLIN);
    int value = 0, events = 0;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(shared->channel, &value),
                                       WEFT_POLL_CASE(&poll, &events)};
    int index = weft_select(cases, 2, deadline);

    *got = index == 0 ? value : events;
    *result = index >= 0 ? cases[index].result : 0;
    return index;
}

static void must_send(struct shared *shared, int value)
{
    CHECK_EQ(weft_channel_send(shared->channel, &value, sizeof value, WEFT_FOREVER), 0);
}

static void must_write(struct shared *shared)
{
    CHECK_EQ(write(shared->fds[1], "x", 1), 1);
}

static struct shared make_shared(void)
{
    struct shared shared;

    CHECK_EQ(weft_channel_create(&shared.channel, sizeof(int), 1), 0);
    make_pipe(shared.fds);
    return shared;
}

static void end_shared(struct shared *shared)
{
    weft_channel_free(shared->channel); /* aborts if somebody stands there */
    CHECK_EQ(close(shared->fds[0]), 0);
    CHECK_EQ(close(shared->fds[1]), 0);
}

static int select_one_after_the_other(void *arg)
{
    struct shared shared = make_shared();
    int got, result, seen = 0;

    (void)arg;
    CHECK_EQ(select_both(&shared, &got, &result, 0), -ETIMEDOUT);
    CHECK_EQ(select_both(&shared, &got, &result, weft_after(2 * MS)), -ETIMEDOUT);
    must_send(&shared, 7);
    CHECK_EQ(select_both(&shared, &got, &result, WEFT_FOREVER), 0);
    CHECK_EQ(got, 7);
    must_write(&shared);
    CHECK_EQ(select_both(&shared, &got, &result, 0), 1);
    CHECK_EQ(got, POLLIN);
    CHECK_EQ(result, 0);
    /* It stays ready; beside a value both are taken some time. */
    for (int round = 0; seen != 3; round++) {
        int index;

        CHECK(round < 1000);
        if (weft_channel_length(shared.channel) == 0)
            must_send(&shared, 8);
        index = select_both(&shared, &got, &result, WEFT_FOREVER);
        CHECK(index == 0 || index == 1);
        seen |= 1 << index;
    }
    while (select_both(&shared, &got, &result, 0) != 0 && weft_channel_length(shared.channel) > 0)
        ;
    CHECK_EQ(drain(shared.fds[0]), 1);
    end_shared(&shared);
    return 0;
}

WORKER_TEST(select_poll, takes_readiness_beside_values, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, select_one_after_the_other, NULL), 0);
}

static int select_for_ever(void *arg)
{
    struct shared *shared = arg;
    int got = 0, result = 0, index = select_both(shared, &got, &result, WEFT_FOREVER);

    return index < 0 ? index : result < 0 ? result : index == 1 ? 1000 + got : got;
}

enum action { SEND, WRITE, CANCEL, HANG_UP, ACTIONS };

static void end_wait(struct shared *shared, weft_fiber *fiber, enum action action)
{
    switch (action) {
    case SEND:
        must_send(shared, 7);
        CHECK_EQ(must_join(fiber), 7);
        break;
    case WRITE:
        must_write(shared);
        CHECK_EQ(must_join(fiber), 1000 + POLLIN);
        break;
    case CANCEL:
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), -ECANCELED);
        break;
    default:
        CHECK_EQ(close(shared->fds[1]), 0);
        CHECK_EQ(must_join(fiber), 1000 + POLLHUP);
        CHECK_EQ(close(shared->fds[0]), 0);
        make_pipe(shared->fds);
        break;
    }
}

static int end_each_way(void *arg)
{
    struct shared shared = make_shared();

    (void)arg;
    for (int round = 0; round < 5 * ACTIONS; round++) {
        weft_fiber *fiber = must_spawn(select_for_ever, &shared);

        if (round / ACTIONS > 0)
            CHECK_EQ(weft_sleep((round / ACTIONS - 1) * MS / 4), 0);
        end_wait(&shared, fiber, (enum action)(round % ACTIONS));
        (void)drain(shared.fds[0]);
    }
    end_shared(&shared);
    return 0;
}

/* Each way in which a wait can end, before it begins and while it is under way. */
WORKER_TEST(select_poll, ends_by_each_case_and_by_cancel, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_each_way, NULL), 0);
}

/* The value and the readiness come at once, and the cancel perhaps too: one of them, and what was
 * not taken is still there. */
static int race(void *arg)
{
    struct shared shared = make_shared();

    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        weft_fiber *fiber = must_spawn(select_for_ever, &shared);
        int value, got;
        bool is_there;

        if (round % 2 != 0)
            CHECK_EQ(weft_yield(), 0);
        must_write(&shared);
        must_send(&shared, 7);
        if (round % 3 == 0)
            weft_cancel(fiber);
        got = must_join(fiber);
        CHECK(got == 7 || got == 1000 + POLLIN || (got == -ECANCELED && round % 3 == 0));
        is_there = weft_channel_try_receive(shared.channel, &value, sizeof value) == 0;
        CHECK_EQ(is_there, got != 7);
        CHECK_EQ(drain(shared.fds[0]), 1);
    }
    end_shared(&shared);
    return 0;
}

WORKER_TEST(select_poll, gives_one_outcome, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race, NULL), 0);
}

static int select_over_many(void *arg)
{
    enum { PIPES = 20 };
    weft_timer timer = WEFT_TIMER_INIT;
    weft_future future = WEFT_FUTURE_INIT;
    weft_poll polls[PIPES];
    int fds[PIPES][2], events[PIPES] = {0}, result = 0;
    int64_t count = 0;
    struct weft_select_case cases[PIPES + 2] = {WEFT_TIMER_CASE(&timer, &count),
                                                WEFT_FUTURE_CASE(&future, &result)};

    (void)arg;
    CHECK_EQ(weft_timer_arm(&timer, WEFT_FOREVER, 0, WEFT_TIMER_BURST), 0);
    for (int i = 0; i < PIPES; i++) {
        make_pipe(fds[i]);
        polls[i] = (weft_poll)WEFT_POLL_INIT(fds[i][0], POLLIN);
        cases[2 + i] = (struct weft_select_case)WEFT_POLL_CASE(&polls[i], &events[i]);
    }
    for (int round = 0; round < 3 * PIPES; round++) {
        int i = round % PIPES;

        CHECK_EQ(weft_select(cases, PIPES + 2, round % 2 == 0 ? 0 : weft_after(MS / 8)),
                 -ETIMEDOUT);
        CHECK_EQ(write(fds[i][1], "x", 1), 1);
        CHECK_EQ(weft_select(cases, PIPES + 2, WEFT_FOREVER), 2 + i);
        CHECK_EQ(events[i], POLLIN);
        CHECK_EQ(drain(fds[i][0]), 1);
    }
    /* The records are free again: they may poll something else. */
    polls[0].events = POLLOUT;
    polls[0].fd = fds[5][1];
    CHECK_EQ(weft_select(cases, PIPES + 2, WEFT_FOREVER), 2);
    CHECK_EQ(events[0], POLLOUT);
    for (int i = 0; i < PIPES; i++)
        CHECK_EQ(close(fds[i][0]) | close(fds[i][1]), 0);
    CHECK(weft_timer_cancel(&timer));
    weft_future_close(&future);
    return 0;
}

/* On a ring that has not enough entries for all. */
WORKER_TEST(select_poll, waits_for_many_beside_all_kinds, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .ring_entries = 8};

    cr_expect_eq(run_config(&config, select_over_many, NULL), 0);
}

static int be_given_bad_ones(void *arg)
{
    struct shared shared = make_shared();
    int held = 7, file = make_file("x", 1);
    weft_poll poll = WEFT_POLL_INIT(-1, POLLIN);
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &held),
                                       WEFT_POLL_CASE((weft_poll *)NULL, &held)};

    (void)arg;
    CHECK_EQ(weft_select(cases, 2, WEFT_FOREVER), 0);
    CHECK_EQ(cases[0].result, -EBADF);
    CHECK_EQ(held, 7);
    poll.fd = NOT_OPEN;
    CHECK_EQ(weft_select(cases, 2, 0), 0);
    CHECK_EQ(cases[0].result, -EBADF);
    poll.fd = file;
    CHECK_EQ(weft_select(cases, 2, WEFT_FOREVER), 0);
    CHECK_EQ(cases[0].result, 0);
    CHECK_EQ(held, POLLIN);
    CHECK_EQ(weft_select(cases + 1, 1, weft_after(MS)), -ETIMEDOUT);
    CHECK_EQ(close(file), 0);
    end_shared(&shared);
    return 0;
}

WORKER_TEST(select_poll, reports_what_cannot_be_polled, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, be_given_bad_ones, NULL), 0);
}

static int poll_twice(void *arg)
{
    struct shared shared = make_shared();
    weft_poll poll = WEFT_POLL_INIT(shared.fds[0], POLLIN);
    int held;
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &held), WEFT_POLL_CASE(&poll, &held)};

    (void)arg;
    return weft_select(cases, 2, WEFT_FOREVER);
}

CHILD(one_record_in_two_cases)
{
    (void)parameter;
    return weft_run(NULL, poll_twice, NULL);
}

/* The second poll would overwrite the record of the first. */
Test(select_poll, aborts_on_one_record_in_two_cases, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("one_record_in_two_cases", 0, "is in two cases");
}

Test(select_poll, refuses_plain_threads, .timeout = TEST_TIMEOUT_S)
{
    struct shared shared = make_shared();
    int got, result;

    must_write(&shared);
    cr_expect_eq(select_both(&shared, &got, &result, WEFT_FOREVER), -EPERM);
    end_shared(&shared);
}
