/* SPDX-License-Identifier: MIT */
/* Runs a function in a runtime and asserts that the runtime leaves nothing behind. */
#ifndef WEFT_TEST_FIXTURE_H
#define WEFT_TEST_FIXTURE_H

#include "check.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdbool.h>
#include <weft.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#endif

enum {
/* ThreadSanitizer keeps a context per live fiber and has room for some 8,000 of them. */
#ifdef TEST_TSAN
    TEST_IS_TSAN = 1,
    TEST_FIBERS_ALIVE_MAX = 2000,
#else
    TEST_IS_TSAN = 0,
    TEST_FIBERS_ALIVE_MAX = 20000,
#endif
/* The address space is full of shadow memory: limits on it would stop the sanitizer itself. */
#if defined(TEST_TSAN) || defined(TEST_ASAN)
    TEST_IS_SANITIZED = 1,
#else
    TEST_IS_SANITIZED = 0,
#endif
    /* Only a hang takes this long: a sanitizer on an overloaded machine stays far below. */
    TEST_TIMEOUT_S = 120,
    STRESS_TIMEOUT_S = 600,
};

/*
 * A test that runs once per worker count, with `unsigned *workers` as its parameter: 1, 2, 4 and
 * 16, or the one in WEFT_WORKERS when that is set.  Under a sanitizer 2 and 16, but for soaks.
 */
#define WORKER_TEST(suite, name, timeout_s)  \
    ParameterizedTestParameters(suite, name) \
    {                                        \
        return worker_counts();              \
    }                                        \
    ParameterizedTest(unsigned *workers, suite, name, .timeout = (timeout_s))

struct criterion_test_params worker_counts(void);

/* How many values worker_counts() has: what divides a time budget. */
unsigned worker_counts_length(void);

/* Whether tests that could go on shall: WEFT_SOAK=1. */
bool is_soak(void);

/*
 * Runs fn(arg) in a runtime and asserts that afterwards every fiber and every I/O operation is
 * accounted for, and that the process has as many descriptors and threads as before.
 *
 * Variables of the environment that would override a field which is not zero are removed.
 * Caller: the test's own thread.  Returns what weft_run() returned.
 */
int run_config(const struct weft_config *config, int (*fn)(void *), void *arg);
int run_workers(unsigned workers, int (*fn)(void *), void *arg);

/* Counters of the last run_*(). */
struct weft_stats run_stats(void);

/* Asserts what run_config() asserts, for runs that a test starts by itself. */
struct resources {
    unsigned fds;     /* without those that come and go... */
    unsigned passing; /* ...by which workers of other runtimes read their use right now */
    unsigned threads;
};
struct resources resources_now(void);
void assert_resources_return_to(struct resources before);
void assert_stats_balance(const struct weft_stats *stats);

/* In a fiber: spawn that cannot fail, join that must succeed and returns the fiber's result. */
weft_fiber *must_spawn(int (*fn)(void *), void *arg);
int must_join(weft_fiber *fiber);

/* In a fiber: yields until `*flag` is not zero. */
void await_flag(_Atomic(int) *flag);

/* Whether somebody waits at an object of the library, by the queue in it.  That is a guess: it
 * looks without the object's lock. */
bool has_waiters(void *const *queue);

/* weft_start() with so many workers. */
weft_runtime *must_start(unsigned workers, int (*fn)(void *), void *arg);

/* weft_wait(), and asserts that every fiber is accounted for.  Returns the first fiber's result. */
int must_end(weft_runtime *runtime);

#endif
