/* SPDX-License-Identifier: MIT */
/*
 * What fibers and plain threads did to one object at once, in chaos mode, can be explained by an
 * object that they used one after the other: see ../support/history.h.  At rest nothing is missing.
 * That the judge rejects wrong histories is for tests/unit/history_test.c.
 */
#define WEFT_LOCK_CHECKS 0

#include "../support/history_models.h"
#include "../support/random.h"
#include "../support/tally.h"
#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { FIBERS = 4, THREADS = 2, ACTORS = FIBERS + THREADS, ROUNDS = TEST_IS_SANITIZED ? 8 : 20 };
enum { PERMITS = 4, CAPACITY_MAX = 2 };

struct round;

/* One object: what an actor does to it, and what it is. */
struct subject {
    void (*act)(struct round *round, int actor, struct random *random);
    void (*end)(struct round *round);
    history_model *model;
};

struct round {
    const struct subject *subject;
    uint64_t seed;
    _Atomic(int) actors, ended;
    weft_mutex mutex;
    weft_semaphore semaphore;
    weft_rwlock rwlock;
    weft_condition condition;
    weft_channel channel;
    int buffer[CAPACITY_MAX];
    _Atomic(long) sent, received;
    struct history_state initial;
    struct history history;
};

static weft_time soon(struct random *random)
{
    return weft_after(random_below(random, 300) * WEFT_MICROSECOND);
}

static weft_time soon_or_never(struct random *random)
{
    return random_below(random, 3) == 0 ? soon(random) : WEFT_FOREVER;
}

static void pause_a_little(struct random *random)
{
    if (random_below(random, 3) != 0)
        return;
    if (weft_self() != NULL)
        (void)weft_yield();
    else
        (void)sched_yield();
}

static void expect_no_effect(int error)
{
    CHECK(error == -ETIMEDOUT || error == -ECANCELED || error == -EBUSY);
}

static void lock_mutex(struct round *round, int actor, struct random *random)
{
    struct history *history = &round->history;

    for (int i = 0; i < 5; i++) {
        bool tries = random_below(random, 4) == 0;
        uint64_t called = history_call(history);
        int error = tries ? weft_mutex_try_lock(&round->mutex)
                          : weft_mutex_lock(&round->mutex, soon_or_never(random));

        if (error == -EBUSY)
            history_add(history, called, MUTEX_BUSY, actor, 0);
        if (error != 0) {
            expect_no_effect(error);
            continue;
        }
        history_add(history, called, MUTEX_LOCK, actor, 0);
        pause_a_little(random);
        called = history_call(history);
        weft_mutex_unlock(&round->mutex);
        history_add(history, called, MUTEX_UNLOCK, actor, 0);
        pause_a_little(random);
    }
}

static void expect_free_mutex(struct round *round)
{
    CHECK(round->mutex.word == 0 && round->mutex.queue == NULL);
}

/* What no-one waits for is there for all: a call that fails needs a reason, too. */
static int take_now(struct round *round, int actor, int count, struct random *random)
{
    struct history *history = &round->history;
    bool tries = random_below(random, 2) == 0;
    uint64_t called = history_call(history);
    int error = tries ? weft_semaphore_try_acquire(&round->semaphore, (uint64_t)count)
                      : weft_semaphore_acquire(&round->semaphore, (uint64_t)count, 0);

    history_add(history, called, error == 0 ? SEMAPHORE_TAKE : SEMAPHORE_BUSY, actor, count);
    return error;
}

static int take_later(struct round *round, int actor, int count, struct random *random)
{
    struct history *history = &round->history;
    uint64_t called = history_call(history);
    int error = weft_semaphore_acquire(&round->semaphore, (uint64_t)count, soon_or_never(random));
    uint64_t returned = history_call(history);
    int end = error == 0 ? SEMAPHORE_ACQUIRE : SEMAPHORE_LEAVE;

    history_add_part(history, called, returned, SEMAPHORE_ASK, actor, count);
    history_add_part(history, called, returned, end, actor, count);
    return error;
}

static void take_permits(struct round *round, int actor, struct random *random)
{
    struct history *history = &round->history;

    for (int i = 0; i < 3; i++) {
        int count = 1 + (int)random_below(random, PERMITS);
        /* In every other round nobody waits, who could be the reason. */
        int error = round->seed % 2 == 0 || random_below(random, 3) == 0
                        ? take_now(round, actor, count, random)
                        : take_later(round, actor, count, random);
        uint64_t called;

        if (error != 0) {
            expect_no_effect(error);
            continue;
        }
        pause_a_little(random);
        called = history_call(history);
        weft_semaphore_release(&round->semaphore, (uint64_t)count);
        history_add(history, called, SEMAPHORE_RELEASE, actor, count);
        if (i > 0) /* there is no room for more */
            continue;
        called = history_call(history);
        count = (int)weft_semaphore_available(&round->semaphore);
        history_add(history, called, SEMAPHORE_AVAILABLE, actor, count);
    }
}

static void expect_all_permits(struct round *round)
{
    CHECK_EQ(weft_semaphore_available(&round->semaphore), PERMITS);
    CHECK(round->semaphore.queue == NULL);
}

static void write_locked(struct round *round, int actor, struct random *random)
{
    struct history *history = &round->history;
    int kind = RWLOCK_UNLOCK_WRITER;
    uint64_t called;

    pause_a_little(random);
    if (random_below(random, 2) == 0) {
        called = history_call(history);
        weft_rwlock_downgrade(&round->rwlock);
        history_add(history, called, RWLOCK_DOWNGRADE, actor, 0);
        kind = RWLOCK_UNLOCK_READER;
        pause_a_little(random);
    }
    called = history_call(history);
    weft_rwlock_unlock(&round->rwlock);
    history_add(history, called, kind, actor, 0);
}

static void read_locked(struct round *round, int actor, struct random *random)
{
    uint64_t called;

    pause_a_little(random);
    called = history_call(&round->history);
    weft_rwlock_unlock(&round->rwlock);
    history_add(&round->history, called, RWLOCK_UNLOCK_READER, actor, 0);
}

static void read_and_write(struct round *round, int actor, struct random *random)
{
    weft_rwlock *lock = &round->rwlock;

    for (int i = 0; i < 3; i++) {
        bool writes = random_below(random, 3) == 0;
        bool tries = random_below(random, 4) == 0;
        uint64_t called = history_call(&round->history);
        int error;

        if (tries)
            error = writes ? weft_rwlock_try_write_lock(lock) : weft_rwlock_try_read_lock(lock);
        else
            error = writes ? weft_rwlock_write_lock(lock, soon_or_never(random))
                           : weft_rwlock_read_lock(lock, soon_or_never(random));
        if (error != 0) {
            expect_no_effect(error);
            continue;
        }
        history_add(&round->history, called, writes ? RWLOCK_WRITE : RWLOCK_READ, actor, 0);
        if (writes)
            write_locked(round, actor, random);
        else
            read_locked(round, actor, random);
    }
}

static void expect_free_rwlock(struct round *round)
{
    CHECK_EQ(round->rwlock.word, 0);
    CHECK(round->rwlock.queue == NULL && round->rwlock.readers == NULL);
}

static void send_one(struct round *round, int actor, int value, struct random *random)
{
    bool tries = random_below(random, 4) == 0;
    bool has_buffer = round->initial.words[0] > 0;
    uint64_t called = history_call(&round->history);
    int error = tries ? weft_channel_try_send(&round->channel, &value, sizeof value)
                      : weft_channel_send(&round->channel, &value, sizeof value, soon(random));
    uint64_t returned = history_call(&round->history);
    int kind = has_buffer ? CHANNEL_SEND : CHANNEL_OFFER;

    if (error == 0)
        (void)atomic_fetch_add(&round->sent, 1);
    if (error == 0 && !has_buffer)
        history_add_part(&round->history, called, returned, CHANNEL_TAKEN, actor, value);
    if (error == -EPIPE) {
        kind = CHANNEL_BROKEN;
    } else if (error == -EAGAIN) {
        kind = CHANNEL_FULL;
    } else if (error != 0) {
        expect_no_effect(error);
        return;
    }
    /* Without a buffer, who waits to receive is not in the model. */
    if (kind == CHANNEL_FULL && !has_buffer)
        return;
    history_add_part(&round->history, called, returned, kind, actor, value);
}

static void receive_one(struct round *round, int actor, struct random *random)
{
    bool tries = random_below(random, 4) == 0;
    bool has_buffer = round->initial.words[0] > 0;
    int value = 0;
    uint64_t called = history_call(&round->history);
    int error = tries ? weft_channel_try_receive(&round->channel, &value, sizeof value)
                      : weft_channel_receive(&round->channel, &value, sizeof value, soon(random));

    if (error == 0)
        (void)atomic_fetch_add(&round->received, 1);
    if (error == 0)
        history_add(&round->history, called, CHANNEL_RECEIVE, actor, value);
    else if (error == -ENODATA)
        history_add(&round->history, called, CHANNEL_END, actor, 0);
    else if (error == -EAGAIN && has_buffer)
        history_add(&round->history, called, CHANNEL_EMPTY, actor, 0);
    else if (error != -EAGAIN)
        expect_no_effect(error);
}

static void send_and_receive(struct round *round, int actor, struct random *random)
{
    int close_at = actor == 1 ? (int)random_below(random, 12) : -1;

    for (int i = 0; i < 6; i++) {
        if (i == close_at) {
            uint64_t called = history_call(&round->history);

            weft_channel_close(&round->channel);
            history_add(&round->history, called, CHANNEL_CLOSE, actor, 0);
        } else if ((actor + (int)random_below(random, 3)) % 2 == 0) {
            send_one(round, actor, MODEL_VALUE(actor, i), random);
        } else {
            receive_one(round, actor, random);
        }
        pause_a_little(random);
    }
}

static void expect_each_value_once(struct round *round)
{
    int value;

    weft_channel_close(&round->channel);
    while (weft_channel_try_receive(&round->channel, &value, sizeof value) == 0)
        (void)atomic_fetch_add(&round->received, 1);
    CHECK_EQ(atomic_load(&round->received), atomic_load(&round->sent));
    weft_channel_destroy(&round->channel);
}

static void wait_locked(struct round *round, int actor, struct random *random)
{
    struct history *history = &round->history;
    uint64_t called = history_call(history);
    int error = weft_condition_wait(&round->condition, &round->mutex, soon(random));
    uint64_t returned = history_call(history);

    history_add_part(history, called, returned, CONDITION_BEGIN, actor, 0);
    if (error != 0) {
        expect_no_effect(error);
        history_add_part(history, called, returned, CONDITION_LEAVE, actor, 0);
    }
    history_add_part(history, called, returned, CONDITION_GO_ON, actor, 0);
}

static void signal_some(struct round *round, int actor, struct random *random)
{
    bool to_all = random_below(random, 3) == 0;
    uint64_t called = history_call(&round->history);

    if (to_all)
        weft_condition_broadcast(&round->condition);
    else
        weft_condition_signal(&round->condition);
    history_add(&round->history, called, to_all ? CONDITION_BROADCAST : CONDITION_SIGNAL, actor, 0);
}

static void wait_and_signal(struct round *round, int actor, struct random *random)
{
    struct history *history = &round->history;

    for (int i = 0; i < 2; i++) {
        unsigned choice = random_below(random, 4);
        uint64_t called;
        int error;

        if (choice == 0) { /* without the mutex, too */
            signal_some(round, actor, random);
            pause_a_little(random);
            continue;
        }
        called = history_call(history);
        error = weft_mutex_lock(&round->mutex, soon_or_never(random));
        if (error != 0) {
            expect_no_effect(error);
            continue;
        }
        history_add(history, called, CONDITION_LOCK, actor, 0);
        pause_a_little(random);
        if (choice == 1)
            signal_some(round, actor, random);
        else
            wait_locked(round, actor, random);
        called = history_call(history);
        weft_mutex_unlock(&round->mutex);
        history_add(history, called, CONDITION_UNLOCK, actor, 0);
    }
}

static void expect_nobody_waits(struct round *round)
{
    expect_free_mutex(round);
    CHECK(round->condition.queue == NULL);
}

static const struct subject mutexes = {lock_mutex, expect_free_mutex, model_mutex};
static const struct subject semaphores = {take_permits, expect_all_permits, model_semaphore};
static const struct subject rwlocks = {read_and_write, expect_free_rwlock, model_rwlock};
static const struct subject channels = {send_and_receive, expect_each_value_once, model_channel};
static const struct subject conditions = {wait_and_signal, expect_nobody_waits, model_condition};

static void act(struct round *round)
{
    int actor = 1 + atomic_fetch_add(&round->actors, 1);
    struct random random = random_stream(round->seed, (uint64_t)actor);

    round->subject->act(round, actor, &random);
    (void)atomic_fetch_add(&round->ended, 1);
}

static int act_in_fiber(void *arg)
{
    act(arg);
    return 0;
}

static void *act_in_thread(void *arg)
{
    act(arg);
    return NULL;
}

static void begin_round(struct round *round, const struct subject *subject, uint64_t seed)
{
    struct random random = random_stream(seed, 0);
    int capacity = (int)random_below(&random, CAPACITY_MAX + 1);

    memset(round, 0, sizeof *round);
    round->subject = subject;
    round->seed = seed;
    round->semaphore = (weft_semaphore)WEFT_SEMAPHORE_INIT(PERMITS);
    if (random_below(&random, 2) == 0)
        round->rwlock = (weft_rwlock)WEFT_RWLOCK_INIT_PREFER_READERS;
    CHECK_EQ(
        weft_channel_init(&round->channel, sizeof *round->buffer, round->buffer, (size_t)capacity),
        0);
    if (subject == &semaphores)
        round->initial.words[0] = PERMITS;
    if (subject == &channels)
        round->initial.words[0] = capacity;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static void run_round(struct round *round)
{
    struct random random = random_stream(round->seed, ACTORS + 1);
    weft_fiber *fibers[FIBERS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, act_in_thread, round), 0);
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(act_in_fiber, round);
    for (unsigned i = random_below(&random, 20); i > 0; i--)
        (void)weft_yield();
    if (random_below(&random, 2) == 0)
        weft_cancel(fibers[random_below(&random, FIBERS)]);
    await_count(&round->ended, ACTORS);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

struct job {
    const struct subject *subject;
    uint64_t seed;
    unsigned explained, undecided;
};

static int run_rounds(void *arg)
{
    static struct round round; /* larger than what a fiber's frame should hold */
    struct job *job = arg;
    weft_time end = weft_after(30 * WEFT_SECOND);

    for (uint64_t i = 0; is_soak() ? weft_now() < end : i < ROUNDS; i++) {
        enum history_verdict verdict;

        begin_round(&round, job->subject, job->seed + i);
        run_round(&round);
        job->subject->end(&round);
        verdict = history_check(&round.history, &round.initial, job->subject->model);
        if (verdict == HISTORY_WRONG) {
            history_print(&round.history, stderr);
            check_fail(__FILE__, __LINE__, "there is no order that explains this");
        }
        job->explained += verdict == HISTORY_EXPLAINED;
        job->undecided += verdict == HISTORY_UNDECIDED;
    }
    return 0;
}

static void judge(const struct subject *subject, unsigned workers, const char *name)
{
    struct job job = {.subject = subject, .seed = random_seed(name)};
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = workers;
    config.chaos = 1 + (uint32_t)(job.seed & 0xffff);
    cr_expect_eq(run_config(&config, run_rounds, &job), 0);
    cr_expect_gt(job.explained, 9 * job.undecided, "%u of %u were too hard to judge", job.undecided,
                 job.explained + job.undecided);
}

WORKER_TEST(linearizability, of_mutexes, STRESS_TIMEOUT_S)
{
    judge(&mutexes, *workers, "mutexes");
}

WORKER_TEST(linearizability, of_semaphores, STRESS_TIMEOUT_S)
{
    judge(&semaphores, *workers, "semaphores");
}

WORKER_TEST(linearizability, of_rwlocks, STRESS_TIMEOUT_S)
{
    judge(&rwlocks, *workers, "rwlocks");
}

WORKER_TEST(linearizability, of_channels, STRESS_TIMEOUT_S)
{
    judge(&channels, *workers, "channels");
}

WORKER_TEST(linearizability, of_condition_variables, STRESS_TIMEOUT_S)
{
    judge(&conditions, *workers, "conditions");
}
