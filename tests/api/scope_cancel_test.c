/* SPDX-License-Identifier: MIT */
/* scope.h: deadlines, cancels and shields reach all that is inside, and nothing else. */
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/tally.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static int pass_deadline(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time deadline;

    CHECK_EQ(weft_scope_open(&scope, weft_after(3600 * WEFT_SECOND)), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    /* A sleep of its own that is over first is no failure. */
    CHECK_EQ(weft_sleep(0), 0);
    deadline = weft_after(5 * WEFT_MILLISECOND);
    CHECK_EQ(weft_scope_set_deadline(&scope, deadline), 0);
    CHECK_EQ(weft_sleep(3600 * WEFT_SECOND), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_yield(), -ETIMEDOUT);
    CHECK_EQ(weft_scope_spawn(&scope, count, tally), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&tally->cancelled), 3);
    return weft_yield();
}

/* The earlier of the scope's deadline and the call's. */
WORKER_TEST(scope_cancel, its_deadline_ends_every_wait_inside_with_etimedout, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, pass_deadline, &tally), 0);
}

static int beat_deadline(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    CHECK_EQ(weft_scope_open(&scope, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_scope_close(&scope, 1), 1);
    return 0;
}

/* A timer that is left behind would fire into a frame that is gone; the end of the run, with its
 * count of timers, would notice. */
WORKER_TEST(scope_cancel, a_deadline_that_does_not_pass_leaves_nothing_behind, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, beat_deadline, NULL), 0);
}

static int extend_deadline(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_time end = weft_after(60 * WEFT_MILLISECOND);

    (void)arg;
    CHECK_EQ(weft_scope_open(&scope, weft_after(3600 * WEFT_SECOND)), 0);
    /* Earlier, later, none, and again. */
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(20 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(40 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(20 * WEFT_SECOND)), 0);
    while (weft_now() < end) {
        CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(30 * WEFT_SECOND)), 0);
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    }
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(WEFT_MILLISECOND)), 0);
    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_yield(), -ETIMEDOUT);
    return weft_scope_close(&scope, 0);
}

/* An idle timeout is extended with each request, and must then count from the last one. */
WORKER_TEST(scope_cancel, a_deadline_can_be_moved_both_ways, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, extend_deadline, NULL), 0);
}

static void open_too_late(weft_time deadline, bool is_shield)
{
    weft_scope scope = WEFT_SCOPE_INIT, inner = WEFT_SCOPE_INIT;

    CHECK_EQ(is_shield ? weft_scope_open_shielded(&scope, deadline)
                       : weft_scope_open(&scope, deadline),
             0);
    CHECK(weft_scope_is_cancelled(&scope));
    CHECK(weft_is_cancelled());
    CHECK_EQ(weft_scope_spawn(&scope, linger, NULL), -ETIMEDOUT);
    CHECK_EQ(weft_yield(), -ETIMEDOUT);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_sleep(0), -ETIMEDOUT);
    CHECK_EQ(weft_scope_open(&inner, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_spawn(&inner, linger, NULL), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&inner, 0), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, deadline), 0);
    CHECK_EQ(weft_scope_close(&scope, -ETIMEDOUT), -ETIMEDOUT);
    CHECK_EQ(weft_yield(), 0);
}

static void set_too_late(weft_time first, weft_time deadline)
{
    struct tally tally = {0};
    weft_scope scope = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_open(&scope, first), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, linger, &tally), 0);
    await_count(&tally.begun, 2);
    CHECK_EQ(weft_scope_set_deadline(&scope, deadline), 0);
    CHECK(weft_scope_is_cancelled(&scope));
    CHECK_EQ(weft_scope_spawn(&scope, linger, &tally), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&tally.cancelled), 3);
}

static int be_too_late(void *arg)
{
    const weft_time passed[] = {0, -1, INT64_MIN, weft_now() - 1, weft_now()};
    weft_scope cancelled = WEFT_SCOPE_INIT, scope = WEFT_SCOPE_INIT;

    (void)arg;
    for (unsigned i = 0; i < sizeof passed / sizeof *passed; i++) {
        open_too_late(passed[i], false);
        open_too_late(passed[i], true);
        set_too_late(WEFT_FOREVER, passed[i]);
        set_too_late(weft_after(3600 * WEFT_SECOND), passed[i]);
    }
    CHECK_EQ(weft_scope_cancel(&cancelled), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, 0), 0); /* what came first counts */
    CHECK_EQ(weft_yield(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return weft_scope_close(&cancelled, 0);
}

/* Until a timer has expired a whole request could be begun that has no time left. */
WORKER_TEST(scope_cancel, a_deadline_that_has_passed_cancels_at_once, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, be_too_late, NULL), 0);
}

static int extend_while_it_expires(void *arg)
{
    (void)arg;
    for (int i = 0; i < 60; i++) {
        weft_scope scope = WEFT_SCOPE_INIT;
        int result = 0;

        CHECK_EQ(weft_scope_open(&scope, weft_after(150 * WEFT_MICROSECOND)), 0);
        for (int j = 0; j < 20 && result == 0; j++) {
            CHECK_EQ(weft_scope_set_deadline(&scope, weft_after((200 - 10 * j) * 1000)), 0);
            result = weft_yield();
        }
        if (result == 0)
            result = weft_sleep_until(WEFT_FOREVER);
        CHECK_EQ(result, -ETIMEDOUT);
        CHECK_EQ(weft_scope_close(&scope, 4), 4);
    }
    return 0;
}

static int spread(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    for (int i = 0; i < 16; i++)
        CHECK_EQ(weft_scope_spawn(&scope, extend_while_it_expires, arg), 0);
    return weft_scope_close(&scope, 0);
}

/* The timer may be expiring on another worker while its owner gives it another deadline. */
WORKER_TEST(scope_cancel, a_deadline_is_set_anew_while_it_expires, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spread, NULL), 0);
}

/* A tree: each fiber has a scope of its own, with two more of the kind below. */
struct branch {
    struct tally *tally;
    int depth;
};

static int grow(void *arg)
{
    struct branch *branch = arg;
    struct branch below = {branch->tally, branch->depth - 1};
    weft_scope scope = WEFT_SCOPE_INIT;
    int result = 0;

    if (branch->depth == 0)
        return linger(branch->tally);
    for (int i = 0; i < 2 && result == 0; i++)
        result = weft_scope_spawn(&scope, grow, &below);
    atomic_fetch_add(&branch->tally->ended, 1);
    return weft_scope_close(&scope, result);
}

static int cancel_tree(void *arg)
{
    for (int round = 0; round < 8; round++) {
        struct tally tally = {0};
        struct branch root = {&tally, 5};
        weft_scope scope = WEFT_SCOPE_INIT;

        CHECK_EQ(weft_scope_spawn(&scope, grow, &root), 0);
        if (round % 2 == 0)
            await_count(&tally.begun, 32);
        else
            for (int i = 0; i < round * 5; i++)
                (void)weft_yield();
        CHECK_EQ(weft_scope_cancel(&scope), 0);
        CHECK_EQ(weft_scope_close(&scope, 0), -ECANCELED);
        CHECK_EQ(atomic_load(&tally.begun), atomic_load(&tally.cancelled));
    }
    (void)arg;
    return 0;
}

/* Also while it still grows: who is spawned while the cancel goes by is found, or is refused. */
WORKER_TEST(scope_cancel, a_cancel_flows_down_the_whole_tree, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_tree, NULL), 0);
}

static int nest_deeply(void *arg)
{
    struct branch *branch = arg;
    struct branch below = {branch->tally, branch->depth - 1};
    weft_scope scope = WEFT_SCOPE_INIT;

    if (branch->depth == 0)
        return linger(branch->tally);
    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    return weft_scope_close(&scope, nest_deeply(&below));
}

static int cancel_deep(void *arg)
{
    struct tally *tally = arg;
    struct branch root = {tally, 200};
    weft_scope scope = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_spawn(&scope, nest_deeply, &root), 0);
    await_count(&tally->begun, 1);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    return weft_scope_close(&scope, 0);
}

WORKER_TEST(scope_cancel, a_cancel_reaches_a_fiber_through_its_own_scopes, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, cancel_deep, &tally), -ECANCELED);
    cr_expect_eq(atomic_load(&tally.cancelled), 1);
}

static int cancel_inner_only(void *arg)
{
    struct tally *tally = arg;
    weft_scope outer = WEFT_SCOPE_INIT, inner = WEFT_SCOPE_INIT;

    CHECK_EQ(weft_scope_spawn(&outer, count, tally), 0);
    CHECK_EQ(weft_scope_open(&inner, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_spawn(&inner, linger, tally), 0);
    CHECK_EQ(weft_scope_cancel(&inner), 0);
    CHECK_EQ(weft_yield(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&inner, 0), -ECANCELED);
    /* Its failure is its owner's business. */
    CHECK(!weft_scope_is_cancelled(&outer));
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_scope_spawn(&outer, count, tally), 0);
    CHECK_EQ(weft_scope_close(&outer, 0), 0);
    CHECK_EQ(atomic_load(&tally->ended), 2);
    return 0;
}

WORKER_TEST(scope_cancel, a_cancel_does_not_flow_up, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, cancel_inner_only, &tally), 0);
}

static int close_while_cancelled(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;

    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    atomic_store(&tally->go, 1);
    CHECK_EQ(weft_scope_close(&scope, 0), -ECANCELED);
    CHECK_EQ(atomic_load(&tally->cancelled), atomic_load(&tally->begun));
    CHECK_EQ(weft_yield(), -ECANCELED); /* that was the fiber, not the scope */
    return 8;
}

static int cancel_owner(void *arg)
{
    for (int round = 0; round < 30; round++) {
        struct tally tally = {0};
        weft_fiber *owner = must_spawn(close_while_cancelled, &tally);

        await_flag(&tally.go);
        if (round % 3 == 0)
            await_count(&tally.begun, 3);
        if (round % 3 == 1)
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        weft_cancel(owner);
        CHECK_EQ(must_join(owner), 8);
    }
    (void)arg;
    return 0;
}

/* A cancelled fiber that could not wait for its children would have to return from under them. */
WORKER_TEST(scope_cancel, a_cancelled_owner_still_waits_for_its_members, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_owner, NULL), 0);
}

static void *cancel_from_thread(void *arg)
{
    struct tally *tally = arg;

    CHECK_EQ(weft_scope_cancel(tally->scope), 0);
    atomic_store(&tally->go, 1);
    return NULL;
}

static int be_cancelled_by_thread(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    pthread_t thread;
    int result;

    tally->scope = &scope;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, linger, tally), 0);
    CHECK_EQ(pthread_create(&thread, NULL, cancel_from_thread, tally), 0);
    result = weft_sleep_until(WEFT_FOREVER);
    CHECK_EQ(result, -ECANCELED);
    while (atomic_load(&tally->go) != 1) /* the scope stays while the thread is in its call */
        (void)weft_yield();
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return weft_scope_close(&scope, result);
}

/* From outside the runtime's own fibers do the work: a thread must not wait for a ring. */
WORKER_TEST(scope_cancel, a_plain_thread_cancels_it, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, be_cancelled_by_thread, &tally), -ECANCELED);
    cr_expect_eq(atomic_load(&tally.cancelled), 3);
}

static int clean_up(void *arg)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    struct tally *tally = arg;
    int result = weft_sleep_until(WEFT_FOREVER);

    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(weft_scope_open_shielded(&shield, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK(!weft_is_cancelled());
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_scope_spawn(&shield, count, tally), 0);
    CHECK_EQ(weft_scope_close(&shield, 6), 6);
    CHECK_EQ(weft_yield(), -ECANCELED);
    return result;
}

static int cancel_cleaners(void *arg)
{
    struct tally *tally = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *loner = must_spawn(clean_up, tally);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_scope_spawn(&scope, clean_up, tally), 0);
    for (int i = 0; i < 20; i++)
        (void)weft_yield();
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), -ECANCELED);
    weft_cancel(loner);
    CHECK_EQ(must_join(loner), -ECANCELED);
    CHECK_EQ(weft_spawn(NULL, clean_up, tally), 0); /* the end of the run cancels this one */
    return 0;
}

/* What a cancelled fiber has to put in order may need to wait; its own deadline bounds that. */
WORKER_TEST(scope_cancel, a_shield_keeps_cancels_away_until_it_is_closed, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, cancel_cleaners, &tally), 0);
    cr_expect_eq(atomic_load(&tally.ended), 5);
}

static int shield_in_vain(void *arg)
{
    weft_scope shield = WEFT_SCOPE_INIT, inner = WEFT_SCOPE_INIT;

    weft_cancel(weft_self());
    CHECK_EQ(weft_scope_open_shielded(&shield, weft_after(3600 * WEFT_SECOND)), 0);
    CHECK_EQ(weft_scope_spawn(&inner, linger, arg), 0);
    CHECK_EQ(weft_scope_set_deadline(&shield, weft_after(2 * WEFT_MILLISECOND)), 0);
    CHECK_EQ(weft_sleep_until(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&inner, 0), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&shield, 0), 0);
    CHECK_EQ(weft_yield(), -ECANCELED);
    return 2;
}

static int join_shielded(void *arg)
{
    return must_join(must_spawn(shield_in_vain, arg));
}

WORKER_TEST(scope_cancel, a_shield_has_a_deadline_of_its_own, TEST_TIMEOUT_S)
{
    struct tally tally = {0};

    cr_expect_eq(run_workers(*workers, join_shielded, &tally), 2);
}

static int read_for_ever(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static int close_over_operations(void *arg)
{
    int fds[2];
    weft_scope scope = WEFT_SCOPE_INIT;

    (void)arg;
    make_socket_pair(fds);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_scope_spawn(&scope, read_for_ever, &fds[i % 2]), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(3 * WEFT_MILLISECOND)), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), -ETIMEDOUT);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* Operations in the kernel end late, and their fibers with them. */
WORKER_TEST(scope_cancel, a_deadline_ends_operations_in_flight, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_over_operations, NULL), 0);
}
