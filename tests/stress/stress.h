/* SPDX-License-Identifier: MIT */
/* How long a randomised test goes on. */
#ifndef WEFT_TEST_STRESS_H
#define WEFT_TEST_STRESS_H

#include "../support/fixture.h"

#include <stdlib.h>

/* Four seconds for all worker counts together, or two for the one in WEFT_WORKERS; a minute for
 * each of them with WEFT_SOAK=1. */
static inline weft_time stress_end(void)
{
    if (is_soak())
        return weft_after(60 * WEFT_SECOND);
    if (worker_counts_length() == 1)
        return weft_after(2 * WEFT_SECOND);
    return weft_after(4 * WEFT_SECOND / worker_counts_length());
}

/* The same for tests that see most of what they can see within a second. */
static inline weft_time stress_end_soon(void)
{
    return is_soak() ? stress_end() : weft_after(WEFT_SECOND / worker_counts_length());
}

/* How many rounds there are at least: so many, or as many as WEFT_STRESS_ROUNDS says. */
static inline unsigned stress_rounds(unsigned usual)
{
    const char *wanted = getenv("WEFT_STRESS_ROUNDS");

    return wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : usual;
}

#endif
