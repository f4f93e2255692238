/* SPDX-License-Identifier: MIT */
/* rwlock.h: so many pass a writer that wakes up, and then a free lock is kept for it; but none pass
 * readers that are preferred. */
#define WEFT_LOCK_CHECKS 0

#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct shared {
    weft_rwlock lock;
    int (*try_lock)(weft_rwlock *lock);
    unsigned passes;
    _Atomic(int) reading;
    _Atomic(int) go; /* the reader may unlock */
};

static int write_once(void *arg)
{
    struct shared *shared = arg;

    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, WEFT_FOREVER), 0);
    weft_rwlock_unlock(&shared->lock);
    return 0;
}

static int try_read(weft_rwlock *lock)
{
    return weft_rwlock_try_read_lock(lock);
}

static int try_write(weft_rwlock *lock)
{
    return weft_rwlock_try_write_lock(lock);
}

/* The one worker is ours until we wait: the writer is awake and cannot run. */
static int pass_the_writer(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *writer;

    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, WEFT_FOREVER), 0);
    writer = must_spawn(write_once, shared);
    while (!has_waiters(&shared->lock.queue))
        CHECK_EQ(weft_yield(), 0);
    weft_rwlock_unlock(&shared->lock);
    while (shared->passes <= WEFT_RWLOCK_BYPASSES && shared->try_lock(&shared->lock) == 0) {
        shared->passes++;
        weft_rwlock_unlock(&shared->lock);
    }
    CHECK_EQ(weft_rwlock_try_read_lock(&shared->lock), -EBUSY);
    CHECK_EQ(weft_rwlock_try_write_lock(&shared->lock), -EBUSY);
    CHECK_EQ(must_join(writer), 0);
    CHECK_EQ(shared->try_lock(&shared->lock), 0);
    weft_rwlock_unlock(&shared->lock);
    return 0;
}

static void expect_the_bound(int (*try_lock)(weft_rwlock *lock))
{
    struct weft_config config = {.workers = 1, .monitor = 3}; /* no spare that runs the writer */
    struct shared shared = {.lock = WEFT_RWLOCK_INIT, .try_lock = try_lock};

    cr_assert_eq(run_config(&config, pass_the_writer, &shared), 0);
    cr_expect_eq(shared.passes, WEFT_RWLOCK_BYPASSES);
}

Test(rwlock_bound, so_many_readers_pass_a_writer_on_its_way, .timeout = TEST_TIMEOUT_S)
{
    expect_the_bound(try_read);
}

Test(rwlock_bound, so_many_writers_pass_a_writer_on_its_way, .timeout = TEST_TIMEOUT_S)
{
    expect_the_bound(try_write);
}

static void *read_until_told(void *arg)
{
    struct shared *shared = arg;

    CHECK_EQ(weft_rwlock_read_lock(&shared->lock, WEFT_FOREVER), 0);
    atomic_store(&shared->reading, 1);
    while (atomic_load(&shared->go) == 0)
        sched_yield();
    weft_rwlock_unlock(&shared->lock);
    return NULL;
}

/* As above; the reader is a thread, which needs no worker. */
static int write_before_the_reader(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *writer;
    pthread_t reader;

    CHECK_EQ(weft_rwlock_write_lock(&shared->lock, WEFT_FOREVER), 0);
    writer = must_spawn(write_once, shared);
    while (!has_waiters(&shared->lock.queue))
        CHECK_EQ(weft_yield(), 0);
    weft_rwlock_unlock(&shared->lock);
    CHECK_EQ(weft_rwlock_try_write_lock(&shared->lock), 0);
    CHECK_EQ(pthread_create(&reader, NULL, read_until_told, shared), 0);
    while (!has_waiters(&shared->lock.readers))
        sched_yield();
    weft_rwlock_unlock(&shared->lock);
    CHECK_EQ(weft_rwlock_try_write_lock(&shared->lock), -EBUSY);
    CHECK_EQ(weft_rwlock_try_read_lock(&shared->lock), 0);
    weft_rwlock_unlock(&shared->lock);
    while (atomic_load(&shared->reading) == 0)
        sched_yield();
    atomic_store(&shared->go, 1);
    CHECK_EQ(must_join(writer), 0);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    CHECK_EQ(shared->lock.word, 0);
    return 0;
}

/* A writer that unlocked for one on its way would leave the lock to any number of others, while the
 * reader waits for a lock that is free. */
Test(rwlock_bound, no_writer_passes_a_reader_that_is_preferred, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 3};
    struct shared shared = {.lock = WEFT_RWLOCK_INIT_PREFER_READERS};

    cr_expect_eq(run_config(&config, write_before_the_reader, &shared), 0);
}
