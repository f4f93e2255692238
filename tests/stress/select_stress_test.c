/* SPDX-License-Identifier: MIT */
/* Selects over shared channels, under deadlines and cancels: each value arrives as often as its
 * sender was told. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { PARTIES = 8, CHANNELS = 4, STEPS = 150 };

struct game {
    weft_channel *channels[CHANNELS];
    uint64_t seed;
    _Atomic(unsigned) next_party;
    _Atomic(uint64_t) sent;
    _Atomic(uint64_t) received;
};

static weft_time random_deadline(struct random *random)
{
    return random_below(random, 3) == 0 ? 0 : weft_after(random_below(random, 300) * 1000);
}

static int play(void *arg)
{
    struct game *game = arg;
    struct random random = random_stream(game->seed, atomic_fetch_add(&game->next_party, 1));

    for (int step = 0; step < STEPS; step++) {
        struct weft_select_case cases[2 * CHANNELS];
        uint64_t out = random_next(&random) >> 32;
        uint64_t in = 0;
        unsigned count = 1 + random_below(&random, 2 * CHANNELS);
        int winner;

        for (unsigned i = 0; i < count; i++)
            cases[i] = (struct weft_select_case){
                .channel = game->channels[random_below(&random, CHANNELS)],
                .item = i % 2 ? &in : &out,
                .item_size = sizeof out,
                .kind = i % 2 ? WEFT_SELECT_RECEIVE : WEFT_SELECT_SEND};
        winner = weft_select(cases, count, random_deadline(&random));
        if (winner < 0) {
            CHECK(winner == -ETIMEDOUT || winner == -ECANCELED);
            CHECK_EQ(in, 0);
            continue;
        }
        CHECK(winner < (int)count);
        CHECK_EQ(cases[winner].result, 0);
        if (winner % 2)
            atomic_fetch_add(&game->received, in);
        else
            atomic_fetch_add(&game->sent, out);
    }
    return 0;
}

static void *play_in_thread(void *arg)
{
    (void)play(arg);
    return NULL;
}

static void play_round(struct random *random)
{
    struct game game = {.seed = random_next(random)};
    weft_fiber *fibers[PARTIES];
    pthread_t thread;
    uint64_t value;

    for (int i = 0; i < CHANNELS; i++)
        CHECK_EQ(weft_channel_create(&game.channels[i], sizeof value, random_below(random, 3)), 0);
    for (int i = 0; i < PARTIES; i++)
        fibers[i] = must_spawn(play, &game);
    CHECK_EQ(pthread_create(&thread, NULL, play_in_thread, &game), 0);
    for (unsigned i = random_below(random, 3); i > 0; i--) {
        CHECK_EQ(weft_sleep(random_below(random, 500) * WEFT_MICROSECOND), 0);
        weft_cancel(fibers[random_below(random, PARTIES)]);
    }
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (int i = 0; i < CHANNELS; i++) {
        while (weft_channel_try_receive(game.channels[i], &value, sizeof value) == 0)
            atomic_fetch_add(&game.received, value);
        weft_channel_free(game.channels[i]); /* aborts if somebody stands in a queue */
    }
    CHECK_EQ(atomic_load(&game.received), atomic_load(&game.sent));
}

static int play_rounds(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    weft_time end = stress_end_soon();

    do
        play_round(&random);
    while (weft_now() < end);
    return 0;
}

WORKER_TEST(select_stress, what_is_sent_is_received, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("select_stress");

    cr_expect_eq(run_workers(*workers, play_rounds, &seed), 0);
}
