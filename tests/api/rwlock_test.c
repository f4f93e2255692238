/* SPDX-License-Identifier: MIT */
/* rwlock.h: readers and writers, fibers and plain threads. */
#define WEFT_LOCK_CHECKS 0

#include "../support/crowd.h"
#include "../support/fixture.h"
#include "../support/tally.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIBERS = 40,
    THREADS = 2,
    ROUNDS = TEST_IS_TSAN ? 60 : 300,
    BYPASSES = WEFT_RWLOCK_BYPASSES
};

static const weft_rwlock kinds[] = {WEFT_RWLOCK_INIT, WEFT_RWLOCK_INIT_PREFER_READERS};

struct shared {
    weft_rwlock lock;
    long first, second; /* under the lock, always the same: plain on purpose */
    long writes;        /* under the lock */
    _Atomic(int) order, inside, go_on;
    uint64_t timers;
};

static void run_kind(unsigned workers, int kind, int (*fn)(void *))
{
    struct shared shared = {.lock = kinds[kind]};

    cr_expect_eq(run_workers(workers, fn, &shared), 0);
    cr_expect_eq(memcmp(&shared.lock, &kinds[kind], sizeof shared.lock), 0,
                 "something was left in the lock");
    cr_expect_eq(shared.first, shared.writes);
}

static void run_both(unsigned workers, int (*fn)(void *))
{
    for (int kind = 0; kind < 2; kind++)
        run_kind(workers, kind, fn);
}

static void read_once(struct shared *shared, bool may_yield)
{
    CHECK_EQ(weft_rwlock_read_lock(&shared->lock, WEFT_FOREVER), 0);
    CHECK_EQ(shared->first, shared->second);
    if (may_yield)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(shared->first, shared->second);
    weft_rwlock_unlock(&shared->lock);
}

static void write_once(struct shared *shared, bool may_yield, bool may_downgrade)
{
    long seen;

    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, WEFT_FOREVER), 0);
    seen = shared->first++;
    if (may_yield)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(shared->first, seen + 1);
    CHECK_EQ(shared->second, seen);
    shared->second++;
    shared->writes++;
    if (may_downgrade) {
        weft_rwlock_downgrade(&shared->lock);
        CHECK_EQ(shared->first, seen + 1);
        if (may_yield)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(shared->second, seen + 1);
    }
    weft_rwlock_unlock(&shared->lock);
}

static void take_turns(void *arg)
{
    struct shared *shared = arg;
    bool may_yield = weft_self() != NULL;
    int number = may_yield ? (int)weft_fiber_id(weft_self()) : 3;

    for (int i = 0; i < ROUNDS; i++) {
        bool yields = may_yield && i % 3 == 0;

        if ((number + i) % 5 != 0)
            read_once(shared, yields);
        else
            write_once(shared, yields, i % 2 == 0);
        if (may_yield && i % 7 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
}

static int take_turns_in_all(void *arg)
{
    struct shared *shared = arg;

    run_in_crowd(FIBERS, THREADS, take_turns, shared);
    CHECK(shared->writes > FIBERS);
    return 0;
}

/* A writer that is not alone tears what another sees; a lost wake hangs. */
WORKER_TEST(rwlock, a_writer_is_alone, TEST_TIMEOUT_S)
{
    run_both(*workers, take_turns_in_all);
}

static void await_queue(struct shared *shared)
{
    while (!has_waiters(&shared->lock.queue))
        (void)weft_yield();
}

/* A wait with a deadline arms a timer when it is in its queue. */
static uint64_t timers_armed(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.timers_armed;
}

static void await_waiters(struct shared *shared, uint64_t count)
{
    while (timers_armed() - shared->timers < count)
        (void)weft_yield();
}

/* Says in which order it came in, and stays until it may go on. */
static int enter(struct shared *shared, int error)
{
    int order;

    if (error != 0)
        return error;
    order = atomic_fetch_add(&shared->order, 1);
    (void)atomic_fetch_add(&shared->inside, 1);
    while (atomic_load(&shared->go_on) <= order)
        (void)weft_yield();
    (void)atomic_fetch_sub(&shared->inside, 1);
    weft_rwlock_unlock(&shared->lock);
    return order;
}

static int enter_to_read(void *arg)
{
    struct shared *shared = arg;

    return enter(shared, weft_rwlock_read_lock(&shared->lock, weft_after(3600 * WEFT_SECOND)));
}

static int enter_to_write(void *arg)
{
    struct shared *shared = arg;

    return enter(shared, weft_rwlock_write_lock(&shared->lock, weft_after(3600 * WEFT_SECOND)));
}

static weft_fiber *queue_up(struct shared *shared, int (*fn)(void *), uint64_t place)
{
    weft_fiber *fiber = must_spawn(fn, shared);

    await_waiters(shared, place);
    return fiber;
}

static int queue_in_order(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[5];

    shared->timers = timers_armed();
    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
    fibers[0] = queue_up(shared, enter_to_read, 1);
    fibers[1] = queue_up(shared, enter_to_read, 2);
    fibers[2] = queue_up(shared, enter_to_write, 3);
    fibers[3] = queue_up(shared, enter_to_read, 4);
    fibers[4] = queue_up(shared, enter_to_write, 5);
    CHECK_EQ(atomic_load(&shared->order), 0);
    weft_rwlock_unlock(&shared->lock);
    await_count(&shared->inside, 2);
    CHECK_EQ(atomic_load(&shared->order), 2);
    atomic_store(&shared->go_on, 100);
    CHECK(must_join(fibers[0]) + must_join(fibers[1]) == 1);
    for (int i = 2; i < 5; i++)
        CHECK_EQ(must_join(fibers[i]), i);
    return 0;
}

/* Readers without a writer between them are let in together, and nobody is passed. */
WORKER_TEST(rwlock, those_who_wait_are_served_in_order, TEST_TIMEOUT_S)
{
    run_kind(*workers, 0, queue_in_order);
}

static int prefer_readers(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[4];

    shared->timers = timers_armed();
    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
    fibers[0] = queue_up(shared, enter_to_write, 1);
    fibers[1] = queue_up(shared, enter_to_read, 2);
    fibers[2] = queue_up(shared, enter_to_write, 3);
    fibers[3] = queue_up(shared, enter_to_read, 4);
    weft_rwlock_unlock(&shared->lock);
    await_count(&shared->inside, 2);
    for (int i = 0; i < 3 * BYPASSES; i++) {
        CHECK_EQ(weft_rwlock_read_lock(&shared->lock, 0), 0);
        weft_rwlock_unlock(&shared->lock);
    }
    atomic_store(&shared->go_on, 100);
    CHECK(must_join(fibers[1]) + must_join(fibers[3]) == 1);
    CHECK_EQ(must_join(fibers[0]), 2);
    CHECK_EQ(must_join(fibers[2]), 3);
    return 0;
}

WORKER_TEST(rwlock, readers_that_are_preferred_pass_every_writer, TEST_TIMEOUT_S)
{
    run_kind(*workers, 1, prefer_readers);
}

/* Twice, since the count begins anew with the next writer. */
static int pass_a_writer(void *arg)
{
    struct shared *shared = arg;

    for (int round = 0; round < 2; round++) {
        weft_fiber *writer;

        atomic_store(&shared->order, 0);
        atomic_store(&shared->go_on, 1);
        CHECK_EQ(weft_rwlock_read_lock(&shared->lock, 0), 0);
        writer = must_spawn(enter_to_write, shared);
        await_queue(shared);
        for (int i = 0; i < BYPASSES; i++) {
            CHECK_EQ(weft_rwlock_try_read_lock(&shared->lock), 0);
            weft_rwlock_unlock(&shared->lock);
        }
        CHECK_EQ(weft_rwlock_try_read_lock(&shared->lock), -EBUSY);
        CHECK_EQ(weft_rwlock_read_lock(&shared->lock, 0), -ETIMEDOUT);
        CHECK_EQ(weft_rwlock_try_write_lock(&shared->lock), -EBUSY);
        weft_rwlock_unlock(&shared->lock);
        CHECK_EQ(must_join(writer), 0);
    }
    return 0;
}

/* Readers that come again and again would keep a writer waiting for ever. */
WORKER_TEST(rwlock, a_writer_is_passed_a_bounded_number_of_times, TEST_TIMEOUT_S)
{
    run_kind(*workers, 0, pass_a_writer);
}

static int cancel_on_its_way(void *arg)
{
    struct shared *shared = arg;

    for (int round = 0; round < ROUNDS; round++) {
        weft_fiber *writer, *behind;
        bool is_held;
        int result;

        atomic_store(&shared->order, 0);
        atomic_store(&shared->go_on, 100);
        shared->timers = timers_armed();
        CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
        writer = queue_up(shared, enter_to_write, 1);
        behind = queue_up(shared, round % 2 == 0 ? enter_to_read : enter_to_write, 2);
        weft_rwlock_unlock(&shared->lock);
        is_held = weft_rwlock_try_write_lock(&shared->lock) == 0;
        weft_cancel(writer);
        if (is_held)
            weft_rwlock_unlock(&shared->lock);
        result = must_join(writer);
        CHECK(result == -ECANCELED || result == 0);
        CHECK_EQ(must_join(behind), result == 0);
    }
    return 0;
}

/* It was woken to look at the lock, and nobody else was: those behind it depend on it. */
WORKER_TEST(rwlock, a_writer_that_is_cancelled_on_its_way_passes_the_wake_on, TEST_TIMEOUT_S)
{
    run_kind(*workers, 0, cancel_on_its_way);
}

static int write_until(void *arg)
{
    struct shared *shared = arg;
    int error = weft_rwlock_write_lock(&shared->lock, weft_after(20 * WEFT_MILLISECOND));

    CHECK_EQ(error, -ETIMEDOUT);
    return error;
}

/* The caller holds the lock for reading all the time: those behind the writer can only be let in by
 * the writer that gives up. */
static int give_up_writing(void *arg)
{
    struct shared *shared = arg;

    for (int round = 0; round < 2; round++) {
        weft_fiber *writer, *readers[3];

        atomic_store(&shared->order, 0);
        atomic_store(&shared->go_on, 0);
        shared->timers = timers_armed();
        CHECK_EQ(weft_rwlock_read_lock(&shared->lock, 0), 0);
        /* The second one may have given up before anything below happens: that is as good. */
        writer = must_spawn(round == 0 ? enter_to_write : write_until, shared);
        if (round == 0)
            await_waiters(shared, 1);
        for (int i = 0; i < BYPASSES && weft_rwlock_try_read_lock(&shared->lock) == 0; i++)
            weft_rwlock_unlock(&shared->lock);
        for (int i = 0; i < 3; i++)
            readers[i] = must_spawn(enter_to_read, shared);
        if (round == 0) {
            await_waiters(shared, 4);
            CHECK_EQ(atomic_load(&shared->inside), 0);
            weft_cancel(writer);
        }
        CHECK_EQ(must_join(writer), round == 0 ? -ECANCELED : -ETIMEDOUT);
        await_count(&shared->inside, 3);
        atomic_store(&shared->go_on, 100);
        for (int i = 0; i < 3; i++)
            CHECK(must_join(readers[i]) >= 0);
        weft_rwlock_unlock(&shared->lock);
    }
    return 0;
}

WORKER_TEST(rwlock, a_writer_that_gives_up_lets_those_behind_it_go, TEST_TIMEOUT_S)
{
    run_kind(*workers, 0, give_up_writing);
}

static int downgrade_for_others(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *reader, *writer;

    shared->timers = timers_armed();
    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
    reader = queue_up(shared, enter_to_read, 1);
    writer = queue_up(shared, enter_to_write, 2);
    weft_rwlock_downgrade(&shared->lock);
    await_count(&shared->inside, 1);
    CHECK_EQ(weft_rwlock_try_write_lock(&shared->lock), -EBUSY);
    CHECK_EQ(weft_rwlock_try_read_lock(&shared->lock), 0);
    weft_rwlock_unlock(&shared->lock);
    atomic_store(&shared->go_on, 100);
    CHECK_EQ(must_join(reader), 0);
    CHECK_EQ(atomic_load(&shared->order), 1);
    weft_rwlock_unlock(&shared->lock);
    CHECK_EQ(must_join(writer), 1);
    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
    weft_rwlock_downgrade(&shared->lock);
    CHECK_EQ(weft_rwlock_read_lock(&shared->lock, 0), 0);
    weft_rwlock_unlock(&shared->lock);
    weft_rwlock_unlock(&shared->lock);
    return 0;
}

WORKER_TEST(rwlock, a_downgrade_lets_readers_in_and_no_writer, TEST_TIMEOUT_S)
{
    run_both(*workers, downgrade_for_others);
}

static int let_deadlines_pass(void *arg)
{
    weft_rwlock *lock = &((struct shared *)arg)->lock;

    CHECK_EQ(weft_rwlock_write_lock(lock, weft_now() - WEFT_SECOND), 0);
    CHECK_EQ(weft_rwlock_read_lock(lock, 0), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_read_lock(lock, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_write_lock(lock, -1), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_write_lock(lock, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_try_read_lock(lock), -EBUSY);
    CHECK_EQ(weft_rwlock_try_write_lock(lock), -EBUSY);
    weft_rwlock_unlock(lock);
    CHECK_EQ(weft_rwlock_read_lock(lock, 0), 0);
    CHECK_EQ(weft_rwlock_read_lock(lock, weft_now() - 1), 0);
    CHECK_EQ(weft_rwlock_write_lock(lock, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_write_lock(lock, 0), -ETIMEDOUT);
    CHECK_EQ(weft_rwlock_try_read_lock(lock), 0);
    for (int i = 0; i < 3; i++)
        weft_rwlock_unlock(lock);
    return 0;
}

WORKER_TEST(rwlock, a_deadline_counts_only_while_it_is_not_to_be_had, TEST_TIMEOUT_S)
{
    struct shared shared = {.lock = WEFT_RWLOCK_INIT};

    run_both(*workers, let_deadlines_pass);
    cr_expect_eq(let_deadlines_pass(&shared), 0, "a plain thread");
}

static int lock_cancelled(void *arg)
{
    weft_rwlock *lock = &((struct shared *)arg)->lock;

    weft_cancel(weft_self());
    CHECK_EQ(weft_rwlock_read_lock(lock, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rwlock_write_lock(lock, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_rwlock_read_lock(lock, WEFT_FOREVER), 0);
    weft_rwlock_unlock(lock);
    weft_rwlock_unlock(lock);
    CHECK_EQ(weft_rwlock_write_lock(lock, WEFT_FOREVER), 0);
    CHECK_EQ(weft_rwlock_read_lock(lock, WEFT_FOREVER), -ECANCELED);
    weft_rwlock_unlock(lock);
    return 0;
}

WORKER_TEST(rwlock, a_cancelled_fiber_takes_what_is_to_be_had, TEST_TIMEOUT_S)
{
    run_kind(*workers, 0, lock_cancelled);
}

/* It was handed the lock, so it must have it: nobody else was told. */
static int cancel_after_hand_over(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *waiter;
        bool writes = i % 2 == 0;

        atomic_store(&shared->order, 0);
        atomic_store(&shared->go_on, 100);
        CHECK_EQ(weft_rwlock_write_lock(&shared->lock, 0), 0);
        waiter = must_spawn(writes ? enter_to_write : enter_to_read, shared);
        while (!has_waiters(&shared->lock.queue) && !has_waiters(&shared->lock.readers))
            (void)weft_yield();
        weft_rwlock_unlock(&shared->lock);
        weft_cancel(waiter);
        (void)must_join(waiter);
        CHECK_EQ(atomic_load(&shared->order), 1);
    }
    return 0;
}

WORKER_TEST(rwlock, a_cancel_after_the_hand_over_is_too_late, TEST_TIMEOUT_S)
{
    run_both(*workers, cancel_after_hand_over);
}

struct leased {
    weft_rwlock lock;
    int users; /* under the lock */
};

static int use_and_free(void *arg)
{
    struct leased *leased = arg;
    bool is_last;

    CHECK_EQ(weft_rwlock_read_lock(&leased->lock, WEFT_FOREVER), 0);
    weft_rwlock_unlock(&leased->lock);
    CHECK_EQ(weft_rwlock_write_lock(&leased->lock, WEFT_FOREVER), 0);
    is_last = --leased->users == 0;
    weft_rwlock_unlock(&leased->lock);
    if (is_last)
        free(leased);
    return 0;
}

static int lease(void *arg)
{
    weft_fiber *fibers[3];

    for (int i = 0; i < ROUNDS; i++) {
        struct leased *leased = malloc(sizeof *leased);

        CHECK(leased != NULL);
        leased->lock = kinds[*(int *)arg];
        leased->users = 3;
        for (int j = 0; j < 3; j++)
            fibers[j] = must_spawn(use_and_free, leased);
        for (int j = 0; j < 3; j++)
            CHECK_EQ(must_join(fibers[j]), 0);
    }
    return 0;
}

/* The unlock before it may still be running. */
WORKER_TEST(rwlock, the_last_holder_may_free_it, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 2; i++)
        cr_expect_eq(run_workers(*workers, lease, &i), 0);
}
