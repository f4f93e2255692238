/* SPDX-License-Identifier: MIT */
/* lock_checks.h: locks that are locked in a circle are reported, and nothing else is. */
#define _GNU_SOURCE 1
#define WEFT_LOCK_CHECKS 1

#include "../support/child.h"
#include "../support/crowd.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MUTEXES = 3 };

static weft_mutex mutexes[MUTEXES];
static weft_rwlock fair[2];
static weft_rwlock preferring = WEFT_RWLOCK_INIT_PREFER_READERS;

static void must_lock(weft_mutex *mutex)
{
    CHECK_EQ(weft_mutex_lock(mutex, WEFT_FOREVER), 0);
}

static void must_read(weft_rwlock *lock)
{
    CHECK_EQ(weft_rwlock_read_lock(lock, WEFT_FOREVER), 0);
}

static void must_write(weft_rwlock *lock)
{
    CHECK_EQ(weft_rwlock_write_lock(lock, WEFT_FOREVER), 0);
}

typedef void rwlock_fn(weft_rwlock *lock);

static void lock_both_rwlocks(weft_rwlock *first, rwlock_fn *lock_first, weft_rwlock *second,
                              rwlock_fn *lock_second)
{
    lock_first(first);
    lock_second(second);
    weft_rwlock_unlock(second);
    weft_rwlock_unlock(first);
}

static void lock_mutex_first(weft_mutex *mutex, weft_rwlock *lock, rwlock_fn *fn)
{
    must_lock(mutex);
    fn(lock);
    weft_rwlock_unlock(lock);
    weft_mutex_unlock(mutex);
}

static void lock_mutex_second(weft_rwlock *lock, rwlock_fn *fn, weft_mutex *mutex)
{
    fn(lock);
    must_lock(mutex);
    weft_mutex_unlock(mutex);
    weft_rwlock_unlock(lock);
}

/* Nobody else is there, so nothing can happen: it is what could happen that is reported. */
static void lock_both(int first, int second)
{
    must_lock(&mutexes[first]);
    must_lock(&mutexes[second]);
    weft_mutex_unlock(&mutexes[second]);
    weft_mutex_unlock(&mutexes[first]);
}

static int lock_two_in_a_circle(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        lock_both(0, 1);
        lock_both(1, 0);
    }
    return 0;
}

static int lock_three_in_a_circle(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    lock_both(1, 2);
    lock_both(2, 0);
    return 0;
}

/* What is held longest, not last, closes the circle. */
static int lock_around_another(void *arg)
{
    (void)arg;
    lock_both(1, 0);
    must_lock(&mutexes[0]);
    must_lock(&mutexes[2]);
    must_lock(&mutexes[1]);
    for (int i = 0; i < MUTEXES; i++)
        weft_mutex_unlock(&mutexes[i]);
    return 0;
}

static int lock_until_a_deadline(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    must_lock(&mutexes[1]);
    CHECK_EQ(weft_mutex_lock(&mutexes[0], weft_after(WEFT_SECOND)), 0);
    weft_mutex_unlock(&mutexes[0]);
    weft_mutex_unlock(&mutexes[1]);
    return 0;
}

static int lock_second(void *arg)
{
    (void)arg;
    lock_both(1, 0);
    return 0;
}

static int lock_in_two_fibers(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    return must_join(must_spawn(lock_second, NULL));
}

static int write_and_lock(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &fair[0], must_write);
    lock_mutex_second(&fair[0], must_write, &mutexes[0]);
    return 0;
}

static int write_both(void *arg)
{
    (void)arg;
    lock_both_rwlocks(&fair[0], must_write, &preferring, must_write);
    lock_both_rwlocks(&preferring, must_write, &fair[0], must_write);
    return 0;
}

static int read_and_write_the_other(void *arg)
{
    (void)arg;
    lock_both_rwlocks(&fair[0], must_read, &preferring, must_write);
    lock_both_rwlocks(&preferring, must_read, &fair[0], must_write);
    return 0;
}

static int read_what_the_other_writes(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &preferring, must_read);
    lock_mutex_second(&preferring, must_write, &mutexes[0]);
    return 0;
}

static int read_both(void *arg)
{
    (void)arg;
    lock_both_rwlocks(&fair[0], must_read, &fair[1], must_read);
    lock_both_rwlocks(&fair[1], must_read, &fair[0], must_read);
    return 0;
}

static int read_and_lock(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &fair[0], must_read);
    lock_mutex_second(&fair[0], must_read, &mutexes[0]);
    return 0;
}

static int read_twice(void *arg)
{
    (void)arg;
    lock_both_rwlocks(&fair[0], must_read, &fair[0], must_read);
    return 0;
}

/* Who reads does not wait for who reads, but who writes does. */
static int write_what_was_read(void *arg)
{
    (void)arg;
    lock_mutex_second(&preferring, must_read, &mutexes[0]);
    lock_both(0, 1);
    lock_mutex_first(&mutexes[1], &preferring, must_read);
    lock_mutex_first(&mutexes[1], &preferring, must_write);
    return 0;
}

/* The wait gives up the first one, and wants it back while it holds the second. */
static int wait_with_another(void *arg)
{
    weft_condition never = WEFT_CONDITION_INIT;

    (void)arg;
    must_lock(&mutexes[0]);
    must_lock(&mutexes[1]);
    CHECK_EQ(weft_condition_wait(&never, &mutexes[0], weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_mutex_unlock(&mutexes[1]);
    weft_mutex_unlock(&mutexes[0]);
    return 0;
}

static const struct {
    int (*fn)(void *);
    const char *words;
    unsigned writers; /* that would have to come in between */
} circles[] = {
    {lock_two_in_a_circle, "a circle of 2;", 0},
    {lock_three_in_a_circle, "a circle of 3;", 0},
    {lock_around_another, "a circle of 2;", 0},
    {lock_until_a_deadline, "a circle of 2;", 0},
    {write_and_lock, "a circle of 2;", 0},
    {write_both, "a circle of 2;", 0},
    {read_and_write_the_other, "a circle of 2;", 0},
    {read_what_the_other_writes, "a circle of 2;", 0},
    {read_both, "a circle of 2;", 2},
    {read_and_lock, "a circle of 2;", 1},
    {read_twice, "a circle of 1;", 1},
    {write_what_was_read, "a circle of 3;", 0},
    {wait_with_another, "a circle of 2;", 0},
    {lock_in_two_fibers, "a circle of 2;", 0},
};

enum { CIRCLES = sizeof circles / sizeof *circles };

CHILD(lock_in_a_circle)
{
    return weft_run(NULL, circles[parameter].fn, NULL);
}

CHILD(lock_in_a_circle_in_a_thread)
{
    return circles[parameter].fn(NULL);
}

static unsigned count_of(const char *text, const char *words)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    return count;
}

static void expect_report(const char *name, unsigned i)
{
    struct child_end end;
    unsigned steps = (unsigned)(circles[i].words[strlen("a circle of ")] - '0');

    run_child(name, i, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_eq(count_of(end.output, circles[i].words), 1, "circle %u: %s", i, end.output);
    cr_expect_eq(count_of(end.output, "lock order:"), 1, "once: %s", end.output);
    cr_expect_eq(count_of(end.output, ", locked at: ") +
                     count_of(end.output, ", locked for reading at: "),
                 steps, "%s", end.output);
    cr_expect_eq(count_of(end.output, "was held when lock"), steps, "%s", end.output);
    cr_expect_eq(count_of(end.output, "came in between"), circles[i].writers, "circle %u: %s", i,
                 end.output);
}

/* Each would hang some day, on some machine, and so passes every test. */
Test(lock_order, a_circle_is_reported_once, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < CIRCLES; i++)
        expect_report("lock_in_a_circle", i);
}

Test(lock_order, a_circle_of_a_plain_thread_is_reported, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < CIRCLES - 1; i++)
        expect_report("lock_in_a_circle_in_a_thread", i);
}

static int keep_an_order(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        lock_both(0, 1);
        lock_both(1, 2);
        lock_both(0, 2);
    }
    return 0;
}

static int try_the_other_way(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    must_lock(&mutexes[1]);
    CHECK_EQ(weft_mutex_try_lock(&mutexes[0]), 0);
    weft_mutex_unlock(&mutexes[0]);
    CHECK_EQ(weft_mutex_lock(&mutexes[0], 0), 0);
    weft_mutex_unlock(&mutexes[0]);
    CHECK_EQ(weft_mutex_lock(&mutexes[0], weft_now() - 1), 0);
    weft_mutex_unlock(&mutexes[0]);
    weft_mutex_unlock(&mutexes[1]);
    return 0;
}

static int unlock_the_first_before(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    must_lock(&mutexes[1]);
    weft_mutex_unlock(&mutexes[1]);
    must_lock(&mutexes[0]);
    weft_mutex_unlock(&mutexes[0]);
    return 0;
}

static int make_others_there(void *arg)
{
    (void)arg;
    lock_both(0, 1);
    weft_mutex_destroy(&mutexes[0]);
    mutexes[0] = (weft_mutex)WEFT_MUTEX_INIT;
    lock_both(1, 0);
    return 0;
}

static int turn_it_off(void *arg)
{
    CHECK(weft_lock_report_order(false));
    CHECK_EQ(lock_two_in_a_circle(arg), 0);
    CHECK(!weft_lock_report_order(true));
    CHECK(weft_lock_report_order(true));
    return 0;
}

/* More than there is room for. */
static int lock_very_many(void *arg)
{
    enum { MANY = 20000 };
    weft_mutex *many = calloc(MANY, sizeof *many);

    (void)arg;
    CHECK(many != NULL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i + 1 < MANY; i++) {
            must_lock(&many[i]);
            must_lock(&many[i + 1]);
            weft_mutex_unlock(&many[i]);
            weft_mutex_unlock(&many[i + 1]);
        }
    }
    free(many);
    return 0;
}

static void lock_in_order(void *arg)
{
    (void)arg;
    for (int round = 0; round < 50; round++) {
        must_lock(&mutexes[0]);
        must_lock(&mutexes[round % 2 + 1]);
        if (weft_self() != NULL && round % 5 == 0)
            CHECK_EQ(weft_yield(), 0);
        weft_mutex_unlock(&mutexes[0]);
        weft_mutex_unlock(&mutexes[round % 2 + 1]);
    }
}

static int keep_an_order_in_a_crowd(void *arg)
{
    run_in_crowd(20, 2, lock_in_order, arg);
    return 0;
}

static int keep_an_order_of_rwlocks(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        lock_both_rwlocks(&fair[0], must_read, &fair[1], must_write);
        lock_both_rwlocks(&fair[0], must_write, &fair[1], must_read);
        lock_both_rwlocks(&fair[0], must_write, &fair[1], must_write);
        lock_mutex_second(&fair[1], must_read, &mutexes[0]);
        lock_mutex_second(&fair[0], must_write, &mutexes[0]);
    }
    return 0;
}

static int try_rwlocks_the_other_way(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &fair[0], must_write);
    CHECK_EQ(weft_rwlock_try_write_lock(&fair[0]), 0);
    CHECK_EQ(weft_mutex_try_lock(&mutexes[0]), 0);
    weft_mutex_unlock(&mutexes[0]);
    weft_rwlock_unlock(&fair[0]);
    lock_mutex_second(&fair[1], must_write, &mutexes[0]);
    must_lock(&mutexes[0]);
    CHECK_EQ(weft_rwlock_try_read_lock(&fair[1]), 0);
    weft_rwlock_unlock(&fair[1]);
    CHECK_EQ(weft_rwlock_write_lock(&fair[1], 0), 0);
    weft_rwlock_unlock(&fair[1]);
    weft_mutex_unlock(&mutexes[0]);
    return 0;
}

/* Readers that wait for nobody who reads. */
static int read_in_any_order(void *arg)
{
    weft_rwlock other = WEFT_RWLOCK_INIT_PREFER_READERS;

    (void)arg;
    lock_both_rwlocks(&preferring, must_read, &other, must_read);
    lock_both_rwlocks(&other, must_read, &preferring, must_read);
    lock_both_rwlocks(&other, must_read, &other, must_read);
    lock_mutex_first(&mutexes[0], &other, must_read);
    lock_mutex_second(&other, must_read, &mutexes[0]);
    weft_rwlock_destroy(&other);
    return 0;
}

static int go_on_as_reader(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &preferring, must_read);
    must_write(&preferring);
    weft_rwlock_downgrade(&preferring);
    must_lock(&mutexes[0]);
    weft_mutex_unlock(&mutexes[0]);
    weft_rwlock_unlock(&preferring);
    return 0;
}

static int make_other_rwlocks_there(void *arg)
{
    (void)arg;
    lock_mutex_first(&mutexes[0], &fair[0], must_write);
    weft_rwlock_destroy(&fair[0]);
    fair[0] = (weft_rwlock)WEFT_RWLOCK_INIT;
    lock_mutex_second(&fair[0], must_write, &mutexes[0]);
    return 0;
}

static int wait_in_an_order(void *arg)
{
    weft_condition never = WEFT_CONDITION_INIT;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        must_lock(&mutexes[0]);
        must_lock(&mutexes[1]);
        CHECK_EQ(weft_condition_wait(&never, &mutexes[1], weft_after(WEFT_MILLISECOND)),
                 -ETIMEDOUT);
        weft_mutex_unlock(&mutexes[1]);
        CHECK_EQ(weft_condition_wait(&never, &mutexes[0], weft_after(WEFT_MILLISECOND)),
                 -ETIMEDOUT);
        weft_mutex_unlock(&mutexes[0]);
    }
    return 0;
}

static int (*const orders[])(void *) = {keep_an_order,
                                        try_the_other_way,
                                        unlock_the_first_before,
                                        make_others_there,
                                        turn_it_off,
                                        lock_very_many,
                                        keep_an_order_in_a_crowd,
                                        keep_an_order_of_rwlocks,
                                        try_rwlocks_the_other_way,
                                        read_in_any_order,
                                        go_on_as_reader,
                                        make_other_rwlocks_there,
                                        wait_in_an_order};

CHILD(lock_in_an_order)
{
    return weft_run(NULL, orders[parameter], NULL);
}

/* A report where nothing is wrong would soon be ignored. */
Test(lock_order, an_order_is_not_reported, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct child_end end;

        run_child("lock_in_an_order", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%s", end.output);
        cr_expect_eq(count_of(end.output, "lock order:"), 0, "order %u: %s", i, end.output);
    }
}
