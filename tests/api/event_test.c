/* SPDX-License-Identifier: MIT */
/* event.h: manual and automatic events, for fibers and plain threads. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FIBERS = 30, THREADS = 2, ALL = FIBERS + THREADS, ROUNDS = TEST_IS_TSAN ? 60 : 300 };

struct shared {
    weft_event event;
    weft_event back;
    int message; /* plain: an event must publish what was done before it was set */
    _Atomic(int) begun;
    _Atomic(int) through;
    _Atomic(int) given_up;
    _Atomic(int) is_over;
};

static void yield_a_while(void)
{
    for (int i = 0; i < 50; i++)
        (void)weft_yield();
}

static void come_through(struct shared *shared)
{
    (void)atomic_fetch_add(&shared->begun, 1);
    CHECK_EQ(weft_event_wait(&shared->event, WEFT_FOREVER), 0);
    CHECK_EQ(shared->message, 7);
    (void)atomic_fetch_add(&shared->through, 1);
}

static int come_in_fiber(void *arg)
{
    come_through(arg);
    return 0;
}

static void *come_in_thread(void *arg)
{
    come_through(arg);
    return NULL;
}

static void start_all(struct shared *shared, pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, come_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, come_in_fiber, shared), 0);
    while (atomic_load(&shared->begun) < ALL)
        (void)weft_yield();
    yield_a_while();
    CHECK_EQ(atomic_load(&shared->through), 0);
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static void end_all(struct shared *shared, const pthread_t *threads)
{
    while (atomic_load(&shared->through) < ALL)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static int set_for_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    start_all(shared, threads);
    CHECK(!weft_event_is_set(&shared->event));
    shared->message = 7;
    weft_event_set(&shared->event);
    weft_event_set(&shared->event);
    end_all(shared, threads);
    CHECK(weft_event_is_set(&shared->event));
    CHECK_EQ(weft_event_wait(&shared->event, 0), 0);
    weft_event_reset(&shared->event);
    weft_event_reset(&shared->event);
    CHECK(!weft_event_is_set(&shared->event));
    CHECK_EQ(weft_event_wait(&shared->event, 0), -ETIMEDOUT);
    return 0;
}

WORKER_TEST(event, a_manual_one_lets_all_through_until_it_is_reset, TEST_TIMEOUT_S)
{
    struct shared shared = {.event = WEFT_EVENT_INIT};

    cr_expect_eq(run_workers(*workers, set_for_all, &shared), 0);
    cr_expect_null(shared.event.queue);
}

/* Each set comes when the one before has been used up, so none of them counts twice. */
static int set_for_each(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    start_all(shared, threads);
    shared->message = 7;
    for (int i = 1; i <= ALL; i++) {
        weft_event_set(&shared->event);
        while (atomic_load(&shared->through) < i)
            (void)weft_yield();
        if (i % 8 == 0)
            yield_a_while();
        CHECK_EQ(atomic_load(&shared->through), i);
    }
    end_all(shared, threads);
    CHECK(!weft_event_is_set(&shared->event));
    return 0;
}

WORKER_TEST(event, an_automatic_one_lets_one_through_for_each_set, TEST_TIMEOUT_S)
{
    struct shared shared = {.event = WEFT_EVENT_AUTO_INIT};

    cr_expect_eq(run_workers(*workers, set_for_each, &shared), 0);
    cr_expect_null(shared.event.queue);
}

static int look_at_automatic(void *arg)
{
    weft_event *event = arg;

    CHECK(!weft_event_is_set(event));
    CHECK_EQ(weft_event_wait(event, 0), -ETIMEDOUT);
    CHECK_EQ(weft_event_wait(event, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_event_wait(event, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_event_set(event);
    weft_event_set(event);
    CHECK(weft_event_is_set(event));
    CHECK_EQ(weft_event_wait(event, weft_now() - WEFT_SECOND), 0);
    CHECK(!weft_event_is_set(event));
    CHECK_EQ(weft_event_wait(event, 0), -ETIMEDOUT);
    weft_event_set(event);
    weft_event_reset(event);
    CHECK_EQ(weft_event_wait(event, 0), -ETIMEDOUT);
    return 0;
}

WORKER_TEST(event, a_deadline_counts_only_while_it_is_not_set, TEST_TIMEOUT_S)
{
    weft_event event = WEFT_EVENT_AUTO_INIT;

    cr_expect_eq(run_workers(*workers, look_at_automatic, &event), 0);
    cr_expect_eq(look_at_automatic(&event), 0, "a plain thread");
}

static int wait_cancelled(void *arg)
{
    weft_event *event = arg;

    weft_cancel(weft_self());
    CHECK_EQ(weft_event_wait(event, WEFT_FOREVER), -ECANCELED);
    weft_event_set(event);
    CHECK_EQ(weft_event_wait(event, WEFT_FOREVER), 0);
    CHECK_EQ(weft_event_wait(event, WEFT_FOREVER), -ECANCELED);
    return 0;
}

WORKER_TEST(event, a_cancelled_fiber_comes_through_one_that_is_set, TEST_TIMEOUT_S)
{
    weft_event event = WEFT_EVENT_AUTO_INIT;

    cr_expect_eq(run_workers(*workers, wait_cancelled, &event), 0);
}

static int come_or_give_up(void *arg)
{
    struct shared *shared = arg;
    int error = weft_event_wait(&shared->event, weft_after(WEFT_SECOND * 3600));

    if (error != 0) {
        CHECK_EQ(error, -ECANCELED);
        return error;
    }
    (void)atomic_fetch_add(&shared->through, 1);
    return 0;
}

/* A set races with a cancel of the only one that waits. */
static int race_set_with_cancel(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *victim = must_spawn(come_or_give_up, shared);
        int before = atomic_load(&shared->through);
        int left;

        for (int j = i % 4; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        if (i % 2 == 0)
            weft_cancel(victim);
        weft_event_set(&shared->event);
        weft_cancel(victim);
        CHECK_EQ(weft_join(victim, &left, WEFT_FOREVER), 0);
        /* Either it used the set, or the set is still there for the next. */
        CHECK_EQ(atomic_load(&shared->through), before + (left == 0));
        CHECK_EQ(weft_event_is_set(&shared->event), left != 0);
        weft_event_reset(&shared->event);
    }
    return 0;
}

WORKER_TEST(event, a_set_is_not_lost_to_one_that_is_cancelled, TEST_TIMEOUT_S)
{
    struct shared shared = {.event = WEFT_EVENT_AUTO_INIT};

    cr_expect_eq(run_workers(*workers, race_set_with_cancel, &shared), 0);
    cr_expect_null(shared.event.queue);
}

static int wait_a_moment(void *arg)
{
    struct shared *shared = arg;

    while (atomic_load(&shared->is_over) == 0) {
        int error = weft_event_wait(&shared->event, weft_after(20 * WEFT_MICROSECOND));

        CHECK(error == 0 || error == -ETIMEDOUT);
        (void)atomic_fetch_add(error == 0 ? &shared->through : &shared->given_up, 1);
        (void)weft_yield(); /* the deadline may be past at once: others have to run too */
    }
    return 0;
}

/* Each set is awaited by a reader of `through`: one that a timeout swallowed would hang. */
static int race_set_with_deadline(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *waiters[3];

    for (int i = 0; i < 3; i++)
        waiters[i] = must_spawn(wait_a_moment, shared);
    for (int i = 1; i <= ROUNDS; i++) {
        weft_event_set(&shared->event);
        while (atomic_load(&shared->through) < i)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(atomic_load(&shared->through), i);
    }
    atomic_store(&shared->is_over, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(must_join(waiters[i]), 0);
    return 0;
}

WORKER_TEST(event, a_set_is_not_lost_to_one_whose_deadline_passes, TEST_TIMEOUT_S)
{
    struct shared shared = {.event = WEFT_EVENT_AUTO_INIT};

    cr_expect_eq(run_workers(*workers, race_set_with_deadline, &shared), 0);
    cr_expect(!weft_event_is_set(&shared.event));
}

static void answer(struct shared *shared)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_event_wait(&shared->event, WEFT_FOREVER), 0);
        CHECK_EQ(shared->message, i);
        shared->message++;
        weft_event_set(&shared->back);
    }
    atomic_store(&shared->is_over, 1);
}

static int answer_in_fiber(void *arg)
{
    answer(arg);
    return 0;
}

static void *answer_in_thread(void *arg)
{
    answer(arg);
    return NULL;
}

static int call(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_event_set(&shared->event);
        CHECK_EQ(weft_event_wait(&shared->back, WEFT_FOREVER), 0);
        CHECK_EQ(shared->message, i + 1);
    }
    return 0;
}

static int call_and_answer(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fiber = must_spawn(answer_in_fiber, shared);
    pthread_t thread;

    CHECK_EQ(call(shared), 0);
    CHECK_EQ(must_join(fiber), 0);
    atomic_store(&shared->is_over, 0);
    shared->message = 0;
    CHECK_EQ(pthread_create(&thread, NULL, answer_in_thread, shared), 0);
    CHECK_EQ(call(shared), 0);
    while (atomic_load(&shared->is_over) == 0)
        (void)weft_yield();
    return pthread_join(thread, NULL);
}

/* Two take turns by two events: fiber and fiber, then fiber and thread. */
WORKER_TEST(event, what_was_done_before_the_set_is_seen_after_it, TEST_TIMEOUT_S)
{
    struct shared shared = {.event = WEFT_EVENT_AUTO_INIT, .back = WEFT_EVENT_AUTO_INIT};

    cr_expect_eq(run_workers(*workers, call_and_answer, &shared), 0);
    cr_expect_eq(shared.message, ROUNDS);
}

static int set_one(void *arg)
{
    weft_event_set(arg);
    return 0;
}

static int wait_and_free(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_event *event = calloc(1, sizeof *event);
        weft_fiber *fiber;

        CHECK(event != NULL);
        if (i % 2 == 0)
            *event = (weft_event)WEFT_EVENT_AUTO_INIT;
        fiber = must_spawn(set_one, event);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_event_wait(event, WEFT_FOREVER), 0);
        free(event);
        CHECK_EQ(must_join(fiber), 0);
    }
    return 0;
}

/* The set that let it through may still be running. */
WORKER_TEST(event, who_came_through_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_and_free, NULL), 0);
}

static int wait_for_ever(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

static int leave_in_scope(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;

    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_scope_spawn(&scope, wait_for_ever, arg), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_after(2 * WEFT_MILLISECOND)), 0);
    CHECK_EQ(weft_event_wait(arg, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope, 0), -ETIMEDOUT);
    CHECK_EQ(weft_spawn(NULL, wait_for_ever, arg), 0); /* the end of the run cancels it */
    return 0;
}

WORKER_TEST(event, the_end_of_a_scope_ends_the_waits_in_it, TEST_TIMEOUT_S)
{
    weft_event event = WEFT_EVENT_INIT;

    cr_expect_eq(run_workers(*workers, leave_in_scope, &event), 0);
    cr_expect_null(event.queue);
}
