/* SPDX-License-Identifier: MIT */
/* weft_doctor() says what weft_run() would, and who fails says why. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a function ran although the runtime could not start");
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

CHILD(is_refused_by_both)
{
    (void)parameter;
    CHECK_EQ(weft_doctor(NULL, stdout), -EINVAL);
    CHECK_EQ(weft_run(NULL, must_not_run, NULL), -EINVAL);
    return 0;
}

CHILD(suits_both)
{
    (void)parameter;
    CHECK_EQ(weft_doctor(NULL, stdout), 0);
    CHECK_EQ(weft_run(NULL, return_zero, NULL), 0);
    return 0;
}

/* What decides a simulation is a part of the configuration where the environment asks for one. */
Test(doctor, sees_what_a_simulation_refuses, .timeout = TEST_TIMEOUT_S)
{
    static const char *const bad[] = {"WEFT_SEED=junk", "WEFT_SIM_FAULTS=thunder",
                                      "WEFT_SIM_LIMIT=soon", "WEFT_SIM_FAULTS_FOR=-1",
                                      "WEFT_SIM_DISK=relative"};
    const char *environment[] = {"WEFT_BACKEND=sim", "WEFT_SEED=7", NULL};
    struct child_end end;

    run_child("suits_both", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        environment[1] = bad[i];
        run_child("is_refused_by_both", 0, environment, &end);
        cr_expect_eq(end.exit_status, 0, "%s: %s", bad[i], end.output);
    }
    /* Elsewhere nobody reads it. */
    environment[0] = "WEFT_SEED=junk";
    environment[1] = NULL;
    run_child("suits_both", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
}

CHILD(has_no_trace)
{
    (void)parameter;
    return weft_run(NULL, must_not_run, NULL) == -ENOENT ? 0 : 1;
}

/* "No such file" alone leaves open which. */
Test(doctor, a_trace_that_cannot_be_written_is_named, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_BACKEND=sim", "WEFT_SIM_TRACE=/no/such/trace",
                                              NULL};
    struct child_end end;

    run_child("has_no_trace", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_not_null(strstr(end.output, "WEFT_SIM_TRACE=/no/such/trace"), "\"%s\"", end.output);
}

CHILD(print_report)
{
    (void)parameter;
    return weft_doctor(NULL, stdout);
}

/* Sizes are rounded up: the report says what is used. */
Test(doctor, shows_the_size_that_stacks_have, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_STACK_SIZE_KIB=17", NULL};
    struct child_end end;

    run_child("print_report", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_not_null(strstr(end.output, " 32 KiB, "), "%s", end.output);
    cr_expect_null(strstr(end.output, " 17 KiB, "), "%s", end.output);
}

static int run_within(void *arg)
{
    weft_runtime *runtime;

    CHECK_EQ(weft_run(NULL, must_not_run, arg), -EDEADLK);
    CHECK_EQ(weft_start(NULL, must_not_run, arg, &runtime), -EDEADLK);
    return 0;
}

CHILD(call_wrongly)
{
    (void)parameter;
    CHECK_EQ(weft_run(NULL, NULL, NULL), -EINVAL);
    return weft_run(NULL, run_within, NULL);
}

/* That is for who writes the program, to whom the result says it; lines are for who runs it. */
Test(doctor, mistakes_of_the_call_need_no_line, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_BACKEND=epoll", NULL};
    struct child_end end;

    run_child("call_wrongly", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_str_eq(end.output, "");
}
