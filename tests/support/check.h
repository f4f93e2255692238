/* SPDX-License-Identifier: MIT */
/*
 * Checks for code that runs in a fiber or in a thread of the test's own.
 *
 * Criterion's assertions leave a test by longjmp to the frame that called it.  A fiber has another
 * stack on another thread, so they may be used only around weft_run(), never inside.  These checks
 * print what they saw and abort: each test is a process of its own, so exactly one test fails.
 */
#ifndef WEFT_TEST_CHECK_H
#define WEFT_TEST_CHECK_H

#include <stdbool.h>

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected) \
    check_equal((long long)(actual), (long long)(expected), #actual, #expected, __FILE__, __LINE__)

__attribute__((noreturn)) void check_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void check_true(bool condition, const char *text, const char *file, int line)
{
    if (!condition)
        check_fail(file, line, "expected: %s", text);
}

static inline void check_equal(long long actual, long long expected, const char *actual_text,
                               const char *expected_text, const char *file, int line)
{
    if (actual != expected)
        check_fail(file, line, "%s is %lld, expected %s = %lld", actual_text, actual, expected_text,
                   expected);
}

#endif
