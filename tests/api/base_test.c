/* SPDX-License-Identifier: MIT */
/* base.h: time, deadlines, version, and the rule that errno is left alone. */
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * WEFT_SECOND + now.tv_nsec;
}

/* A clock with another origin or unit would make every deadline that a program computes from
 * CLOCK_MONOTONIC wrong. */
Test(base, now_is_the_monotonic_clock, .timeout = TEST_TIMEOUT_S)
{
    int64_t before = monotonic_ns();
    weft_time now = weft_now();
    int64_t after = monotonic_ns();

    cr_expect_geq(now, before);
    cr_expect_leq(now, after);
}

/* A clock that steps back makes deadlines pass twice and durations negative. */
Test(base, now_never_decreases, .timeout = TEST_TIMEOUT_S)
{
    weft_time last = weft_now();

    for (int i = 0; i < 100000; i++) {
        weft_time now = weft_now();
        cr_assert_geq(now, last);
        last = now;
    }
}

/* The span is added to the time of the call, neither rounded nor doubled. */
Test(base, after_adds_to_now, .timeout = TEST_TIMEOUT_S)
{
    static const int64_t spans[] = {0, 1, -1, WEFT_MILLISECOND, -WEFT_SECOND, 86400 * WEFT_SECOND};

    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        weft_time before = weft_now();
        weft_time deadline = weft_after(spans[i]);
        weft_time after = weft_now();
        cr_expect_geq(deadline, before + spans[i]);
        cr_expect_leq(deadline, after + spans[i]);
    }
}

/* A sum that wraps around would turn "wait very long" into a deadline that passed long ago. */
Test(base, after_saturates, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_after(WEFT_FOREVER), WEFT_FOREVER);
    cr_expect_eq(weft_after(WEFT_FOREVER - 1), WEFT_FOREVER);
    cr_expect_gt(weft_after(WEFT_FOREVER / 2), weft_now());
    cr_expect_lt(weft_after(INT64_MIN), weft_now());
}

/* The units are used to build deadlines: a wrong factor is a wrong timeout everywhere. */
Test(base, units_are_nanoseconds)
{
    cr_expect_eq(WEFT_NANOSECOND, 1);
    cr_expect_eq(WEFT_MICROSECOND, 1000 * WEFT_NANOSECOND);
    cr_expect_eq(WEFT_MILLISECOND, 1000 * WEFT_MICROSECOND);
    cr_expect_eq(WEFT_SECOND, 1000 * WEFT_MILLISECOND);
}

/* Version macros and library are changed by hand in several places: they must agree. */
Test(base, version_is_that_of_the_headers)
{
    char expected[32];

    (void)snprintf(expected, sizeof expected, "%d.%d.%d", WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR,
                   WEFT_VERSION_PATCH);
    cr_expect_str_eq(WEFT_VERSION_STRING, expected);
    cr_expect_str_eq(weft_version(), expected);
}

static weft_time handler_now;
static weft_time handler_deadline;
static const char *handler_version;

static void on_signal(int number)
{
    (void)number;
    handler_now = weft_now();
    handler_deadline = weft_after(WEFT_SECOND);
    handler_version = weft_version();
}

static int raise_in_fiber(void *arg)
{
    weft_time before = weft_now();

    (void)arg;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(handler_now >= before && handler_now <= weft_now());
    CHECK(handler_deadline >= before + WEFT_SECOND);
    CHECK(handler_version && strcmp(handler_version, WEFT_VERSION_STRING) == 0);
    return 0;
}

/* These calls are documented for signal handlers: no locks, no use of the interrupted fiber. */
WORKER_TEST(base, time_and_version_work_in_a_signal_handler, TEST_TIMEOUT_S)
{
    struct sigaction action = {.sa_handler = on_signal};

    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    cr_expect_eq(run_workers(*workers, raise_in_fiber, NULL), 0);
}

static int time_never_decreases_in_fiber(void *arg)
{
    weft_time last = weft_now();

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_time now;
        CHECK_EQ(weft_yield(), 0);
        now = weft_now();
        CHECK(now >= last);
        last = now;
    }
    return 0;
}

static int spawn_time_checkers(void *arg)
{
    weft_fiber *fibers[8];

    (void)arg;
    for (int i = 0; i < 8; i++)
        fibers[i] = must_spawn(time_never_decreases_in_fiber, NULL);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A clock cached per worker would go backwards for a fiber that changes workers. */
WORKER_TEST(base, now_never_decreases_across_workers, TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = *workers;
    config.chaos = 1;
    cr_expect_eq(run_config(&config, spawn_time_checkers, NULL), 0);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Errors come back in the result, also from a plain thread: none is left to be found in errno. */
Test(base, calls_from_a_plain_thread_return_their_errors, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config bad = WEFT_CONFIG_INIT;
    struct weft_stats stats;
    uint16_t port;
    char byte;
    int listener;

    bad.workers = 100000;
    (void)unsetenv("WEFT_WORKERS");
    cr_expect_eq(weft_close(-1), -EBADF);
    cr_expect_eq(weft_listen_tcp("no address", 0), -EINVAL);
    cr_expect_eq(weft_read(0, &byte, 1, 0), -EPERM);
    cr_expect_eq(weft_stats_read(&stats), -ENOENT);
    cr_expect_eq(weft_run(&bad, do_nothing, NULL), -EINVAL);
    cr_expect_eq(weft_run(NULL, do_nothing, NULL), 0);

    listener = weft_listen_tcp("127.0.0.1", 0);
    cr_assert_geq(listener, 0);
    port = ntohs(local_address(listener).sin_port);
    cr_expect_eq(weft_listen_tcp("127.0.0.1", port), -EADDRINUSE);
    cr_expect_eq(weft_close(listener), 0);
}
