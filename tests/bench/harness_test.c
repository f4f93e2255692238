/* SPDX-License-Identifier: MIT */
/* harness/bench.h: how the benchmarks are measured, with given times. */
#include "../support/fixture.h"

#include "harness/bench_internal.h"

enum { FIRST_NS = 25 * 1000 * 1000, OPERATION_NS = 100 * 1000, SAMPLE_NS = 20 * 1000 * 1000 };

static unsigned runs;

/* As where a file is made, or threads are started, in the first run. */
static void run_with_a_slow_start(struct bench *b)
{
    b->elapsed_ns = b->batch * OPERATION_NS + (runs++ == 0 ? FIRST_NS : 0);
}

/* As where the process was off its CPU once. */
static void run_with_a_pause(struct bench *b)
{
    b->elapsed_ns = b->batch * OPERATION_NS + (runs++ == 1 ? FIRST_NS : 0);
}

static void expect_long_samples(void (*run)(struct bench *))
{
    const struct bench_case spec = {"a/b", BENCH_NS_PER_OP, 1, 1, 0, run, NULL};
    static struct measurement m;

    m = (struct measurement){.bench.spec = &spec, .wanted = 3};
    runs = 0;
    bench_measure(&m);
    cr_expect_str_empty(m.bench.failure);
    cr_expect_eq(m.taken, 3);
    cr_expect_geq(m.bench.batch * OPERATION_NS, SAMPLE_NS);
    for (unsigned i = 0; i < m.taken; i++)
        cr_expect_float_eq(m.samples[i], OPERATION_NS, 1e-6, "%f", m.samples[i]);
}

/* A first run that is long for reasons of its own left a batch of one, whose samples were shorter
 * than what the clock and one stray interrupt cost. */
Test(harness, one_run_that_was_slow_does_not_decide_the_batch, .timeout = TEST_TIMEOUT_S)
{
    expect_long_samples(run_with_a_slow_start);
    expect_long_samples(run_with_a_pause);
}

static void expect_percentile(size_t count, double share, double expected)
{
    double values[1000];

    for (size_t i = 0; i < count; i++)
        values[i] = (double)(count - i);
    cr_expect_eq(bench_percentile(values, count, share), expected, "%g of %zu", share, count);
}

/* Of 1 to n: the smallest that at least the share of them do not exceed. */
Test(harness, percentiles_are_of_the_rank_that_is_promised, .timeout = TEST_TIMEOUT_S)
{
    expect_percentile(0, 0.5, 0);
    expect_percentile(1, 0.5, 1);
    expect_percentile(2, 0.5, 1);
    expect_percentile(3, 0.5, 2);
    expect_percentile(100, 0, 1);
    expect_percentile(100, 0.5, 50);
    expect_percentile(100, 0.99, 99);
    expect_percentile(101, 0.99, 100);
    expect_percentile(1000, 0.999, 999);
    expect_percentile(1000, 1, 1000);
}
