/* SPDX-License-Identifier: MIT */
/* For programs that are linked as users link theirs, without the other tests' support. */
#ifndef WEFT_TESTS_EXPECT_H
#define WEFT_TESTS_EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            (void)fprintf(stderr, "%s:%d: expected: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

/* What the doctor says; to be freed. */
char *ask_doctor(void);

#endif
