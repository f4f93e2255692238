/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <poll.h>
#include <unistd.h>
#include <weft.h>

WEFT_CHANNEL_DEFINE(values, uint64_t)

struct pair {
    values there;
    values back;
    uint64_t rounds;
    int error;
};

static int answer(void *arg)
{
    struct pair *pair = arg;
    uint64_t value;

    while (values_receive(&pair->there, &value, WEFT_FOREVER) == 0)
        if (values_send(&pair->back, value + 1, WEFT_FOREVER) != 0)
            return -1;
    return 0;
}

/*
 * Each answer is waited for until `limit` nanoseconds from then, or without a limit.  Which of the
 * two calls sleeps, the send or the receive, is in all rounds that which does in the first; with a
 * limit it is the receive, since the other fiber waits already.
 */
static inline void play(struct bench *b, int64_t limit)
{
    struct pair pair = {{WEFT_CHANNEL_INIT(uint64_t, NULL, 0)},
                        {WEFT_CHANNEL_INIT(uint64_t, NULL, 0)},
                        b->batch,
                        0};
    weft_fiber *fiber;
    uint64_t wrong = 0;

    if (weft_spawn(&fiber, answer, &pair) != 0) {
        bench_fail(b, "spawn failed");
        return;
    }
    if (limit != WEFT_FOREVER)
        (void)weft_yield();
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        uint64_t value = 0;

        if (values_send(&pair.there, i, WEFT_FOREVER) != 0 ||
            values_receive(&pair.back, &value,
                           limit == WEFT_FOREVER ? WEFT_FOREVER : weft_after(limit)) != 0)
            wrong++;
        wrong += value != i + 1;
    }
    bench_stop(b);
    values_close(&pair.there);
    if (weft_join(fiber, NULL, WEFT_FOREVER) != 0 || wrong != 0)
        bench_fail(b, "%llu answers were wrong", (unsigned long long)wrong);
}

/*
 * channel/pingpong
 *
 * Question  What does a round trip between two fibers over two unbuffered channels cost?
 * Method    one fiber sends a number and receives the answer, b->batch times; the time is per round
 *           trip.
 * Includes  two sends, two receives, two switches, the scheduler's periodic looks.
 * Excludes  other workers, memory traffic beyond eight bytes each way.
 * Distrust  a run in which an answer was wrong fails.
 */
void bench_channel_pingpong(struct bench *b)
{
    play(b, WEFT_FOREVER);
}

/*
 * timer/timeout
 *
 * Question  What does a wait with a timeout cost that does not pass?
 * Method    channel/pingpong, where each answer is waited for ten seconds at most.  It comes when
 *           the other fiber has run, so the wait sleeps each time and its timer is armed.
 * Includes  the round trip, reading the clock, arming and cancelling.
 * Excludes  other timers: there are none.
 * Distrust  it without channel/pingpong: the difference is what the timeout costs.
 */
void bench_timer_timeout(struct bench *b)
{
    uint64_t armed = weft_bench_timers_armed();

    play(b, 10 * WEFT_SECOND);
    if (weft_bench_timers_armed() - armed < b->batch)
        bench_fail(b, "some waits did not sleep");
}

enum { CAPACITY = 128, PARTIES_MAX = 4 };

struct party {
    values *channel;
    uint64_t count;
    uint64_t sum;
};

static int send_all(void *arg)
{
    struct party *party = arg;

    for (uint64_t i = 1; i <= party->count; i++)
        if (values_send(party->channel, i, WEFT_FOREVER) != 0)
            return -1;
    return 0;
}

static int receive_all(void *arg)
{
    struct party *party = arg;
    uint64_t value;

    while (values_receive(party->channel, &value, WEFT_FOREVER) == 0)
        party->sum += value;
    return 0;
}

/*
 * channel/throughput/senders=S/receivers=R
 *
 * Question  What does a value cost on its way through a buffered channel?
 * Method    S fibers send b->batch numbers together, R fibers receive them until the channel is
 *           closed; the buffer holds 128; the time is per number.
 * Includes  a send and a receive, and their share of the waits, with two workers also of what these
 *           do to each other.
 * Excludes  spawning, but for its share of the batch.
 * Distrust  a run in which the sum of what was received is wrong fails.
 */
void bench_channel_throughput(struct bench *b)
{
    unsigned sender_count = (unsigned)(b->spec->parameter >> 8);
    unsigned receiver_count = (unsigned)(b->spec->parameter & 255);
    uint64_t buffer[CAPACITY];
    values channel;
    struct party senders[PARTIES_MAX], receivers[PARTIES_MAX];
    weft_fiber *fibers[2 * PARTIES_MAX];
    uint64_t share = b->batch / sender_count + 1;
    uint64_t sum = 0;
    int failed = values_init(&channel, buffer, CAPACITY);

    bench_start(b);
    for (unsigned i = 0; i < receiver_count; i++) {
        receivers[i] = (struct party){&channel, 0, 0};
        failed |= weft_spawn(&fibers[sender_count + i], receive_all, &receivers[i]);
    }
    for (unsigned i = 0; i < sender_count; i++) {
        senders[i] = (struct party){&channel, share, 0};
        failed |= weft_spawn(&fibers[i], send_all, &senders[i]);
    }
    for (unsigned i = 0; i < sender_count; i++)
        failed |= weft_join(fibers[i], NULL, WEFT_FOREVER);
    values_close(&channel);
    for (unsigned i = 0; i < receiver_count; i++) {
        failed |= weft_join(fibers[sender_count + i], NULL, WEFT_FOREVER);
        sum += receivers[i].sum;
    }
    bench_stop(b);
    if (failed != 0 || sum != share * (share + 1) / 2 * sender_count)
        bench_fail(b, "values were lost");
}

/*
 * select/4
 *
 * Question  What does a value cost that is received by a select over four unbuffered channels?
 * Method    four fibers send b->batch numbers together, each on a channel of its own; one receives
 *           them all by select.  The time is per number.
 * Includes  the send, the select, the switches between the five fibers.
 * Excludes  spawning them but for its share of the batch; other workers.
 * Distrust  a run in which the sum of what was received is wrong fails.
 */
void bench_select_4(struct bench *b)
{
    values channels[4];
    struct party senders[4];
    weft_fiber *fibers[4];
    uint64_t share = b->batch / 4 + 1;
    uint64_t sum = 0;
    int failed = 0;

    bench_start(b);
    for (int i = 0; i < 4; i++) {
        failed |= values_init(&channels[i], NULL, 0);
        senders[i] = (struct party){&channels[i], share, 0};
        failed |= weft_spawn(&fibers[i], send_all, &senders[i]);
    }
    for (uint64_t i = 0; i < 4 * share; i++) {
        uint64_t value = 0;
        struct weft_select_case cases[4] = {WEFT_RECEIVE_CASE(&channels[0].base, &value),
                                            WEFT_RECEIVE_CASE(&channels[1].base, &value),
                                            WEFT_RECEIVE_CASE(&channels[2].base, &value),
                                            WEFT_RECEIVE_CASE(&channels[3].base, &value)};

        failed |= weft_select(cases, 4, WEFT_FOREVER) < 0;
        sum += value;
    }
    for (int i = 0; i < 4; i++)
        failed |= weft_join(fibers[i], NULL, WEFT_FOREVER);
    bench_stop(b);
    if (failed != 0 || sum != share * (share + 1) / 2 * 4)
        bench_fail(b, "values were lost");
}

/*
 * select/descriptor
 *
 * Question  What does a descriptor cost that is among the cases and never becomes ready?
 * Method    as select/4, with one channel, and an empty pipe beside it.
 * Includes  a look at the pipe, its poll in the kernel, and taking that back.
 * Excludes  spawning but for its share of the batch; other workers.
 * Distrust  a run in which the sum of what was received is wrong fails.
 */
void bench_select_descriptor(struct bench *b)
{
    values channel;
    struct party sender = {&channel, b->batch, 0};
    weft_fiber *fiber;
    uint64_t sum = 0;
    int fds[2], events, failed = 0;
    weft_poll poll;

    if (pipe(fds) != 0 || values_init(&channel, NULL, 0) != 0) {
        bench_fail(b, "there is no pipe");
        return;
    }
    poll = (weft_poll)WEFT_POLL_INIT(fds[0], POLLIN);
    bench_start(b);
    failed |= weft_spawn(&fiber, send_all, &sender);
    for (uint64_t i = 0; i < b->batch; i++) {
        uint64_t value = 0;
        struct weft_select_case cases[2] = {WEFT_RECEIVE_CASE(&channel.base, &value),
                                            WEFT_POLL_CASE(&poll, &events)};

        failed |= weft_select(cases, 2, WEFT_FOREVER) < 0;
        sum += value;
    }
    failed |= weft_join(fiber, NULL, WEFT_FOREVER);
    bench_stop(b);
    (void)close(fds[0]);
    (void)close(fds[1]);
    if (failed != 0 || sum != b->batch * (b->batch + 1) / 2)
        bench_fail(b, "values were lost");
}
