/* SPDX-License-Identifier: MIT */
/* singleflight.h: one of the calls with a key works, and all get what comes of it. */
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { BUCKETS = 3, CALLS = 20, KEYS = 5, THREADS = 2, ROUNDS = TEST_IS_TSAN ? 60 : 300 };

struct answer {
    int64_t number;
    int64_t square;
};

struct shared {
    weft_singleflight flights;
    weft_key_bucket buckets[BUCKETS];
    _Atomic(int) runs; /* of the function */
    _Atomic(int) running[KEYS];
    _Atomic(int) called; /* calls that have begun */
    _Atomic(int) go;     /* the function may end */
    _Atomic(int) ended;
    int error; /* what it returns; 0: an answer */
    uint64_t seed;
};

struct call {
    struct shared *shared;
    int key;
    weft_time deadline;
    struct answer answer;
};

static void init(struct shared *shared)
{
    *shared = (struct shared){
        .flights = WEFT_SINGLEFLIGHT_INIT(struct answer, shared->buckets, BUCKETS)};
    shared->seed = random_seed("singleflight");
}

static void expect_at_rest(const struct shared *shared)
{
    for (int i = 0; i < BUCKETS; i++) {
        cr_expect_null(shared->buckets[i].first);
        cr_expect_null(shared->buckets[i].queue);
    }
}

static int work(void *arg, void *result)
{
    struct call *call = arg;
    struct shared *shared = call->shared;
    struct answer *answer = result;

    CHECK_EQ(atomic_fetch_add(&shared->running[call->key], 1), 0); /* alone for its key */
    (void)atomic_fetch_add(&shared->runs, 1);
    while (atomic_load(&shared->go) == 0) {
        int error = weft_yield();

        if (error == 0)
            error = weft_sleep(10 * WEFT_MICROSECOND);
        if (error != 0) {
            (void)atomic_fetch_sub(&shared->running[call->key], 1);
            return error;
        }
    }
    *answer = (struct answer){call->key, (int64_t)call->key * call->key};
    (void)atomic_fetch_sub(&shared->running[call->key], 1);
    return shared->error != 0 ? shared->error : 100 + call->key;
}

static int do_call(struct call *call)
{
    struct shared *shared = call->shared;

    (void)atomic_fetch_add(&shared->called, 1);
    return weft_singleflight_do(&shared->flights, &call->key, sizeof call->key, work, call,
                                &call->answer, sizeof call->answer, call->deadline);
}

static int call_in_fiber(void *arg)
{
    struct call *call = arg;
    int result = do_call(call);

    if (result >= 0) {
        CHECK_EQ(result, 100 + call->key);
        CHECK_EQ(call->answer.number, call->key);
        CHECK_EQ(call->answer.square, call->key * call->key);
    }
    return result;
}

static struct call call_of(struct shared *shared, int key)
{
    return (struct call){.shared = shared, .key = key, .deadline = WEFT_FOREVER};
}

/* The first runs, so the others have to wait; most likely all do. */
static void start_all(struct shared *shared, struct call *calls, weft_fiber **fibers)
{
    for (int i = 0; i < CALLS; i++) {
        calls[i] = call_of(shared, 2);
        fibers[i] = must_spawn(call_in_fiber, &calls[i]);
        while (i == 0 && atomic_load(&shared->runs) == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    while (atomic_load(&shared->called) < CALLS)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_yield(), 0);
}

static int share_one_run(void *arg)
{
    struct shared *shared = arg;
    struct call calls[CALLS];
    struct call other = call_of(shared, 3);
    weft_fiber *fibers[CALLS];
    weft_fiber *another;
    int runs;

    start_all(shared, calls, fibers);
    CHECK_EQ(atomic_load(&shared->runs), 1);
    another = must_spawn(call_in_fiber, &other); /* another key does not wait */
    while (atomic_load(&shared->runs) < 2)
        CHECK_EQ(weft_yield(), 0);
    atomic_store(&shared->go, 1);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(must_join(fibers[i]), shared->error != 0 ? shared->error : 102);
    CHECK_EQ(must_join(another), shared->error != 0 ? shared->error : 103);
    /* One that came to the table when the flight was over has made another. */
    runs = atomic_load(&shared->runs);
    CHECK(runs >= 2 && runs <= CALLS + 1);
    CHECK_EQ(must_join(must_spawn(call_in_fiber, &calls[0])),
             shared->error != 0 ? shared->error : 102);
    CHECK_EQ(atomic_load(&shared->runs), runs + 1); /* it is no cache */
    return 0;
}

WORKER_TEST(singleflight, all_get_what_comes_of_one_run, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, share_one_run, &shared), 0);
    expect_at_rest(&shared);
}

WORKER_TEST(singleflight, all_get_its_failure, TEST_TIMEOUT_S)
{
    static const int errors[] = {-EIO, -ETIMEDOUT, -ECANCELED}; /* that happen to what it asks */

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct shared shared;

        init(&shared);
        shared.error = errors[i];
        cr_expect_eq(run_workers(*workers, share_one_run, &shared), 0);
        expect_at_rest(&shared);
    }
}

static int cancel_leaders(void *arg)
{
    struct shared *shared = arg;
    struct call calls[CALLS];
    weft_fiber *fibers[CALLS];
    int answers = 0;

    start_all(shared, calls, fibers);
    for (int i = 0; i < CALLS / 2; i++) { /* the first of them leads, then others */
        int runs = atomic_load(&shared->runs);

        weft_cancel(fibers[i]);
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
        if (i == 0)
            while (atomic_load(&shared->runs) == runs)
                CHECK_EQ(weft_yield(), 0); /* one that waited has taken over */
    }
    atomic_store(&shared->go, 1);
    for (int i = CALLS / 2; i < CALLS; i++)
        answers += must_join(fibers[i]) == 102;
    CHECK_EQ(answers, CALLS - CALLS / 2);
    CHECK(atomic_load(&shared->runs) >= 2);
    return 0;
}

/* The others have not been cancelled, so they must not be told that they are, nor wait on. */
WORKER_TEST(singleflight, a_cancelled_leader_hands_over, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, cancel_leaders, &shared), 0);
    expect_at_rest(&shared);
}

static int fail_when_cancelled(void *arg, void *result)
{
    struct shared *shared = arg;

    (void)result;
    (void)atomic_fetch_add(&shared->runs, 1);
    while (weft_yield() == 0)
        continue;
    return -EIO;
}

static int call_what_fails(void *arg)
{
    struct shared *shared = arg;
    struct call call = call_of(shared, 2);

    return weft_singleflight_do(&shared->flights, &call.key, sizeof call.key, fail_when_cancelled,
                                shared, &call.answer, sizeof call.answer, WEFT_FOREVER);
}

static bool follows_anybody(struct shared *shared)
{
    bool does = false;

    for (int i = 0; i < BUCKETS; i++)
        does |= has_waiters(&shared->buckets[i].queue);
    return does;
}

static int cancel_a_leader_that_fails(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *leader = must_spawn(call_what_fails, shared), *follower;

    while (atomic_load(&shared->runs) == 0)
        CHECK_EQ(weft_yield(), 0);
    follower = must_spawn(call_what_fails, shared);
    while (!follows_anybody(shared))
        CHECK_EQ(weft_yield(), 0);
    weft_cancel(leader);
    CHECK_EQ(must_join(leader), -EIO);
    CHECK_EQ(must_join(follower), -EIO);
    return atomic_load(&shared->runs);
}

/* That its leader was cancelled as well does not make the failure less real for the others. */
WORKER_TEST(singleflight, a_failure_of_a_cancelled_leader_is_shared, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, cancel_a_leader_that_fails, &shared), 1);
    expect_at_rest(&shared);
}

static int lead_in_scope(void *arg)
{
    struct call *call = arg;
    weft_scope scope = WEFT_SCOPE_INIT;
    int result;

    CHECK_EQ(weft_scope_open(&scope, weft_after(5 * WEFT_MILLISECOND)), 0);
    result = do_call(call);
    (void)atomic_fetch_add(&call->shared->ended, 1);
    return weft_scope_close(&scope, result);
}

static int let_deadlines_pass(void *arg)
{
    struct shared *shared = arg;
    struct call leading = call_of(shared, 2);
    struct call following = call_of(shared, 2);
    struct call late = call_of(shared, 2);
    struct call too_late = call_of(shared, 2);
    weft_fiber *leader = must_spawn(lead_in_scope, &leading);
    weft_fiber *follower;

    /* If the scope's deadline passes before it begins, the next one is the first. */
    while (atomic_load(&shared->runs) + atomic_load(&shared->ended) == 0)
        CHECK_EQ(weft_yield(), 0);
    follower = must_spawn(call_in_fiber, &following);
    CHECK_EQ(must_join(leader), -ETIMEDOUT);
    while (atomic_load(&shared->running[2]) == 0) /* the follower leads */
        CHECK_EQ(weft_yield(), 0);
    late.deadline = weft_after(WEFT_MILLISECOND);
    CHECK_EQ(do_call(&late), -ETIMEDOUT);
    too_late.deadline = 0;
    CHECK_EQ(do_call(&too_late), -ETIMEDOUT);
    CHECK_EQ(late.answer.square + too_late.answer.square, 0);
    atomic_store(&shared->go, 1);
    CHECK_EQ(must_join(follower), 102);
    return 0;
}

WORKER_TEST(singleflight, deadlines_end_waits_and_leaders, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &shared), 0);
    expect_at_rest(&shared);
}

static void call_some(struct shared *shared, uint64_t stream, bool has_deadlines)
{
    struct random random = random_stream(shared->seed, stream);

    for (int i = 0; i < ROUNDS; i++) {
        struct call call = call_of(shared, (int)random_below(&random, KEYS));
        int result;

        if (has_deadlines && random_below(&random, 2) == 0)
            call.deadline = weft_after(random_below(&random, 40) * WEFT_MICROSECOND);
        result = do_call(&call);
        if (result == -ETIMEDOUT && call.deadline != WEFT_FOREVER)
            continue;
        if (result == -ECANCELED && weft_self() != NULL && weft_is_cancelled())
            break;
        CHECK_EQ(result, 100 + call.key);
        CHECK_EQ(call.answer.square, call.key * call.key);
    }
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int call_some_in_fiber(void *arg)
{
    call_some(arg, weft_fiber_id(weft_self()), true);
    return 0;
}

static void *call_some_in_thread(void *arg)
{
    call_some(arg, 0, false);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static int call_in_all(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[CALLS];
    pthread_t threads[THREADS];

    atomic_store(&shared->go, 1);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, call_some_in_thread, shared), 0);
    for (int i = 0; i < CALLS; i++)
        fibers[i] = must_spawn(call_some_in_fiber, shared);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(weft_yield(), 0);
        if (i % 3 == 0)
            weft_cancel(fibers[i]);
        CHECK_EQ(must_join(fibers[i]), 0);
    }
    while (atomic_load(&shared->ended) < CALLS + THREADS)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(singleflight, holds_among_fibers_and_threads_that_come_and_go, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, call_in_all, &shared), 0);
    expect_at_rest(&shared);
}

enum misuse { NOTHING, WRONG_SIZE, ITSELF, NO_BUCKETS };

static weft_key_bucket buckets[BUCKETS];
static weft_singleflight flights = WEFT_SINGLEFLIGHT_INIT(int, buckets, BUCKETS);

static int call_again(void *arg, void *result)
{
    int *parameter = arg;

    *(int *)result = 1;
    if (*parameter != ITSELF)
        return 0;
    return weft_singleflight_do(&flights, "a", 1, call_again, arg, result, sizeof(int),
                                WEFT_FOREVER);
}

CHILD(misuse)
{
    int which = (int)parameter;
    int64_t result = 0;

    if (which == NO_BUCKETS)
        flights.count = 0;
    return weft_singleflight_do(&flights, "a", 1, call_again, &which, &result,
                                which == WRONG_SIZE ? 8 : sizeof(int), WEFT_FOREVER);
}

Test(singleflight, misuse_aborts, .timeout = TEST_TIMEOUT_S)
{
    static const char *const messages[] = {"", "the caller's 8", "the key that it works on",
                                           "not initialised"};
    struct child_end end;

    run_child("misuse", NOTHING, NULL, &end);
    cr_expect_eq(end.exit_status, 0);
    for (unsigned i = WRONG_SIZE; i <= NO_BUCKETS; i++) {
        run_child("misuse", i, NULL, &end);
        cr_expect_eq(end.signal, SIGABRT);
        cr_expect_not_null(strstr(end.output, messages[i]), "%u: \"%s\"", i, end.output);
    }
}
