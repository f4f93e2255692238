/* SPDX-License-Identifier: MIT */
/* A small random number generator whose runs can be repeated from the printed seed. */
#ifndef WEFT_TEST_RANDOM_H
#define WEFT_TEST_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

/* The seed in WEFT_TEST_SEED, else a new one; printed with the name of the test either way. */
uint64_t random_seed(const char *test);

/* Streams of different numbers are unrelated, so that each fiber can have one of its own. */
static inline struct random random_stream(uint64_t seed, uint64_t number)
{
    return (struct random){.state = seed ^ (number * UINT64_C(0xd1342543de82ef95))};
}

static inline uint64_t random_next(struct random *random)
{
    /* SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixing function. */
    uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to limit - 1; the bias is far below what a test could notice. */
static inline unsigned random_below(struct random *random, unsigned limit)
{
    return (unsigned)(random_next(random) % limit);
}

#endif
