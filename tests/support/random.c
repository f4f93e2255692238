/* SPDX-License-Identifier: MIT */
#include "random.h"

#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t random_seed(const char *test)
{
    const char *text = getenv("WEFT_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    if (text) {
        seed = strtoull(text, NULL, 0);
    } else {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = ((uint64_t)now.tv_nsec << 20) ^ (uint64_t)now.tv_sec ^ ((uint64_t)getpid() << 40);
    }
    (void)fprintf(stderr, "%s: WEFT_TEST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}
