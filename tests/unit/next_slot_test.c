/* SPDX-License-Identifier: MIT */
/*
 * The next slot: a fiber that was just woken runs at once, but not for ever before all others.
 * By wait.h, since every pair of objects that wake back and forth has more turns than these.
 */
#include "runtime/wait.h"

#include "fixture.h"
#include "turns.h"

#include <stdlib.h>

enum { CROWD = 1000, ROUNDS = 10 };

/* One worker runs all of it, so there is nothing to race with. */
struct game {
    struct wf_waiter *players[2]; /* who waits to be woken by the other */
    bool is_over;
    int here;
    uint64_t passes;
    struct turns start;
    _Atomic(uint64_t) most;
};

/* Wakes the other one and waits to be woken, until the game is over. */
static int play(struct game *game, int number)
{
    for (;;) {
        struct wf_worker *self = wf_self();
        struct wf_waiter *other = game->players[1 - number];

        game->players[1 - number] = NULL;
        if (game->is_over) {
            if (other != NULL)
                wf_wake(self, other, 0);
            return 0;
        }
        game->players[number] = wf_wait_begin(self, NULL, NULL);
        if (other != NULL) {
            game->passes++;
            wf_wake(self, other, 0);
        }
        self = wf_wait_end(self, WEFT_FOREVER);
        CHECK(self == wf_self());
    }
}

static int play_ping(void *arg)
{
    return play(arg, 0);
}

static int play_pong(void *arg)
{
    return play(arg, 1);
}

static int yield_beside(void *arg)
{
    struct game *game = arg;

    game->here++;
    while (game->here < CROWD)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct turns start = turns_now();
        CHECK_EQ(weft_yield(), 0);
        /* Ahead of it: the others of the crowd, and the pair whenever its runs are over. */
        turns_check(start, (uint64_t)TURNS_PER_READY * (CROWD + 2), &game->most);
    }
    return 0;
}

static int play_beside_a_crowd(void *arg)
{
    static weft_fiber *fibers[CROWD];
    struct game *game = arg;
    weft_fiber *ping = must_spawn(play_ping, game);
    weft_fiber *pong = must_spawn(play_pong, game);

    for (int i = 0; i < CROWD; i++)
        fibers[i] = must_spawn(yield_beside, game);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    game->is_over = true;
    CHECK_EQ(must_join(ping), 0);
    CHECK_EQ(must_join(pong), 0);
    return 0;
}

/* A pair that wakes each other without end, against a thousand that yield. */
Test(next_slot, a_pair_that_wakes_each_other_leaves_turns_to_a_crowd, .timeout = TEST_TIMEOUT_S)
{
    struct game game = {.is_over = false};
    /* Without the monitor, which moves fibers when the machine is slow. */
    struct weft_config config = {.workers = 1, .monitor = 3};

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
    cr_expect_eq(run_config(&config, play_beside_a_crowd, &game), 0);
    cr_expect_geq(game.most, CROWD - 1, "no fiber has waited for the whole crowd");
    cr_expect_geq(game.passes, ROUNDS * 3, "the pair has hardly played");
}

static int begin_beside(void *arg)
{
    struct game *game = arg;

    game->here++;
    turns_check(game->start, (uint64_t)TURNS_PER_READY * (CROWD + 2), &game->most);
    return 0;
}

enum { PAIRS_MAX = 2 };

struct match {
    struct game games[PAIRS_MAX];
    int pairs;
};

static int play_beside_new_fibers(void *arg)
{
    static weft_fiber *fibers[CROWD];
    struct match *match = arg;
    weft_fiber *players[PAIRS_MAX][2];

    for (int i = 0; i < CROWD; i++)
        fibers[i] = must_spawn(begin_beside, &match->games[0]);
    /* The youngest of all, so the pairs begin. */
    for (int i = 0; i < match->pairs; i++) {
        players[i][0] = must_spawn(play_ping, &match->games[i]);
        players[i][1] = must_spawn(play_pong, &match->games[i]);
    }
    match->games[0].start = turns_now();
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    for (int i = 0; i < match->pairs; i++)
        match->games[i].is_over = true;
    for (int i = 0; i < match->pairs; i++)
        for (int k = 0; k < 2; k++)
            CHECK_EQ(must_join(players[i][k]), 0);
    return 0;
}

static void play_match(int pairs)
{
    struct match match = {.pairs = pairs};
    struct weft_config config = {.workers = 1, .monitor = 3};

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
    cr_expect_eq(run_config(&config, play_beside_new_fibers, &match), 0);
    cr_expect_eq(match.games[0].here, CROWD);
    for (int i = 0; i < pairs; i++)
        cr_expect_geq(match.games[i].passes, CROWD, "a pair has hardly played");
}

/* Nobody is ready but the pair: turns have to go to those that have not begun yet. */
Test(next_slot, a_pair_that_wakes_each_other_leaves_turns_to_new_fibers, .timeout = TEST_TIMEOUT_S)
{
    play_match(1);
}

/* Of two pairs one is always ready when the other's runs are over. */
Test(next_slot, pairs_that_take_turns_leave_some_to_new_fibers, .timeout = TEST_TIMEOUT_S)
{
    play_match(2);
}
