/* SPDX-License-Identifier: MIT */
/* mutex.h: mutexes that are locked in a circle are reported, and nothing else is. */
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

static void must_lock(weft_mutex *mutex)
{
    CHECK_EQ(weft_mutex_lock(mutex, WEFT_FOREVER), 0);
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

static const struct {
    int (*fn)(void *);
    const char *words;
} circles[] = {
    {lock_two_in_a_circle, "2 mutexes are locked in a circle"},
    {lock_three_in_a_circle, "3 mutexes are locked in a circle"},
    {lock_around_another, "2 mutexes are locked in a circle"},
    {lock_until_a_deadline, "2 mutexes are locked in a circle"},
    {lock_in_two_fibers, "2 mutexes are locked in a circle"},
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
    unsigned steps = (unsigned)(circles[i].words[0] - '0');

    run_child(name, i, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_eq(count_of(end.output, circles[i].words), 1, "circle %u: %s", i, end.output);
    cr_expect_eq(count_of(end.output, "lock order:"), 1, "once: %s", end.output);
    cr_expect_eq(count_of(end.output, ", locked at: "), steps, "%s", end.output);
    cr_expect_eq(count_of(end.output, "wanted at: "), steps, "%s", end.output);
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

static int (*const orders[])(void *) = {
    keep_an_order, try_the_other_way, unlock_the_first_before, make_others_there,
    turn_it_off,   lock_very_many,    keep_an_order_in_a_crowd};

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
