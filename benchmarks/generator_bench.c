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

static int answer(weft_generator *self, void *arg)
{
    uint64_t reply = 0;
    void *asked;
    int error;

    (void)arg;
    while ((error = weft_generator_yield(self, &reply, &asked)) == 0)
        reply = *(uint64_t *)asked + 1;
    return error;
}

/*
 * generator/send
 *
 * Question  What does it cost to give a generator a value and to get one back?
 * Method    a fiber sends b->batch numbers to a generator that answers each with the next one.
 * Includes  two switches, one to the generator and one back; two calls; an addition on one side, a
 *           comparison on the other.
 * Excludes  making the generator, and its first value, before which nothing can be sent.
 * Distrust  a run in which an answer is wrong fails.
 */
void bench_generator_send(struct bench *b)
{
    weft_generator *generator;
    void *value = NULL;
    uint64_t wrong = 0;

    if (weft_generator_create(&generator, answer, NULL, 0) != 0) {
        bench_fail(b, "no generator");
        return;
    }
    if (weft_generator_next(generator, &value) != 0)
        bench_fail(b, "no first value");
    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        if (weft_generator_send(generator, &i, &value) != 0 || *(uint64_t *)value != i + 1)
            wrong++;
    }
    bench_stop(b);
    weft_generator_free(generator);
    if (wrong != 0)
        bench_fail(b, "%llu answers were wrong", (unsigned long long)wrong);
}
