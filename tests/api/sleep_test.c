/* SPDX-License-Identifier: MIT */
/* fiber.h: yield and sleep. */
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PLAYERS = 16, ROUNDS = 200 };

static int note_turn(void *arg)
{
    *(int *)arg = 1;
    return 0;
}

static int yield_lets_all_run(void *arg)
{
    int ran[100] = {0};

    (void)arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(weft_spawn(NULL, note_turn, &ran[i]), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(ran[i], 1);
    return 0;
}

/* One worker and no monitor, whose spare would take fibers of a worker that loses its CPU. */
static int run_on_one_thread(int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = 1, .monitor = 3};

    return run_config(&config, fn, arg);
}

/* Each yield gives way to at least one other fiber: one that yields for ever starves nobody. */
Test(yield, gives_way_to_fresh_fibers, .timeout = TEST_TIMEOUT_S)
{
    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
    cr_expect_eq(run_on_one_thread(yield_lets_all_run, NULL), 0);
}

struct circle {
    int present;
    int turns[PLAYERS];
};

static int take_turns(void *arg)
{
    struct circle *circle = arg;
    int me = circle->present++;

    while (circle->present < PLAYERS)
        CHECK_EQ(weft_yield(), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        circle->turns[me] = round;
        CHECK_EQ(weft_yield(), 0);
        for (int i = 0; i < PLAYERS; i++)
            CHECK(circle->turns[i] >= round && circle->turns[i] <= round + 1);
    }
    /* Whoever is through first keeps yielding no more; the others are within one turn. */
    return 0;
}

static int play(void *arg)
{
    struct circle circle = {.present = 0};
    weft_fiber *fibers[PLAYERS];

    (void)arg;
    for (int i = 0; i < PLAYERS; i++)
        fibers[i] = must_spawn(take_turns, &circle);
    for (int i = 0; i < PLAYERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* On one worker yielding fibers take turns: none gets two while another waits for its first.  A
 * queue that favours the newest would starve the oldest. */
Test(yield, is_fair, .timeout = TEST_TIMEOUT_S)
{
    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
    cr_expect_eq(run_on_one_thread(play, NULL), 0);
}

static int yield_until(void *arg)
{
    await_flag(arg);
    return 0;
}

static int read_one(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static void *write_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    (void)nanosleep(&pause, NULL);
    CHECK_EQ(write(*(int *)arg, "x", 1), 1);
    return NULL;
}

static int wait_beside_yielders(void *arg)
{
    _Atomic(int) done = 0;
    weft_fiber *yielders[4];
    weft_fiber *reader;
    pthread_t writer;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    for (int i = 0; i < 4; i++)
        yielders[i] = must_spawn(yield_until, &done);
    reader = must_spawn(read_one, &fds[0]);
    CHECK_EQ(pthread_create(&writer, NULL, write_later, &fds[1]), 0);
    CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    CHECK_EQ(must_join(reader), 1);
    atomic_store(&done, 1);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(must_join(yielders[i]), 0);
    CHECK_EQ(pthread_join(writer, NULL), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* Fibers that yield in a loop keep the worker busy for ever: timers and I/O must be looked at in
 * between, or a program that polls never sees its own timeouts. */
WORKER_TEST(yield, does_not_starve_timers_and_io, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_beside_yielders, NULL), 0);
}

static int relay(void *arg)
{
    int *fds = arg;
    char byte;

    for (;;) {
        if (weft_read(fds[0], &byte, 1, WEFT_FOREVER) != 1 ||
            weft_write(fds[1], &byte, 1, WEFT_FOREVER) != 1)
            return 0;
    }
}

static int yield_beside_relay(void *arg)
{
    int forth[2];
    int back[2];
    weft_fiber *a;
    weft_fiber *b;

    (void)arg;
    make_pipe(forth);
    make_pipe(back);
    a = must_spawn(relay, (int[]){forth[0], back[1]});
    b = must_spawn(relay, (int[]){back[0], forth[1]});
    CHECK_EQ(weft_write(forth[1], "x", 1, WEFT_FOREVER), 1);
    for (int i = 0; i < 2000; i++)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(a);
    weft_cancel(b);
    CHECK_EQ(must_join(a), 0);
    CHECK_EQ(must_join(b), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(forth[i]), 0);
        CHECK_EQ(weft_close(back[i]), 0);
    }
    return 0;
}

/* Two fibers that keep waking each other must not keep the worker to themselves: a slot for the
 * fiber woken last has starved whole servers. */
WORKER_TEST(yield, a_pair_that_wakes_each_other_starves_nobody, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, yield_beside_relay, NULL), 0);
}

static int check_sleeps(void *arg)
{
    /* On both sides of the 65.536 us tick, and across each level of a wheel of 64 slots: 64 ticks
     * are 4.19 ms, 4,096 are 268 ms. */
    static const int64_t spans[] = {1,        1000,     65535,     65536,     65537,     100000,
                                    1000000,  4194303,  4194304,   4194305,   4260000,   10000000,
                                    12345678, 50000000, 268435455, 268435456, 268500993, 300000000};

    (void)arg;
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        weft_time start = weft_now();
        weft_time deadline;
        CHECK_EQ(weft_sleep(spans[i]), 0);
        CHECK(weft_now() >= start + spans[i]);
        deadline = weft_after(spans[i]);
        CHECK_EQ(weft_sleep_until(deadline), 0);
        CHECK(weft_now() >= deadline);
    }
    return 0;
}

/* Never before the deadline: code that computes a rate or a timeout from it relies on that. */
WORKER_TEST(sleep, never_ends_early, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, check_sleeps, NULL), 0);
}

static int check_passed_deadlines(void *arg)
{
    int ran = 0;

    (void)arg;
    CHECK_EQ(weft_sleep(0), 0);
    CHECK_EQ(weft_sleep(-1), 0);
    CHECK_EQ(weft_sleep(INT64_MIN), 0);
    CHECK_EQ(weft_sleep_until(0), 0);
    CHECK_EQ(weft_sleep_until(-5), 0);
    CHECK_EQ(weft_sleep_until(INT64_MIN), 0);
    CHECK_EQ(weft_spawn(NULL, note_turn, &ran), 0);
    CHECK_EQ(weft_sleep_until(weft_now()), 0);
    CHECK_EQ(ran, 1);
    return 0;
}

/* A deadline that has passed is a yield: it does not sleep until the clock wraps, and it does let
 * others run. */
Test(sleep, until_a_time_that_has_passed_yields, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_on_one_thread(check_passed_deadlines, NULL), 0);
}

struct sleeper {
    weft_time deadline;
    int *next_place;
    int place;
    bool was_early; /* it went to sleep before its deadline had passed */
};

static int sleep_and_note_place(void *arg)
{
    struct sleeper *sleeper = arg;

    sleeper->was_early = weft_now() < sleeper->deadline;
    CHECK_EQ(weft_sleep_until(sleeper->deadline), 0);
    CHECK(weft_now() >= sleeper->deadline);
    sleeper->place = (*sleeper->next_place)++;
    return 0;
}

/* Returns false if the machine was too slow for all to be asleep before the first deadline. */
static bool try_to_sleep_in_order(struct random *random, int64_t lead)
{
    enum { SLEEPERS = 64 };
    struct sleeper sleepers[SLEEPERS];
    weft_fiber *fibers[SLEEPERS];
    weft_time start = weft_after(lead);
    int next_place = 0;
    int order[SLEEPERS];
    bool all_early = true;

    for (int i = 0; i < SLEEPERS; i++)
        order[i] = i;
    for (int i = SLEEPERS - 1; i > 0; i--) {
        int other = (int)random_below(random, (unsigned)i + 1);
        int swapped = order[i];
        order[i] = order[other];
        order[other] = swapped;
    }
    for (int i = 0; i < SLEEPERS; i++) {
        int rank = order[i];
        sleepers[rank] = (struct sleeper){start + rank * 5 * WEFT_MILLISECOND, &next_place, -1,
                                          false};
        fibers[rank] = must_spawn(sleep_and_note_place, &sleepers[rank]);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        CHECK_EQ(must_join(fibers[i]), 0);
        all_early = all_early && sleepers[i].was_early;
    }
    for (int i = 0; i < SLEEPERS && all_early; i++)
        CHECK_EQ(sleepers[i].place, i);
    return all_early;
}

static int sleep_in_order(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    int64_t lead = 20 * WEFT_MILLISECOND;

    while (!try_to_sleep_in_order(&random, lead)) {
        lead *= 4;
        CHECK(lead < 60 * WEFT_SECOND);
    }
    return 0;
}

/* Sleepers wake in the order of their deadlines, whatever the order they went to sleep in: a
 * wheel that cascades wrongly delays one of them by a whole turn. */
Test(sleep, ends_in_the_order_of_deadlines, .timeout = TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("sleep_order");

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
    cr_expect_eq(run_on_one_thread(sleep_in_order, &seed), 0);
}

/* A runtime with nothing but sleepers is idle: its workers sleep too, and the timers are counted.
 */
WORKER_TEST(sleep, is_counted_and_parks_the_worker, TEST_TIMEOUT_S)
{
    struct weft_stats stats;

    cr_expect_eq(run_workers(*workers, check_sleeps, NULL), 0);
    stats = run_stats();
    cr_expect_gt(stats.timers_armed, 0);
    cr_expect_gt(stats.timers_fired, 0);
    cr_expect_leq(stats.timers_fired, stats.timers_armed);
    cr_expect_gt(stats.parks, 0);
}

/* There is no fiber to suspend. */
Test(sleep, plain_threads_are_refused, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_yield(), -EPERM);
    cr_expect_eq(weft_sleep(3600 * WEFT_SECOND), -EPERM);
    cr_expect_eq(weft_sleep_until(WEFT_FOREVER), -EPERM);
}
