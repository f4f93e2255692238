/* SPDX-License-Identifier: MIT */
/*
 * As much of Criterion's interface as weft's tests use, for programs that run under an emulator:
 * runner.c says why Criterion itself does not.
 */
#ifndef WEFT_CROSS_CRITERION_H
#define WEFT_CROSS_CRITERION_H

#pragma GCC system_header

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct criterion_test_params {
    size_t size;
    void *params;
    size_t length;
    void (*cleanup)(struct criterion_test_params *params);
};

struct cross_options {
    char unused; /* so that the list of options may be empty */
    double timeout;
    int exit_code;
    void (*init)(void);
    void (*fini)(void);
};

struct cross_test {
    const char *suite, *name;
    void (*fn)(void *param);
    struct criterion_test_params (*params)(void); /* NULL: once, without a parameter */
    struct cross_options options;
    struct cross_test *next;
};

/* What all tests of a suite have in common. */
struct cross_suite {
    const char *name;
    struct cross_options options;
    struct cross_suite *next;
};

struct criterion_test_set;
struct criterion_test_set *criterion_initialize(void);
int criterion_handle_args(int argc, char **argv, bool handle_unknown);
int criterion_run_all_tests(struct criterion_test_set *set);
void criterion_finalize(struct criterion_test_set *set);

void cross_register(struct cross_test *test);
void cross_register_suite(struct cross_suite *suite);
void cross_log(const char *format, ...);
__attribute__((noreturn)) void cross_skip(const char *format, ...);
/* Reports what was expected if `ok` is false, and then ends the test if that is fatal. */
void cross_check(bool is_fatal, bool ok, const char *text, const char *file, int line,
                 const char *format, ...);

#define CROSS_TEST(parameter, suite, name, params_fn, ...)                                     \
    static void suite##_##name##_body(parameter);                                              \
    static struct cross_test suite##_##name##_test = {#suite,                                  \
                                                      #name,                                   \
                                                      (void (*)(void *))suite##_##name##_body, \
                                                      params_fn,                               \
                                                      {.unused = 0, __VA_ARGS__},              \
                                                      NULL};                                   \
    __attribute__((constructor)) static void suite##_##name##_register(void)                   \
    {                                                                                          \
        cross_register(&suite##_##name##_test);                                                \
    }                                                                                          \
    static void suite##_##name##_body(parameter)

#define Test(suite, name, ...) CROSS_TEST(void, suite, name, NULL, __VA_ARGS__)
#define TestSuite(suite, ...)                                                             \
    static struct cross_suite suite##_suite = {#suite, {.unused = 0, __VA_ARGS__}, NULL}; \
    __attribute__((constructor)) static void suite##_suite_register(void)                 \
    {                                                                                     \
        cross_register_suite(&suite##_suite);                                             \
    }                                                                                     \
    struct cross_suite

#define CROSS_CHECK(fatal, ok, text, ...) \
    cross_check(fatal, ok, text, __FILE__, __LINE__, "" __VA_ARGS__)
#define CROSS_COMPARE(fatal, a, operator, b, ...) \
    CROSS_CHECK(fatal, (a) operator(b), #a " " #operator" " #b, __VA_ARGS__)

#define cr_assert(a, ...) CROSS_CHECK(true, (bool)(a), #a, __VA_ARGS__)
#define cr_expect(a, ...) CROSS_CHECK(false, (bool)(a), #a, __VA_ARGS__)
#define cr_assert_not(a, ...) CROSS_CHECK(true, !(a), "not " #a, __VA_ARGS__)
#define cr_expect_not(a, ...) CROSS_CHECK(false, !(a), "not " #a, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) CROSS_COMPARE(true, a, ==, b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) CROSS_COMPARE(false, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) CROSS_COMPARE(true, a, !=, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) CROSS_COMPARE(false, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) CROSS_COMPARE(true, a, <, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) CROSS_COMPARE(false, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) CROSS_COMPARE(true, a, <=, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) CROSS_COMPARE(false, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) CROSS_COMPARE(true, a, >, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) CROSS_COMPARE(false, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) CROSS_COMPARE(true, a, >=, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) CROSS_COMPARE(false, a, >=, b, __VA_ARGS__)
#define cr_assert_null(a, ...) CROSS_COMPARE(true, (const void *)(a), ==, NULL, __VA_ARGS__)
#define cr_expect_null(a, ...) CROSS_COMPARE(false, (const void *)(a), ==, NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...) CROSS_COMPARE(true, (const void *)(a), !=, NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...) CROSS_COMPARE(false, (const void *)(a), !=, NULL, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) \
    CROSS_CHECK(false, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)

#define cr_skip_test(...) cross_skip("" __VA_ARGS__)
#define cr_skip cr_skip_test
#define cr_log_warn(...) cross_log(__VA_ARGS__)
#define cr_log_info(...) cross_log(__VA_ARGS__)
#define cr_malloc malloc
#define cr_free free

#endif
