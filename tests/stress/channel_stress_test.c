/* SPDX-License-Identifier: MIT */
/* Channels under cancels, deadlines and threads: what was sent is what was received, once each. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

WEFT_CHANNEL_DEFINE(numbers, unsigned)

enum { SENDERS = 6, RECEIVERS = 6, THREADS = 1, VALUES = 400, SLOTS = SENDERS * VALUES };

struct round {
    numbers channel;
    unsigned buffer[3];
    _Atomic(unsigned char) sent[SLOTS];
    _Atomic(unsigned char) received[SLOTS];
    uint64_t seed;
    _Atomic(unsigned) next_party;
};

static weft_time random_deadline(struct random *random)
{
    switch (random_below(random, 4)) {
    case 0:
        return 0;
    case 1:
        return weft_after(random_below(random, 200) * WEFT_MICROSECOND);
    default:
        return WEFT_FOREVER;
    }
}

static int send_share(void *arg)
{
    struct round *round = arg;
    unsigned party = atomic_fetch_add(&round->next_party, 1);
    struct random random = random_stream(round->seed, party);

    for (unsigned i = party * VALUES; i < (party + 1) * VALUES; i++) {
        int error;

        do
            error = numbers_send(&round->channel, i, random_deadline(&random));
        while (error == -ETIMEDOUT);
        if (error != 0) {
            CHECK(error == -ECANCELED || error == -EPIPE);
            return 0;
        }
        atomic_store(&round->sent[i], 1);
    }
    return 0;
}

static int receive_share(void *arg)
{
    struct round *round = arg;
    struct random random = random_stream(round->seed, atomic_fetch_add(&round->next_party, 1));

    for (;;) {
        unsigned value = SLOTS;
        int error = numbers_receive(&round->channel, &value, random_deadline(&random));

        if (error == -ETIMEDOUT)
            continue;
        if (error != 0) {
            CHECK(error == -ECANCELED || error == -ENODATA);
            CHECK_EQ(value, SLOTS);
            return 0;
        }
        CHECK(value < SLOTS);
        CHECK_EQ(atomic_fetch_add(&round->received[value], 1), 0);
    }
}

static void *receive_in_thread(void *arg)
{
    (void)receive_share(arg);
    return NULL;
}

static void play(struct round *round, struct random *random)
{
    weft_fiber *senders[SENDERS];
    weft_fiber *receivers[RECEIVERS];
    pthread_t threads[THREADS];
    unsigned value;

    CHECK_EQ(numbers_init(&round->channel, round->buffer, random_below(random, 4)), 0);
    for (int i = 0; i < SENDERS; i++)
        senders[i] = must_spawn(send_share, round);
    while (atomic_load(&round->next_party) < SENDERS)
        CHECK_EQ(weft_yield(), 0); /* the numbers of the senders come first */
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = must_spawn(receive_share, round);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, receive_in_thread, round), 0);
    for (unsigned i = random_below(random, 3); i > 0; i--) {
        CHECK_EQ(weft_sleep(random_below(random, 300) * WEFT_MICROSECOND), 0);
        weft_cancel(senders[random_below(random, SENDERS)]);
        weft_cancel(receivers[random_below(random, RECEIVERS - 1)]);
    }
    if (random_below(random, 3) == 0)
        numbers_close(&round->channel);
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQ(must_join(senders[i]), 0);
    numbers_close(&round->channel);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_EQ(must_join(receivers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    while (numbers_try_receive(&round->channel, &value) == 0)
        atomic_fetch_add(&round->received[value], 1);
    numbers_destroy(&round->channel);
    for (int i = 0; i < SLOTS; i++)
        CHECK_EQ(atomic_load(&round->received[i]), atomic_load(&round->sent[i]));
}

static int race_parties(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    weft_time end = stress_end_soon();
    static struct round round;

    do {
        memset(&round, 0, sizeof round);
        round.seed = random_next(&random);
        play(&round, &random);
    } while (weft_now() < end);
    return 0;
}

/* Whatever ends the waits: what a sender was told it sent, and nothing else, came out, and once. */
WORKER_TEST(channel_stress, what_is_sent_is_received_once, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("channel_stress");

    cr_expect_eq(run_workers(*workers, race_parties, &seed), 0);
}
