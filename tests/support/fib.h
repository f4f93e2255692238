/* SPDX-License-Identifier: MIT */
/* A tree of tasks whose sum is known. */
#ifndef WEFT_TEST_FIB_H
#define WEFT_TEST_FIB_H

#include <weft.h>

WEFT_TASK(fib, uint64_t, int)

static uint64_t fib(weft_team team, int n)
{
    struct fib_task left;
    uint64_t right;

    if (n < 2)
        return (uint64_t)n;
    fib_fork(&team, &left, n - 1);
    right = fib(team, n - 2);
    return fib_join(&team, &left) + right;
}

#endif
