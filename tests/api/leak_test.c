/* SPDX-License-Identifier: MIT */
/* runtime.h: fibers that nobody joined or detached are reported at the end, where that is asked. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"

#include <string.h>

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(3600 * WEFT_SECOND);
}

static int forget_three(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        (void)must_spawn(return_zero, NULL);
    (void)must_spawn(sleep_for_ever, NULL); /* it is cancelled when we return */
    return 0;
}

static int forget_none(void *arg)
{
    weft_scope scope = WEFT_SCOPE_INIT;
    weft_fiber *joined = must_spawn(return_zero, arg), *detached = must_spawn(return_zero, arg);

    weft_detach(detached);
    CHECK_EQ(weft_spawn(NULL, sleep_for_ever, NULL), 0);
    CHECK_EQ(weft_scope_spawn(&scope, return_zero, NULL), 0);
    CHECK_EQ(must_join(joined), 0);
    return weft_scope_close(&scope, 0);
}

static int forget_in_two_places(void *arg)
{
    (void)arg;
    (void)must_spawn(return_zero, NULL);
    (void)must_spawn(return_zero, NULL);
    for (int i = 0; i < 100; i++) {
        weft_fiber *fiber;

        CHECK_EQ(weft_spawn(&fiber, return_zero, NULL), 0);
    }
    return 0;
}

enum { FORGET_THREE, FORGET_NONE, FORGET_MANY, BE_QUIET };

CHILD(forget)
{
    static int (*const fns[])(void *) = {forget_three, forget_none, forget_in_two_places,
                                         forget_three};
    struct weft_config config = {.leaks = parameter == BE_QUIET ? 2 : 1};

    return weft_run(&config, fns[parameter], NULL);
}

static void expect(unsigned which, const char *words)
{
    struct child_end end;

    run_child("forget", which, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    if (words != NULL) {
        cr_expect_not_null(strstr(end.output, words), "%u: %s", which, end.output);
        cr_expect_not_null(strstr(end.output, "spawned at: "), "%u: %s", which, end.output);
    } else {
        cr_expect_null(strstr(end.output, "joined"), "%u: %s", which, end.output);
    }
}

/* A handle that is lost keeps a stack: a server that does so grows until it dies. */
Test(leak, a_forgotten_fiber_is_reported, .timeout = TEST_TIMEOUT_S)
{
    expect(FORGET_THREE, "3 fibers were neither joined nor detached");
    expect(FORGET_MANY, "102 fibers were neither joined nor detached");
}

Test(leak, nothing_else_is, .timeout = TEST_TIMEOUT_S)
{
    expect(FORGET_NONE, NULL);
    expect(BE_QUIET, NULL);
}
