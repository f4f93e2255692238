/* SPDX-License-Identifier: MIT */
/* lock_checks.h: of two circles that one call makes, the second one is reported by the next call.
 */
#define WEFT_LOCK_CHECKS 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <stdio.h>
#include <string.h>

static weft_mutex first = WEFT_MUTEX_INIT;
static weft_mutex second = WEFT_MUTEX_INIT;
static weft_mutex last = WEFT_MUTEX_INIT;

static void must_lock(weft_mutex *mutex)
{
    CHECK_EQ(weft_mutex_lock(mutex, WEFT_FOREVER), 0);
}

static void lock_both(weft_mutex *outer, weft_mutex *inner)
{
    must_lock(outer);
    must_lock(inner);
    weft_mutex_unlock(inner);
    weft_mutex_unlock(outer);
}

CHILD(close_two_circles)
{
    (void)parameter;
    lock_both(&last, &first);
    lock_both(&last, &second);
    must_lock(&first);
    lock_both(&second, &last);
    weft_mutex_unlock(&first);
    fprintf(stderr, "second\n");
    lock_both(&second, &last);
    fprintf(stderr, "third\n");
    lock_both(&second, &last);
    return 0;
}

static unsigned count_reports(const char *from, const char *to)
{
    unsigned count = 0;

    for (; (from = strstr(from, "lock order:")) != NULL && from < to; from++)
        count++;
    return count;
}

/* The two are mistakes of their own: whoever mends the first must hear of the second. */
Test(lock_order_second, a_second_circle_is_not_lost, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;
    const char *next, *third;

    run_child("close_two_circles", 0, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_assert_not_null(next = strstr(end.output, "second\n"), "%s", end.output);
    cr_assert_not_null(third = strstr(next, "third\n"), "%s", end.output);
    cr_expect_eq(count_reports(end.output, next), 1, "%s", end.output);
    cr_expect_eq(count_reports(next, third), 1, "%s", end.output);
    cr_expect_eq(count_reports(third, third + strlen(third)), 0, "%s", end.output);
}
