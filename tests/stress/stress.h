/* SPDX-License-Identifier: MIT */
/* How long a randomised test goes on. */
#ifndef WEFT_TEST_STRESS_H
#define WEFT_TEST_STRESS_H

#include "../support/fixture.h"

#include <stdlib.h>

/* Ten seconds for all worker counts together, or five for the one in WEFT_WORKERS; a minute for
 * each of them with WEFT_SOAK=1. */
static inline weft_time stress_end(void)
{
    const char *soak = getenv("WEFT_SOAK");

    if (soak && soak[0] == '1')
        return weft_after(60 * WEFT_SECOND);
    if (worker_counts_length() == 1)
        return weft_after(5 * WEFT_SECOND);
    return weft_after(10 * WEFT_SECOND / worker_counts_length());
}

/* The same for tests that see most of what they can see within a second. */
static inline weft_time stress_end_soon(void)
{
    const char *soak = getenv("WEFT_SOAK");

    return soak && soak[0] == '1' ? stress_end()
                                  : weft_after(2 * WEFT_SECOND / worker_counts_length());
}

#endif
