/* SPDX-License-Identifier: MIT */
/* Criterion's tests with parameters: see criterion.h. */
#ifndef WEFT_CROSS_PARAMETERIZED_H
#define WEFT_CROSS_PARAMETERIZED_H

#pragma GCC system_header

#include <criterion/criterion.h>

#define ParameterizedTestParameters(suite, name) \
    static struct criterion_test_params suite##_##name##_params(void)

#define ParameterizedTest(parameter, suite, name, ...) \
    CROSS_TEST(parameter, suite, name, suite##_##name##_params, __VA_ARGS__)

#define CROSS_FIFTH(a, b, c, d, e, ...) e
#define CROSS_ARRAY_CLEANUP(type, array, length, cleanup)  \
    (struct criterion_test_params)                         \
    {                                                      \
        sizeof(type), (void *)(array), (length), (cleanup) \
    }
#define CROSS_ARRAY(type, array, length) CROSS_ARRAY_CLEANUP(type, array, length, NULL)
#define cr_make_param_array(...) \
    CROSS_FIFTH(__VA_ARGS__, CROSS_ARRAY_CLEANUP, CROSS_ARRAY, unused)(__VA_ARGS__)

#endif
