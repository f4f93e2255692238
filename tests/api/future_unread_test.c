/* SPDX-License-Identifier: MIT */
/* future.h: which of the errors that nobody has read are reported. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int linger(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static int linger_and_fail(void *arg)
{
    CHECK_EQ(linger(arg), -ECANCELED);
    return -EIO;
}

static int end_as_if_cancelled(void *arg)
{
    (void)arg;
    return -ECANCELED;
}

static int cancel_itself(void *arg)
{
    weft_cancel(weft_self());
    return linger(arg);
}

static int close_cancelled(int (*fn)(void *), bool has_begun)
{
    weft_future future = WEFT_FUTURE_INIT;

    CHECK_EQ(weft_future_spawn(&future, fn, NULL), 0);
    if (has_begun)
        CHECK_EQ(weft_future_await(&future, NULL, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_future_cancel(&future);
    weft_future_close(&future);
    return 0;
}

static int cancel_fiber(void *arg)
{
    (void)arg;
    return close_cancelled(linger, true) + close_cancelled(linger, false);
}

static int cancel_fiber_that_fails(void *arg)
{
    (void)arg;
    return close_cancelled(linger_and_fail, true);
}

static int close_at_once(int (*fn)(void *))
{
    weft_future future = WEFT_FUTURE_INIT;

    CHECK_EQ(weft_future_spawn(&future, fn, NULL), 0);
    weft_future_close(&future);
    return 0;
}

static int drop_its_own(void *arg)
{
    (void)arg;
    return close_at_once(end_as_if_cancelled);
}

static int drop_that_of_its_own_cancel(void *arg)
{
    (void)arg;
    return close_at_once(cancel_itself);
}

static int cancel_too_late(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;

    (void)arg;
    CHECK_EQ(weft_future_spawn(&future, end_as_if_cancelled, NULL), 0);
    while (!weft_future_is_done(&future))
        CHECK_EQ(weft_yield(), 0);
    weft_future_cancel(&future);
    weft_future_close(&future);
    return 0;
}

static int cancel_promise(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;

    (void)arg;
    weft_future_cancel(&future);
    weft_future_close(&future);
    return 0;
}

static int set_promise(void *arg)
{
    weft_future future = WEFT_FUTURE_INIT;

    (void)arg;
    CHECK_EQ(weft_future_set(&future, -ECANCELED, NULL), 0);
    weft_future_cancel(&future);
    weft_future_close(&future);
    return 0;
}

static const struct ending {
    int (*fn)(void *);
    const char *name;
    int reports;
    int code;
} endings[] = {
    {cancel_fiber, "a fiber that was cancelled", 0, 0},
    {cancel_promise, "a promise that was cancelled", 0, 0},
    {cancel_fiber_that_fails, "a fiber that failed after a cancel", 1, -EIO},
    {drop_its_own, "a fiber that was not cancelled", 1, -ECANCELED},
    {drop_that_of_its_own_cancel, "a fiber that cancelled itself", 1, -ECANCELED},
    {cancel_too_late, "a fiber that had ended", 1, -ECANCELED},
    {set_promise, "a promise that was set", 1, -ECANCELED},
};

CHILD(end_future)
{
    return weft_run(NULL, endings[parameter].fn, NULL);
}

static int count_of(const char *text, const char *words)
{
    int count = 0;

    while ((text = strstr(text, words)) != NULL) {
        text += strlen(words);
        count++;
    }
    return count;
}

/* The documented way to be done sooner must not look like a failure, nor hide one. */
Test(future_unread, an_end_that_was_asked_for_is_no_news, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof endings / sizeof *endings; i++) {
        const struct ending *ending = &endings[i];
        struct child_end end;
        char words[64];

        run_child("end_future", i, NULL, &end);
        (void)snprintf(words, sizeof words, "that nobody has read: %d\n", ending->code);
        cr_expect_eq(end.exit_status, 0, "%s: %s", ending->name, end.output);
        cr_expect_eq(count_of(end.output, "a future"), ending->reports, "%s: %s", ending->name,
                     end.output);
        cr_expect_eq(count_of(end.output, words), ending->reports, "%s: %s", ending->name,
                     end.output);
    }
    cr_expect_eq(cancel_promise(NULL), 0, "on a plain thread");
}
