/* SPDX-License-Identifier: MIT */
/* pthread_checks.h: a fiber that suspends while its thread holds a pthread lock is stopped. */
#define _GNU_SOURCE 1
#define WEFT_PTHREAD_CHECKS 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weft/pthread_checks.h>

enum { MANY = 9 }; /* of some the place is kept, the others are counted */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_with_mutex(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int yield_with_tried_mutex(void *arg)
{
    weft_fiber *other = must_spawn(return_zero, arg); /* somebody to make way for */

    CHECK_EQ(pthread_mutex_trylock(&mutex), 0);
    while (weft_yield() == 0)
        ;
    return must_join(other);
}

static int join_with_timed_mutex(void *arg)
{
    const struct timespec time = {.tv_sec = 1};
    weft_fiber *fiber = must_spawn(sleep_with_mutex, arg);

    CHECK_EQ(pthread_mutex_timedlock(&mutex, &time), 0);
    return weft_join(fiber, NULL, WEFT_FOREVER);
}

static int read_with_rwlock(void *arg)
{
    char byte;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    CHECK_EQ(pthread_rwlock_rdlock(&rwlock), 0);
    return (int)weft_read(fds[0], &byte, 1, WEFT_FOREVER);
}

static const struct timespec soon = {.tv_sec = 1}; /* it has passed; what is free is locked */

static int sleep_with_timed_read_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_rwlock_timedrdlock(&rwlock, &soon), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int sleep_with_timed_write_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_rwlock_timedwrlock(&rwlock, &soon), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int lock_with_rwlock(void *arg)
{
    weft_mutex other = WEFT_MUTEX_INIT;

    (void)arg;
    CHECK_EQ(weft_mutex_lock(&other, WEFT_FOREVER), 0);
    CHECK_EQ(pthread_rwlock_wrlock(&rwlock), 0);
    return weft_condition_wait(&(weft_condition)WEFT_CONDITION_INIT, &other, WEFT_FOREVER);
}

static int sleep_with_spinlock(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE), 0);
    CHECK_EQ(pthread_spin_lock(&spin), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

#ifdef pthread_mutex_clocklock /* the C library has it */
static int sleep_with_clock_mutex(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &soon), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int sleep_with_clock_read_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &soon), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int sleep_with_clock_write_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &soon), 0);
    return weft_sleep(WEFT_MILLISECOND);
}
#endif

static int sleep_with_one_of_many(void *arg)
{
    pthread_mutex_t many[MANY];

    (void)arg;
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(pthread_mutex_init(&many[i], NULL), 0);
        CHECK_EQ(pthread_mutex_lock(&many[i]), 0);
    }
    for (int i = 1; i < MANY; i++)
        CHECK_EQ(pthread_mutex_unlock(&many[i]), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

/* As a file does that is compiled without the header. */
static int sleep_with_one_after_another_was_given_back(void *arg)
{
    pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;

    (void)arg;
    CHECK_EQ((pthread_mutex_lock)(&other), 0);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&other), 0);
    return weft_sleep(WEFT_MILLISECOND);
}

static int lock_and_end(void *arg)
{
    (void)arg;
    return pthread_mutex_lock(&mutex);
}

static int end_with_mutex(void *arg)
{
    weft_fiber *fiber = must_spawn(lock_and_end, arg);

    return must_join(fiber);
}

static const struct {
    int (*fn)(void *);
    const char *words;
} mistakes[] = {
    {sleep_with_mutex, "suspends while its thread holds a pthread lock"},
    {yield_with_tried_mutex, "suspends while its thread holds a pthread lock"},
    {join_with_timed_mutex, "suspends while its thread holds a pthread lock"},
    {read_with_rwlock, "suspends while its thread holds a pthread lock"},
    {sleep_with_timed_read_lock, "suspends while its thread holds a pthread lock"},
    {sleep_with_timed_write_lock, "suspends while its thread holds a pthread lock"},
#ifdef pthread_mutex_clocklock
    {sleep_with_clock_mutex, "suspends while its thread holds a pthread lock"},
    {sleep_with_clock_read_lock, "suspends while its thread holds a pthread lock"},
    {sleep_with_clock_write_lock, "suspends while its thread holds a pthread lock"},
#endif
    {lock_with_rwlock, "suspends while its thread holds a pthread lock"},
    {sleep_with_spinlock, "suspends while its thread holds a pthread lock"},
    {sleep_with_one_of_many, "suspends while its thread holds a pthread lock"},
    {sleep_with_one_after_another_was_given_back, "suspends while its thread holds a pthread lock"},
    {end_with_mutex, "ends while its thread holds a pthread lock"},
};

enum { MISTAKE_COUNT = sizeof mistakes / sizeof *mistakes };

CHILD(make_mistake)
{
    struct weft_config config = {.workers = parameter / MISTAKE_COUNT};

    return weft_run(&config, mistakes[parameter % MISTAKE_COUNT].fn, NULL);
}

/* Each would work until another fiber wants the lock. */
WORKER_TEST(pthread_checks, holding_one_over_a_wait_aborts, TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < MISTAKE_COUNT; i++) {
        struct child_end end;

        /* Not expect_abort(): the place that is named lies in a test. */
        run_child("make_mistake", *workers * MISTAKE_COUNT + i, NULL, &end);
        cr_expect_eq(end.signal, SIGABRT, "mistake %u: %s", i, end.output);
        cr_expect_not_null(strstr(end.output, mistakes[i].words), "mistake %u: %s", i, end.output);
        cr_expect_not_null(strstr(end.output, "pthread_checks_test.c:"), "%s", end.output);
    }
}

/* The last ones are only counted, and given back first. */
static void lock_more_than_are_known(void)
{
    pthread_mutex_t many[MANY];

    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(pthread_mutex_init(&many[i], NULL), 0);
        CHECK_EQ(pthread_mutex_lock(&many[i]), 0);
    }
    for (int i = MANY - 1; i >= 0; i--)
        CHECK_EQ(pthread_mutex_unlock(&many[i]), 0);
}

static int lock_and_unlock(void *arg)
{
    const struct timespec past = {.tv_sec = 1};

    (void)arg;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(pthread_mutex_lock(&mutex), 0);
        CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
        CHECK_EQ(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
        CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
        CHECK_EQ(weft_yield(), 0);
        lock_more_than_are_known();
        CHECK_EQ(weft_yield(), 0);
        if (pthread_rwlock_trywrlock(&rwlock) == 0)
            CHECK_EQ(pthread_rwlock_unlock(&rwlock), 0);
        CHECK_EQ(pthread_rwlock_rdlock(&rwlock), 0);
        CHECK_EQ(pthread_rwlock_tryrdlock(&rwlock), 0);
        CHECK_EQ(pthread_rwlock_unlock(&rwlock), 0);
        CHECK_EQ(pthread_rwlock_unlock(&rwlock), 0);
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int lock_by_turns(void *arg)
{
    weft_fiber *fibers[20];

    for (int i = 0; i < 20; i++)
        fibers[i] = must_spawn(lock_and_unlock, arg);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Also a thread of its own may hold one for as long as it likes. */
WORKER_TEST(pthread_checks, giving_them_back_before_does_not, TEST_TIMEOUT_S)
{
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

    cr_assert_eq(pthread_mutex_lock(&own), 0);
    cr_expect_eq(run_workers(*workers, lock_by_turns, NULL), 0);
    cr_assert_eq(pthread_mutex_unlock(&own), 0);
}
