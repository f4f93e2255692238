/* SPDX-License-Identifier: MIT */
/* mutex.h: a program that breaks a rule is stopped with the rule's name. */
#define _GNU_SOURCE 1
#define WEFT_LOCK_CHECKS 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>

static weft_mutex mutex = WEFT_MUTEX_INIT;
static weft_recursive_mutex recursive = WEFT_RECURSIVE_MUTEX_INIT;

static int must_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&mutex, WEFT_FOREVER), 0);
    return 0;
}

static int must_lock_recursive(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_recursive_mutex_lock(&recursive, WEFT_FOREVER), 0);
    return 0;
}

static int lock_twice(void *arg)
{
    return must_lock(arg) + must_lock(arg);
}

static int lock_twice_with_deadline(void *arg)
{
    return must_lock(arg) + weft_mutex_lock(&mutex, 0);
}

static int unlock_free(void *arg)
{
    (void)arg;
    weft_mutex_unlock(&mutex);
    return 0;
}

static int unlock_twice(void *arg)
{
    must_lock(arg);
    weft_mutex_unlock(&mutex);
    weft_mutex_unlock(&mutex);
    return 0;
}

static int unlock_of_another(void *arg)
{
    weft_fiber *fiber = must_spawn(must_lock, arg);

    /* Joined later: its record could become that of another fiber. */
    while (weft_mutex_try_lock(&mutex) == 0) {
        weft_mutex_unlock(&mutex);
        (void)weft_yield();
    }
    weft_mutex_unlock(&mutex);
    return must_join(fiber);
}

static int destroy_locked(void *arg)
{
    must_lock(arg);
    weft_mutex_destroy(&mutex);
    return 0;
}

static int lock_destroyed(void *arg)
{
    weft_mutex_destroy(&mutex);
    return must_lock(arg);
}

static int try_destroyed(void *arg)
{
    (void)arg;
    weft_mutex_destroy(&mutex);
    return weft_mutex_try_lock(&mutex);
}

/* As programs do that are compiled with NDEBUG. */
static int try_destroyed_unchecked(void *arg)
{
    (void)arg;
    weft_mutex_destroy(&mutex);
    return (weft_mutex_try_lock)(&mutex);
}

static int unlock_destroyed(void *arg)
{
    weft_mutex_destroy(&mutex);
    return unlock_free(arg);
}

static int destroy_twice(void *arg)
{
    (void)arg;
    weft_mutex_destroy(&mutex);
    weft_mutex_destroy(&mutex);
    return 0;
}

static int unlock_recursive_of_another(void *arg)
{
    weft_fiber *fiber = must_spawn(must_lock_recursive, arg);

    while (weft_recursive_mutex_try_lock(&recursive) == 0) {
        weft_recursive_mutex_unlock(&recursive);
        (void)weft_yield();
    }
    weft_recursive_mutex_unlock(&recursive);
    return must_join(fiber);
}

static int unlock_recursive_too_often(void *arg)
{
    must_lock_recursive(arg);
    must_lock_recursive(arg);
    for (int i = 0; i < 3; i++)
        weft_recursive_mutex_unlock(&recursive);
    return 0;
}

static const weft_fiber *ended; /* which held the lock */

static int lock_and_end(void *arg)
{
    int (*lock)(void *) = *(int (**)(void *))arg;

    ended = weft_self();
    return lock(NULL);
}

static int unlock_in_its_place(void *arg)
{
    int (*unlock)(void *) = *(int (**)(void *))arg;

    return weft_self() == ended ? unlock(NULL) : 0;
}

/* Where the fiber was that locked comes another sooner or later, which holds nothing. */
static int unlock_after_its_end(int (*lock)(void *), int (*unlock)(void *))
{
    CHECK_EQ(must_join(must_spawn(lock_and_end, &lock)), 0);
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(must_join(must_spawn(unlock_in_its_place, &unlock)), 0);
    return 0;
}

static int unlock_recursive(void *arg)
{
    (void)arg;
    weft_recursive_mutex_unlock(&recursive);
    return 0;
}

static int unlock_of_one_that_ended(void *arg)
{
    (void)arg;
    return unlock_after_its_end(must_lock, unlock_free);
}

static int unlock_recursive_of_one_that_ended(void *arg)
{
    (void)arg;
    return unlock_after_its_end(must_lock_recursive, unlock_recursive);
}

static const struct {
    int (*fn)(void *);
    const char *words;
} mistakes[] = {
    {lock_twice, "has locked the mutex"},
    {lock_twice_with_deadline, "has locked the mutex"},
    {unlock_free, "is not locked"},
    {unlock_twice, "is not locked"},
    {unlock_of_another, "was locked by another"},
    {unlock_of_one_that_ended, "was locked by another"},
    {unlock_recursive_of_one_that_ended, "has not locked"},
    {destroy_locked, "is locked"},
    {lock_destroyed, "was destroyed"},
    {try_destroyed, "weft_mutex_try_lock: the mutex"},
    {try_destroyed_unchecked, "was destroyed"},
    {unlock_destroyed, "was destroyed"},
    {destroy_twice, "was destroyed"},
    {unlock_recursive_of_another, "has not locked"},
    {unlock_recursive_too_often, "has not locked"},
};

enum { MISTAKE_COUNT = sizeof mistakes / sizeof *mistakes };

CHILD(make_mistake)
{
    struct weft_config config = {.workers = parameter / MISTAKE_COUNT};

    return weft_run(&config, mistakes[parameter % MISTAKE_COUNT].fn, NULL);
}

/* Each of these would corrupt what the mutex guards, or wait for ever. */
WORKER_TEST(mutex_rules, breaking_one_aborts, TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < MISTAKE_COUNT; i++)
        expect_abort("make_mistake", *workers * MISTAKE_COUNT + i, mistakes[i].words);
}

static int lock_by_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        must_lock(NULL);
        CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY);
        if (i % 3 == 0)
            CHECK_EQ(weft_yield(), 0);
        weft_mutex_unlock(&mutex);
    }
    return 0;
}

static int lock_by_turns_in_fibers(void *arg)
{
    weft_fiber *fibers[20];

    for (int i = 0; i < 20; i++)
        fibers[i] = must_spawn(lock_by_turns, arg);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A check that cries where nothing is wrong would be turned off. */
WORKER_TEST(mutex_rules, keeping_them_does_not, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, lock_by_turns_in_fibers, NULL), 0);
    weft_mutex_destroy(&mutex);
}
