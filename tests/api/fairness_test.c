/* SPDX-License-Identifier: MIT */
/* docs/fairness.md: how many turns a fiber that is ready can wait, whatever the others do. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/turns.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    YIELDERS = TEST_IS_TSAN ? 200 : 1000,
    ROUNDS = 10,
    FEW = 100,
    OLD = 10,
    FLOOD_ALIVE = 300,
    STALL_US = 4000
};

struct crowd {
    int count;
    uint64_t limit; /* turns between two turns of a yielder */
    _Atomic(int) here;
    _Atomic(int) done;
    _Atomic(int) stop;
    _Atomic(uint64_t) most;
};

/* Without the monitor, which moves fibers when the machine is slow. */
static int run_quietly(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = {.workers = workers, .monitor = 3, .stall_us = STALL_US};

    return run_config(&config, fn, arg);
}

static void skip_in_chaos(void)
{
    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos breaks every order on purpose");
}

/* Relaxed: any other load takes ThreadSanitizer's lock of the variable, and with many workers that
 * wait here whoever wants to count itself waits for very long. */
static void await_count(_Atomic(int) *counted, int count)
{
    while (atomic_load_explicit(counted, memory_order_relaxed) < count)
        CHECK_EQ(weft_yield(), 0);
}

static int yield_many_times(void *arg)
{
    struct crowd *crowd = arg;

    (void)atomic_fetch_add(&crowd->here, 1);
    await_count(&crowd->here, crowd->count);
    /* The last one arrives in the middle of a round. */
    CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct turns start = turns_now();
        CHECK_EQ(weft_yield(), 0);
        turns_check(start, crowd->limit, &crowd->most);
    }
    /* Whoever ends gives a turn to the first fiber: nobody may while others still count. */
    (void)atomic_fetch_add(&crowd->done, 1);
    await_count(&crowd->done, crowd->count);
    return 0;
}

static int run_yielders(void *arg)
{
    static weft_fiber *fibers[YIELDERS];
    struct crowd *crowd = arg;

    for (int i = 0; i < crowd->count; i++)
        fibers[i] = must_spawn(yield_many_times, crowd);
    for (int i = 0; i < crowd->count; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A thousand fibers that only yield go round in a circle: each runs once before anyone runs twice.
 * A queue that is full and puts fibers elsewhere would break the circle. */
WORKER_TEST(fairness, a_thousand_that_yield_take_turns, TEST_TIMEOUT_S)
{
    struct crowd crowd = {.count = YIELDERS, .limit = YIELDERS};

    skip_in_chaos();
    cr_expect_eq(run_quietly(*workers, run_yielders, &crowd), 0);
    if (*workers == 1)
        cr_expect_geq(crowd.most, YIELDERS, "the test has not seen a full circle");
}

struct flood {
    _Atomic(int) alive;
    _Atomic(int) stop;
    _Atomic(int) started; /* of the old ones */
    _Atomic(uint64_t) most;
    struct turns spawned;
    weft_time due; /* of the next old one */
    bool is_due;
    struct turns at; /* since then */
};

/* With one worker: others take old fibers sooner. */
static void note_due(struct flood *flooding)
{
    if (flooding->due == 0 || flooding->is_due || weft_now() < flooding->due)
        return;
    flooding->is_due = true;
    flooding->at = turns_now();
}

/* Leaves two children behind, so that the youngest fibers never run out. */
static int flood(void *arg)
{
    struct flood *flooding = arg;
    int children = atomic_load(&flooding->alive) < FLOOD_ALIVE ? 2 : 1;

    note_due(flooding);
    for (int i = 0; i < children && !atomic_load(&flooding->stop); i++) {
        (void)atomic_fetch_add(&flooding->alive, 1);
        CHECK_EQ(weft_spawn(NULL, flood, arg), 0);
    }
    (void)atomic_fetch_sub(&flooding->alive, 1);
    return 0;
}

static int yield_in_the_flood(void *arg)
{
    struct flood *flooding = arg;

    for (int i = 0; i < 100; i++) {
        struct turns start = turns_now();
        CHECK_EQ(weft_yield(), 0);
        /* The first fiber yields beside this one. */
        turns_check(start, 2 * TURNS_PER_READY, &flooding->most);
    }
    return 0;
}

static int start_late(void *arg)
{
    struct flood *flooding = arg;
    int older = atomic_fetch_add(&flooding->started, 1);

    if (weft_worker_count() != 1)
        return 0;
    if (older == 0)
        turns_check(flooding->spawned, TURNS_PER_LOOK, &flooding->most);
    else if (flooding->is_due)
        turns_check(flooding->at, TURNS_PER_LOOK, &flooding->most);
    flooding->due = weft_after(STALL_US * WEFT_MICROSECOND);
    flooding->is_due = false;
    return 0;
}

static int end_flood(struct flood *flooding)
{
    atomic_store(&flooding->stop, 1);
    while (atomic_load(&flooding->alive) > 0)
        CHECK_EQ(weft_yield(), 0);
    return 0;
}

static int yield_beside_a_flood(void *arg)
{
    struct flood *flooding = arg;
    weft_fiber *fiber;

    (void)atomic_fetch_add(&flooding->alive, 1);
    CHECK_EQ(weft_spawn(NULL, flood, flooding), 0);
    fiber = must_spawn(yield_in_the_flood, flooding);
    CHECK_EQ(must_join(fiber), 0);
    return end_flood(flooding);
}

/* The youngest fiber runs first, but not before every one that is ready: else a fiber that spawns
 * for ever would keep all others from running. */
WORKER_TEST(fairness, a_fiber_that_spawns_for_ever_leaves_turns_to_the_ready, TEST_TIMEOUT_S)
{
    struct flood flooding = {.alive = 0};

    skip_in_chaos();
    cr_expect_eq(run_quietly(*workers, yield_beside_a_flood, &flooding), 0);
    if (*workers == 1)
        cr_expect_geq(flooding.most, 2, "the flood has not taken any turns");
}

static int start_old_ones_under_a_flood(void *arg)
{
    struct flood *flooding = arg;

    flooding->spawned = turns_now();
    for (int i = 0; i < OLD; i++)
        CHECK_EQ(weft_spawn(NULL, start_late, flooding), 0);
    (void)atomic_fetch_add(&flooding->alive, 1);
    CHECK_EQ(weft_spawn(NULL, flood, flooding), 0);
    while (atomic_load(&flooding->started) < OLD)
        CHECK_EQ(weft_yield(), 0);
    turns_check(flooding->spawned, UINT64_MAX, &flooding->most);
    return end_flood(flooding);
}

/* Those at the other end of the stack of new fibers get their turns, too: one in the first look
 * after each `stall_us`. */
WORKER_TEST(fairness, the_oldest_fresh_fiber_runs_under_a_flood_of_younger_ones, TEST_TIMEOUT_S)
{
    struct flood flooding = {.alive = 0};

    skip_in_chaos();
    cr_expect_eq(run_quietly(*workers, start_old_ones_under_a_flood, &flooding), 0);
    if (*workers == 1)
        cr_expect_geq(flooding.most, (OLD - 1) * 50, "the old ones were not buried at all");
}

enum {
    FAN_OUT = 10,
    DEPTH = TEST_IS_TSAN ? 3 : 5,
    RARELY_US = 1000 * 1000 /* so that a slow machine is hardly allowed more than a fast one */
};

struct tree {
    int alive, most;
};

struct branch {
    struct tree *tree;
    int depth;
};

static int unfold(void *arg)
{
    struct branch *branch = arg;
    struct branch child = {branch->tree, branch->depth - 1};
    weft_fiber *children[FAN_OUT];

    for (int i = 0; i < FAN_OUT && branch->depth > 0; i++) {
        children[i] = must_spawn(unfold, &child);
        if (++branch->tree->alive > branch->tree->most)
            branch->tree->most = branch->tree->alive;
    }
    for (int i = 0; i < FAN_OUT && branch->depth > 0; i++)
        CHECK_EQ(must_join(children[i]), 0);
    branch->tree->alive--;
    return 0;
}

static int unfold_a_tree(void *arg)
{
    struct tree tree = {1, 1};
    weft_time begin = weft_now();
    int64_t begun;

    (void)arg;
    CHECK_EQ(unfold(&(struct branch){&tree, DEPTH}), 0);
    CHECK_EQ(tree.alive, 0);
    /* One in the first look, and one each time that it was due. */
    begun = 1 + (weft_now() - begin) / (RARELY_US * WEFT_MICROSECOND);
    if (tree.most > FAN_OUT * DEPTH * (begun + 1))
        check_fail(__FILE__, __LINE__, "%d fibers were alive with %ld branches begun early",
                   tree.most, (long)begun);
    return tree.most;
}

/* Looks that begin another branch each let a tree of fibers unfold in breadth, and take memory for
 * a good part of it at once. */
Test(fairness, a_tree_unfolds_in_depth, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3, .stall_us = RARELY_US};

    skip_in_chaos();
    cr_expect_geq(run_config(&config, unfold_a_tree, NULL), FAN_OUT * DEPTH / 2, "it was no tree");
}

/* A fiber of a crowd that sees that the event has come notes the turn, once. */
struct event {
    struct crowd crowd;
    weft_time due;
    int pipe[2];
    _Atomic(uint64_t) turns; /* so many the crowd has made */
    _Atomic(int) has_come;
    struct turns at;
};

static int yield_until_stopped(void *arg)
{
    struct event *event = arg;

    while (!atomic_load(&event->crowd.stop)) {
        uint64_t turns = atomic_fetch_add(&event->turns, 1);
        int expected = 0;

        if (event->due != 0 && weft_now() >= event->due &&
            atomic_compare_exchange_strong(&event->has_come, &expected, 1)) {
            event->at = turns_now();
            atomic_store(&event->has_come, 2);
        }
        /* By now the read is under way. */
        if (event->due == 0 && turns == (uint64_t)TURNS_PER_LOOK * FEW) {
            event->at = turns_now();
            CHECK_EQ(write(event->pipe[1], "x", 1), 1);
            atomic_store(&event->has_come, 2);
        }
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static void wait_among_the_crowd(struct event *event)
{
    char byte;

    if (event->due != 0)
        CHECK_EQ(weft_sleep_until(event->due), 0);
    else
        CHECK_EQ(weft_read(event->pipe[0], &byte, 1, WEFT_FOREVER), 1);
}

static int wait_for_the_event(void *arg)
{
    struct event *event = arg;

    wait_among_the_crowd(event);
    /* With several workers it may have come here before anyone in the crowd has looked. */
    if (atomic_load(&event->has_come) == 2)
        turns_check(event->at, TURNS_PER_LOOK + (uint64_t)TURNS_PER_READY * (FEW + 2),
                    &event->crowd.most);
    atomic_store(&event->crowd.stop, 1);
    return 0;
}

static int run_event(void *arg)
{
    static weft_fiber *fibers[FEW];
    struct event *event = arg;
    weft_fiber *waiter = must_spawn(wait_for_the_event, event);

    for (int i = 0; i < FEW; i++)
        fibers[i] = must_spawn(yield_until_stopped, event);
    CHECK_EQ(must_join(waiter), 0);
    for (int i = 0; i < FEW; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

enum { TICK_NS = 65536 }; /* docs/fairness.md */

/* A worker that is never out of work looks at its timers all the same. */
WORKER_TEST(fairness, a_due_timer_is_served_among_fibers_that_yield, TEST_TIMEOUT_S)
{
    /* On a tick of the wheels, so that it is not late by up to a tick, which is thousands of turns.
     */
    struct event event = {.due = (weft_now() + 20 * WEFT_MILLISECOND) / TICK_NS * TICK_NS};

    skip_in_chaos();
    cr_expect_eq(run_quietly(*workers, run_event, &event), 0);
}

/* And at its ring. */
WORKER_TEST(fairness, a_completion_is_served_among_fibers_that_yield, TEST_TIMEOUT_S)
{
    struct event event = {.due = 0};

    skip_in_chaos();
    make_pipe(event.pipe);
    cr_expect_eq(run_quietly(*workers, run_event, &event), 0);
    if (*workers == 1)
        cr_expect_gt(event.crowd.most, 0, "nothing was measured");
    (void)close(event.pipe[0]);
    (void)close(event.pipe[1]);
}

enum { FEEDERS = 4, FED = 400, FED_AT_A_TIME = 16 };

struct feed {
    weft_runtime *runtime;
    _Atomic(int) stop;
    _Atomic(uint64_t) most; /* turns that a yielder waited */
    _Atomic(uint64_t) most_fed;
};

/* A fiber that a thread feeds in. */
struct fed {
    struct feed *feed;
    _Atomic(int) is_noted;
    _Atomic(int) has_run;
    uint64_t pushed_at; /* turns of the runtime then */
};

static int run_fed(void *arg)
{
    struct fed *fed = arg;

    /* Its thread may not have come to note the turn yet. */
    if (atomic_load(&fed->is_noted) && weft_worker_count() == 1) {
        uint64_t waited = turns_now().turns - fed->pushed_at;
        CHECK(waited <= TURNS_PER_LOOK + TURNS_PER_READY * (FEW + FEEDERS * FED_AT_A_TIME + 1));
        if (waited > atomic_load(&fed->feed->most_fed))
            atomic_store(&fed->feed->most_fed, waited);
    }
    atomic_store(&fed->has_run, 1);
    return 0;
}

static void feed_in(struct fed *fed)
{
    struct weft_stats stats;

    CHECK_EQ(weft_spawn_on(fed->feed->runtime, NULL, NULL, run_fed, fed), 0);
    CHECK_EQ(weft_stats_read_on(fed->feed->runtime, &stats), 0);
    fed->pushed_at = stats.turns;
    atomic_store(&fed->is_noted, 1);
}

static void *keep_feeding(void *arg)
{
    struct fed *all = calloc(FED, sizeof *all);

    CHECK(all != NULL);
    for (int i = 0; i < FED; i++) {
        all[i].feed = arg;
        while (i >= FED_AT_A_TIME && !atomic_load(&all[i - FED_AT_A_TIME].has_run))
            (void)sched_yield();
        feed_in(&all[i]);
    }
    for (int i = 0; i < FED; i++)
        while (!atomic_load(&all[i].has_run))
            (void)sched_yield();
    free(all);
    return NULL;
}

static int yield_beside_the_fed(void *arg)
{
    struct feed *feed = arg;

    while (!atomic_load(&feed->stop)) {
        struct turns start = turns_now();
        CHECK_EQ(weft_yield(), 0);
        turns_check(start, (uint64_t)TURNS_PER_READY * (FEW + FEEDERS * FED_AT_A_TIME + 1),
                    &feed->most);
    }
    return 0;
}

static int run_beside_the_fed(void *arg)
{
    weft_fiber *fibers[FEW];

    for (int i = 0; i < FEW; i++)
        fibers[i] = must_spawn(yield_beside_the_fed, arg);
    for (int i = 0; i < FEW; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Four threads push fibers in as fast as they run: these get their turns although the worker's own
 * queue is never empty, and its own fibers get theirs. */
WORKER_TEST(fairness, four_threads_that_feed_in_fibers_starve_nobody, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .monitor = 3};
    struct feed feed = {.stop = 0};
    pthread_t threads[FEEDERS];
    int result = -1;

    skip_in_chaos();
    cr_assert_eq(weft_start(&config, run_beside_the_fed, &feed, &feed.runtime), 0);
    for (int i = 0; i < FEEDERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, keep_feeding, &feed), 0);
    for (int i = 0; i < FEEDERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    atomic_store(&feed.stop, 1);
    cr_assert_eq(weft_wait(feed.runtime, &result, WEFT_FOREVER), 0);
    cr_expect_eq(result, 0);
    cr_expect_eq(run_stats().fibers_spawned, FEEDERS * FED + FEW + 1);
    if (*workers == 1)
        cr_expect_gt(feed.most_fed, 0, "no wait was measured");
}
