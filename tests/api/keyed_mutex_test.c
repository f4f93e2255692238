/* SPDX-License-Identifier: MIT */
/* keyed_mutex.h: one holder for each key, for fibers and plain threads. */
#include "../support/child.h"
#include "../support/crowd.h"
#include "../support/fixture.h"
#include "../support/random.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum {
    KEYS = 7,
    BUCKETS = 3, /* fewer, so that keys share them */
    FIBERS = 20,
    THREADS = 2,
    ROUNDS = TEST_IS_TSAN ? 100 : 500,
    WAITERS = 6,
};

struct shared {
    weft_keyed_mutex mutex;
    weft_key_bucket buckets[BUCKETS];
    uint64_t counts[KEYS]; /* each under its key */
    _Atomic(int) holders[KEYS];
    _Atomic(int) order;
    _Atomic(int) locked; /* with deadlines: how often it succeeded */
    uint64_t seed;
};

static void init(struct shared *shared)
{
    *shared = (struct shared){.mutex = WEFT_KEYED_MUTEX_INIT(shared->buckets, BUCKETS)};
    shared->seed = random_seed("keyed_mutex");
}

static void expect_at_rest(const struct shared *shared)
{
    for (int i = 0; i < BUCKETS; i++) {
        cr_expect_null(shared->buckets[i].first);
        cr_expect_null(shared->buckets[i].queue);
    }
}

static void hold_some(void *arg)
{
    struct shared *shared = arg;
    bool may_yield = weft_self() != NULL;
    struct random random = random_stream(shared->seed, may_yield ? weft_fiber_id(weft_self()) : 0);
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned key = random_below(&random, KEYS);

        CHECK_EQ(weft_keyed_mutex_lock(&shared->mutex, &hold, &key, sizeof key, WEFT_FOREVER), 0);
        CHECK_EQ(atomic_fetch_add(&shared->holders[key], 1), 0);
        shared->counts[key]++;
        if (may_yield && random_below(&random, 4) == 0)
            CHECK_EQ(weft_yield(), 0);
        (void)atomic_fetch_sub(&shared->holders[key], 1);
        weft_keyed_mutex_unlock(&shared->mutex, &hold);
    }
}

static int hold_in_all(void *arg)
{
    run_in_crowd(FIBERS, THREADS, hold_some, arg);
    return 0;
}

WORKER_TEST(keyed_mutex, each_key_has_one_holder, TEST_TIMEOUT_S)
{
    struct shared shared;
    uint64_t sum = 0;

    init(&shared);
    cr_expect_eq(run_workers(*workers, hold_in_all, &shared), 0);
    for (int i = 0; i < KEYS; i++)
        sum += shared.counts[i];
    cr_expect_eq(sum, (uint64_t)ROUNDS * (FIBERS + THREADS));
    expect_at_rest(&shared);
}

static int lock_different_keys(void *arg)
{
    static const char *const keys[] = {"", "a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefg"};
    enum { COUNT = sizeof keys / sizeof *keys };
    struct shared *shared = arg;
    weft_key_hold holds[COUNT] = {WEFT_KEY_HOLD_INIT};
    weft_key_hold zeros = WEFT_KEY_HOLD_INIT;
    weft_key_hold extra = WEFT_KEY_HOLD_INIT;
    char copy[16];

    /* All of them at once, however few buckets there are. */
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(weft_keyed_mutex_lock(&shared->mutex, &holds[i], keys[i], strlen(keys[i]), 0), 0);
    CHECK_EQ(weft_keyed_mutex_try_lock(&shared->mutex, &zeros, "a\0\0", 3), 0);
    for (int i = 0; i < COUNT; i++) { /* by what it holds, not by where it is */
        memcpy(copy, keys[i], strlen(keys[i]) + 1);
        CHECK_EQ(weft_keyed_mutex_try_lock(&shared->mutex, &extra, copy, strlen(copy)), -EBUSY);
    }
    for (int i = 0; i < COUNT; i += 2)
        weft_keyed_mutex_unlock(&shared->mutex, &holds[i]);
    for (int i = COUNT - 1; i >= 0; i--)
        if (i % 2 == 1)
            weft_keyed_mutex_unlock(&shared->mutex, &holds[i]);
    CHECK_EQ(weft_keyed_mutex_try_lock(&shared->mutex, &extra, "ab", 2), 0);
    weft_keyed_mutex_unlock(&shared->mutex, &extra);
    weft_keyed_mutex_unlock(&shared->mutex, &zeros);
    return 0;
}

WORKER_TEST(keyed_mutex, keys_that_share_a_bucket_do_not_exclude_each_other, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, lock_different_keys, &shared), 0);
    cr_expect_eq(lock_different_keys(&shared), 0, "a plain thread");
    expect_at_rest(&shared);
}

struct waiter {
    struct shared *shared;
    weft_time deadline;
    int key;
};

static int lock_and_count(void *arg)
{
    struct waiter *waiter = arg;
    weft_keyed_mutex *mutex = &waiter->shared->mutex;
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;
    int error = weft_keyed_mutex_lock(mutex, &hold, &waiter->key, sizeof waiter->key,
                                      waiter->deadline);
    int order;

    if (error != 0)
        return error;
    order = atomic_fetch_add(&waiter->shared->order, 1);
    weft_keyed_mutex_unlock(mutex, &hold);
    return order;
}

/* Somebody waits; most likely all that have been spawned. */
static void await_queue(struct shared *shared)
{
    while (!has_waiters(&shared->buckets[0].queue))
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(weft_yield(), 0);
}

static int pass_on(void *arg)
{
    struct shared *shared = arg;
    struct waiter waiter = {shared, WEFT_FOREVER, 5};
    struct waiter other = {shared, WEFT_FOREVER, 6};
    struct waiter late = {shared, weft_after(WEFT_MILLISECOND), 5};
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;
    weft_fiber *fibers[WAITERS];
    int key = 5;

    shared->mutex.count = 1; /* one bucket for all */
    CHECK_EQ(weft_keyed_mutex_lock(&shared->mutex, &hold, &key, sizeof key, WEFT_FOREVER), 0);
    for (int i = 0; i < WAITERS; i++)
        fibers[i] = must_spawn(lock_and_count, &waiter);
    await_queue(shared);
    CHECK_EQ(must_join(must_spawn(lock_and_count, &other)), 0); /* another key is free */
    CHECK_EQ(must_join(must_spawn(lock_and_count, &late)), -ETIMEDOUT);
    weft_cancel(fibers[1]);
    CHECK_EQ(must_join(fibers[1]), -ECANCELED);
    CHECK_EQ(atomic_load(&shared->order), 1);
    weft_keyed_mutex_unlock(&shared->mutex, &hold);
    for (int i = 0; i < WAITERS; i++)
        if (i != 1)
            CHECK(must_join(fibers[i]) > 0);
    CHECK_EQ(atomic_load(&shared->order), WAITERS);
    return 0;
}

WORKER_TEST(keyed_mutex, goes_to_all_that_still_wait, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, pass_on, &shared), 0);
    expect_at_rest(&shared);
}

static int lock_cancelled(void *arg)
{
    struct shared *shared = arg;
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;
    weft_key_hold second = WEFT_KEY_HOLD_INIT;
    weft_keyed_mutex *mutex = &shared->mutex;

    CHECK_EQ(weft_keyed_mutex_lock(mutex, &hold, "x", 1, weft_now() - WEFT_SECOND), 0);
    CHECK_EQ(weft_keyed_mutex_try_lock(mutex, &second, "x", 1), -EBUSY);
    weft_cancel(weft_self());
    CHECK_EQ(weft_keyed_mutex_lock(mutex, &second, "y", 1, WEFT_FOREVER), 0);
    weft_keyed_mutex_unlock(mutex, &second);
    weft_keyed_mutex_unlock(mutex, &hold);
    return 0;
}

WORKER_TEST(keyed_mutex, a_cancelled_fiber_locks_what_is_free, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, lock_cancelled, &shared), 0);
    expect_at_rest(&shared);
}

static int lock_with_deadlines(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, weft_fiber_id(weft_self()));
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;

    for (int i = 0; i < ROUNDS / 10; i++) {
        unsigned key = random_below(&random, 2);
        weft_time deadline = weft_after(random_below(&random, 60) * WEFT_MICROSECOND);
        int error = weft_keyed_mutex_lock(&shared->mutex, &hold, &key, sizeof key, deadline);

        if (error == -ECANCELED)
            break;
        if (error != 0) {
            CHECK_EQ(error, -ETIMEDOUT);
            continue;
        }
        CHECK_EQ(atomic_fetch_add(&shared->holders[key], 1), 0);
        shared->counts[key]++;
        (void)atomic_fetch_add(&shared->locked, 1);
        for (unsigned j = random_below(&random, 3); j > 0; j--)
            (void)weft_yield();
        (void)atomic_fetch_sub(&shared->holders[key], 1);
        weft_keyed_mutex_unlock(&shared->mutex, &hold);
    }
    return 0;
}

static int race_deadlines(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[FIBERS];

    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(lock_with_deadlines, shared);
    for (int i = 0; i < FIBERS; i++) {
        CHECK_EQ(weft_yield(), 0);
        if (i % 4 == 0)
            weft_cancel(fibers[i]);
        CHECK_EQ(must_join(fibers[i]), 0);
    }
    return 0;
}

/* A key that was given to one that is gone would be held for ever. */
WORKER_TEST(keyed_mutex, is_never_given_to_one_that_has_left, TEST_TIMEOUT_S)
{
    struct shared shared;

    init(&shared);
    cr_expect_eq(run_workers(*workers, race_deadlines, &shared), 0);
    cr_expect_eq(shared.counts[0] + shared.counts[1], (uint64_t)atomic_load(&shared.locked));
    expect_at_rest(&shared);
}

enum misuse { NOTHING, TWICE, HOLD_IN_USE, NOT_HELD, OTHER_MUTEX, NO_BUCKETS };

CHILD(misuse)
{
    weft_key_bucket buckets[2][BUCKETS];
    weft_keyed_mutex mutex = WEFT_KEYED_MUTEX_INIT(buckets[0], BUCKETS);
    weft_keyed_mutex other = WEFT_KEYED_MUTEX_INIT(buckets[1], BUCKETS);
    weft_key_hold holds[2] = {WEFT_KEY_HOLD_INIT, WEFT_KEY_HOLD_INIT};
    int error;

    memset(buckets, 0, sizeof buckets);
    if (parameter == NO_BUCKETS)
        mutex.count = 0;
    error = weft_keyed_mutex_lock(&mutex, &holds[0], "a", 1, WEFT_FOREVER);
    if (parameter == TWICE)
        error = weft_keyed_mutex_lock(&mutex, &holds[1], "a", 1, WEFT_FOREVER);
    if (parameter == HOLD_IN_USE)
        error = weft_keyed_mutex_lock(&mutex, &holds[0], "b", 1, WEFT_FOREVER);
    weft_keyed_mutex_unlock(parameter == OTHER_MUTEX ? &other : &mutex, &holds[0]);
    if (parameter == NOT_HELD)
        weft_keyed_mutex_unlock(&mutex, &holds[0]);
    return error;
}

Test(keyed_mutex, misuse_aborts, .timeout = TEST_TIMEOUT_S)
{
    static const char *const messages[] = {"",       "holds this key already", "the hold is in use",
                                           "no key", "of another mutex",       "not initialised"};
    struct child_end end;

    run_child("misuse", NOTHING, NULL, &end);
    cr_expect_eq(end.exit_status, 0);
    for (unsigned i = TWICE; i <= NO_BUCKETS; i++) {
        run_child("misuse", i, NULL, &end);
        cr_expect_eq(end.signal, SIGABRT);
        cr_expect_not_null(strstr(end.output, messages[i]), "%u: \"%s\"", i, end.output);
    }
}
