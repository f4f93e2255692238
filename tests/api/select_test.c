/* SPDX-License-Identifier: MIT */
/* select.h */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CHANNELS = 3 };

static weft_channel *must_create(size_t capacity)
{
    weft_channel *channel = NULL;

    CHECK_EQ(weft_channel_create(&channel, sizeof(int), capacity), 0);
    return channel;
}

static void must_send(weft_channel *channel, int value)
{
    CHECK_EQ(weft_channel_send(channel, &value, sizeof value, WEFT_FOREVER), 0);
}

static int must_receive(weft_channel *channel)
{
    int value = -1;

    CHECK_EQ(weft_channel_receive(channel, &value, sizeof value, WEFT_FOREVER), 0);
    return value;
}

static int choose_among_ready(void *arg)
{
    enum { ROUNDS = 3000 };
    weft_channel *channels[CHANNELS];
    int counts[CHANNELS] = {0};

    (void)arg;
    for (int i = 0; i < CHANNELS; i++) {
        channels[i] = must_create(1);
        must_send(channels[i], i);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int value = -1;
        struct weft_select_case cases[CHANNELS] = {WEFT_RECEIVE_CASE(channels[0], &value),
                                                   WEFT_RECEIVE_CASE(channels[1], &value),
                                                   WEFT_RECEIVE_CASE(channels[2], &value)};
        int winner = weft_select(cases, CHANNELS, WEFT_FOREVER);

        CHECK(winner >= 0 && winner < CHANNELS);
        CHECK_EQ(cases[winner].result, 0);
        CHECK_EQ(value, winner);
        for (int i = 0; i < CHANNELS; i++)
            CHECK_EQ(weft_channel_length(channels[i]), i != winner);
        counts[winner]++;
        must_send(channels[winner], winner);
    }
    for (int i = 0; i < CHANNELS; i++) {
        CHECK(counts[i] > ROUNDS / CHANNELS / 3);
        weft_channel_free(channels[i]);
    }
    return 0;
}

/* A select that always began with its first case would let the others wait for ever; and one that
 * did more than the case it names would lose values. */
WORKER_TEST(select, chooses_one_of_the_ready_cases_fairly, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, choose_among_ready, NULL), 0);
}

/* Which of `count` cases are ready; each of those has a full channel. */
struct ready_set {
    unsigned count;
    uint64_t ready;
};

static void choose_often(const struct ready_set *set)
{
    enum { MOST = 40, ROUNDS = 10000 };
    weft_channel *empty = must_create(1);
    weft_channel *full = must_create(1);
    unsigned counts[MOST] = {0};
    unsigned ready = (unsigned)__builtin_popcountll(set->ready);
    int value = -1;

    for (int round = 0; round < ROUNDS; round++) {
        struct weft_select_case cases[MOST];
        int winner;

        must_send(full, round);
        for (unsigned i = 0; i < set->count; i++)
            cases[i] = (struct weft_select_case)WEFT_RECEIVE_CASE(
                (set->ready >> i & 1) != 0 ? full : empty, &value);
        winner = weft_select(cases, set->count, 0);
        CHECK(winner >= 0);
        CHECK_EQ(value, round);
        counts[winner]++;
    }
    for (unsigned i = 0; i < set->count; i++) {
        unsigned share = (set->ready >> i & 1) != 0 ? ROUNDS / ready : 0;

        /* More than ten standard deviations on both sides. */
        CHECK(counts[i] >= share - share / 3 && counts[i] <= share + share / 3);
    }
    weft_channel_free(empty);
    weft_channel_free(full);
}

static int choose_among_unready(void *arg)
{
    static const struct ready_set sets[] = {
        {2, 0x3}, {3, 0x5}, {5, 0x14}, {8, 0x3}, {8, 0xc1}, {40, 0x8000000003}, {40, 0x20000f0000},
    };

    (void)arg;
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++)
        choose_often(&sets[i]);
    return 0;
}

/* A case that stands behind others that are not ready must not be chosen in their place as well: of
 * eight, the first of which two are ready, it would be chosen seven times as often as the second.
 */
WORKER_TEST(select, chooses_as_fairly_between_cases_that_are_not_ready, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, choose_among_unready, NULL), 0);
    cr_expect_eq(choose_among_unready(NULL), 0, "on a plain thread");
}

enum { ALIKE = 3, WAITS = 3000 };

static int wait_for_one_of_alike(void *arg)
{
    unsigned counts[ALIKE] = {0};

    for (int round = 0; round < WAITS; round++) {
        struct weft_select_case cases[ALIKE];
        int value = -1, winner;

        for (unsigned i = 0; i < ALIKE; i++)
            cases[i] = (struct weft_select_case)WEFT_RECEIVE_CASE((weft_channel *)arg, &value);
        winner = weft_select(cases, ALIKE, WEFT_FOREVER);
        CHECK(winner >= 0);
        CHECK_EQ(value, round);
        counts[winner]++;
    }
    for (unsigned i = 0; i < ALIKE; i++)
        CHECK(counts[i] >= WAITS / ALIKE / 3 * 2 && counts[i] <= WAITS / ALIKE / 3 * 4);
    return 0;
}

static int send_to_who_waits(void *arg)
{
    weft_channel *channel = must_create(0);
    weft_fiber *fiber = must_spawn(wait_for_one_of_alike, channel);
    int error;

    for (int round = 0; round < WAITS; round++)
        while ((error = weft_channel_try_send(channel, &round, sizeof round)) != 0) {
            CHECK_EQ(error, -EAGAIN);
            CHECK_EQ(weft_yield(), 0);
        }
    CHECK_EQ(must_join(fiber), 0);
    weft_channel_free(channel);
    return arg != NULL;
}

/* What a case waits for may differ in nothing but its place, and no place may always come first. */
WORKER_TEST(select, chooses_fairly_between_cases_that_have_waited_for_the_same, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_to_who_waits, NULL), 0);
}

static int look_without_waiting(void *arg)
{
    weft_channel *empty = must_create(0);
    weft_channel *full = must_create(1);
    int value = -1;
    int seven = 7;
    weft_time deadline = weft_after(2 * WEFT_MILLISECOND);
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(empty, &value),
                                       WEFT_SEND_CASE(full, &seven),
                                       WEFT_RECEIVE_CASE(NULL, &value)};

    (void)arg;
    CHECK_EQ(weft_select(cases, 3, 0), 1);
    CHECK_EQ(cases[1].result, 0);
    CHECK_EQ(weft_select(cases, 3, 0), -ETIMEDOUT);
    CHECK_EQ(weft_select(cases, 3, weft_after(-WEFT_SECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_select(cases, 3, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_select(NULL, 0, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_select(&cases[2], 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(value, -1);
    CHECK_EQ(must_receive(full), 7);
    CHECK_EQ(weft_channel_try_receive(full, &value, sizeof value), -EAGAIN);
    CHECK_EQ(weft_channel_try_send(empty, &value, sizeof value), -EAGAIN);
    weft_channel_free(empty);
    weft_channel_free(full);
    return 0;
}

/* After a timeout nothing has happened, and nobody stands in a queue (free would abort). */
WORKER_TEST(select, times_out_without_a_trace, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, look_without_waiting, NULL), 0);
    cr_expect_eq(look_without_waiting(NULL), 0, "on a plain thread");
}

static int meet_oneself(void *arg)
{
    weft_channel *channel = must_create(0);
    int out = 1;
    int in = -1;
    struct weft_select_case cases[] = {WEFT_SEND_CASE(channel, &out),
                                       WEFT_RECEIVE_CASE(channel, &in),
                                       WEFT_RECEIVE_CASE(channel, &in)};

    (void)arg;
    CHECK_EQ(weft_select(cases, 3, 0), -ETIMEDOUT);
    CHECK_EQ(weft_select(cases, 3, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(in, -1);
    weft_channel_free(channel);
    return 0;
}

WORKER_TEST(select, does_not_meet_itself, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, meet_oneself, NULL), 0);
}

struct waiting {
    weft_channel *channels[CHANNELS];
    _Atomic(int) begun;
    int index;
    int result;
    int value;
};

/* Waits to receive from the first two channels, or to send on the third. */
static int wait_on_all(void *arg)
{
    struct waiting *waiting = arg;
    int out = 99;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(waiting->channels[0], &waiting->value),
                                       WEFT_RECEIVE_CASE(waiting->channels[1], &waiting->value),
                                       WEFT_SEND_CASE(waiting->channels[2], &out)};

    atomic_store(&waiting->begun, 1);
    waiting->value = -1;
    waiting->index = weft_select(cases, 3, WEFT_FOREVER);
    waiting->result = waiting->index >= 0 ? cases[waiting->index].result : 0;
    return 0;
}

static void *wait_on_all_in_thread(void *arg)
{
    (void)wait_on_all(arg);
    return NULL;
}

enum action { SEND_FIRST, SEND_SECOND, RECEIVE_THIRD, CLOSE_FIRST, CLOSE_THIRD, CANCEL, ACTIONS };

static void act(enum action action, struct waiting *waiting, weft_fiber *fiber)
{
    switch (action) {
    case SEND_FIRST:
    case SEND_SECOND:
        must_send(waiting->channels[action], 10 + (int)action);
        break;
    case RECEIVE_THIRD:
        CHECK_EQ(must_receive(waiting->channels[2]), 99);
        break;
    case CLOSE_FIRST:
        weft_channel_close(waiting->channels[0]);
        break;
    case CLOSE_THIRD:
        weft_channel_close(waiting->channels[2]);
        break;
    default:
        weft_cancel(fiber);
        break;
    }
}

static void check_outcome(enum action action, const struct waiting *waiting)
{
    static const struct {
        int index, result, value;
    } expected[ACTIONS] = {
        [SEND_FIRST] = {0, 0, 10},       [SEND_SECOND] = {1, 0, 11},
        [RECEIVE_THIRD] = {2, 0, -1},    [CLOSE_FIRST] = {0, -ENODATA, -1},
        [CLOSE_THIRD] = {2, -EPIPE, -1}, [CANCEL] = {-ECANCELED, 0, -1},
    };

    CHECK_EQ(waiting->index, expected[action].index);
    CHECK_EQ(waiting->result, expected[action].result);
    CHECK_EQ(waiting->value, expected[action].value);
}

static int end_each_way(void *arg)
{
    bool is_thread = arg != NULL;

    for (int pause = 0; pause < 2; pause++) {
        for (int action = 0; action < (is_thread ? CANCEL : ACTIONS); action++) {
            struct waiting waiting = {0};
            weft_fiber *fiber = NULL;
            pthread_t thread = 0;

            for (int i = 0; i < CHANNELS; i++)
                waiting.channels[i] = must_create(0);
            if (is_thread)
                CHECK_EQ(pthread_create(&thread, NULL, wait_on_all_in_thread, &waiting), 0);
            else
                fiber = must_spawn(wait_on_all, &waiting);
            if (pause) {
                await_flag(&waiting.begun);
                CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
            }
            act((enum action)action, &waiting, fiber);
            if (is_thread)
                CHECK_EQ(pthread_join(thread, NULL), 0);
            else
                CHECK_EQ(must_join(fiber), 0);
            check_outcome((enum action)action, &waiting);
            for (int i = 0; i < CHANNELS; i++)
                weft_channel_free(waiting.channels[i]); /* aborts if somebody stands there */
        }
    }
    return 0;
}

/* Each way in which a wait can end, before it begins and while it is under way. */
WORKER_TEST(select, ends_by_each_case_and_by_cancel, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_each_way, NULL), 0);
}

WORKER_TEST(select, works_on_plain_threads, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_each_way, ""), 0);
}

struct facing {
    weft_channel *there, *back;
    int id;
    int balance; /* values sent, less those received */
};

enum { EXCHANGES = 2000 };

static int face(void *arg)
{
    struct facing *facing = arg;

    for (int i = 0; i < EXCHANGES; i++) {
        int out = facing->id;
        int in = -1;
        struct weft_select_case cases[] = {WEFT_SEND_CASE(facing->there, &out),
                                           WEFT_RECEIVE_CASE(facing->back, &in)};
        int winner = weft_select(cases, 2, WEFT_FOREVER);

        CHECK(winner == 0 || winner == 1);
        CHECK_EQ(cases[winner].result, 0);
        CHECK_EQ(in, winner == 0 ? -1 : 1 - facing->id);
        facing->balance += winner == 0 ? 1 : -1;
    }
    return 0;
}

static void *face_in_thread(void *arg)
{
    (void)face(arg);
    return NULL;
}

static int face_each_other(void *arg)
{
    weft_channel *channels[2] = {must_create(0), must_create(0)};
    struct facing parties[2] = {{channels[0], channels[1], 0, 0}, {channels[1], channels[0], 1, 0}};
    weft_fiber *fiber = must_spawn(face, &parties[0]);

    if (arg != NULL) {
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, face_in_thread, &parties[1]), 0);
        CHECK_EQ(must_join(fiber), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    } else {
        CHECK_EQ(face(&parties[1]), 0);
        CHECK_EQ(must_join(fiber), 0);
    }
    CHECK_EQ(parties[0].balance + parties[1].balance, 0);
    for (int i = 0; i < 2; i++)
        weft_channel_free(channels[i]);
    return 0;
}

/* Two selects that need each other: a claim of both by both, or locks in different orders, would
 * leave them waiting for ever. */
WORKER_TEST(select, two_that_face_each_other_meet, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, face_each_other, NULL), 0);
}

WORKER_TEST(select, a_thread_and_a_fiber_that_face_each_other_meet, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, face_each_other, ""), 0);
}

static int select_cancelled(void *arg)
{
    weft_channel *channel = arg;
    int value = -1;
    struct weft_select_case cases[] = {WEFT_RECEIVE_CASE(channel, &value)};

    weft_cancel(weft_self());
    CHECK_EQ(weft_select(cases, 1, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_channel_length(channel), 1);
    return 0;
}

static int spawn_cancelled(void *arg)
{
    weft_channel *channel = must_create(1);

    (void)arg;
    must_send(channel, 1);
    CHECK_EQ(must_join(must_spawn(select_cancelled, channel)), 0);
    weft_channel_free(channel);
    return 0;
}

WORKER_TEST(select, a_cancelled_fiber_takes_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_cancelled, NULL), 0);
}
