/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <weft.h>

static int count_up(weft_generator *self, void *arg)
{
    uint64_t *count = arg;
    int error;

    do
        error = weft_generator_yield(self, ++*count ? count : NULL, NULL);
    while (error == 0);
    return error;
}

/*
 * generator/next
 *
 * Question  What does a value from a generator cost?
 * Method    a fiber asks a generator that counts for b->batch values.
 * Includes  two switches, one to the generator and one back; two calls; an addition on one side, a
 *           comparison on the other.
 * Excludes  making the generator, which the batch pays once.
 * Distrust  a run in which the numbers do not follow each other fails.
 */
void bench_generator_next(struct bench *b)
{
    weft_generator *generator;
    uint64_t count = 0;
    uint64_t wrong = 0;

    if (weft_generator_create(&generator, count_up, &count, 0) != 0) {
        bench_fail(b, "no generator");
        return;
    }
    bench_start(b);
    for (uint64_t i = 1; i <= b->batch; i++) {
        void *value = NULL;

        if (weft_generator_next(generator, &value) != 0 || *(uint64_t *)value != i)
            wrong++;
    }
    bench_stop(b);
    weft_generator_free(generator);
    if (wrong != 0)
        bench_fail(b, "%llu numbers were wrong", (unsigned long long)wrong);
}
