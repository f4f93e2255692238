/* SPDX-License-Identifier: MIT */
/* Rows of a program's table: with as many workers as such a machine may have.  The driver leaves
 * out those for which this one has too few CPUs. */
#ifndef WEFT_BENCH_BY_WORKERS_H
#define WEFT_BENCH_BY_WORKERS_H

#define BENCH_EACH_BY_WORKERS(name, metric, ops, parameter, run, host) \
    {name "/workers=1", metric, 1, ops, parameter, run, host},         \
        {name "/workers=2", metric, 2, ops, parameter, run, host},     \
        {name "/workers=4", metric, 4, ops, parameter, run, host},     \
    {                                                                  \
        name "/workers=8", metric, 8, ops, parameter, run, host        \
    }

#define BENCH_BY_WORKERS(name, run, host) \
    BENCH_EACH_BY_WORKERS(name, BENCH_SECONDS, 1, 0, run, host)

/* All benchmarks of divided work and of loops, the same in every program that has them. */
#define BENCH_DIVIDED(host)                                                             \
    BENCH_BY_WORKERS("forkjoin/matmul/n=512", bench_forkjoin_matmul, host),             \
        BENCH_BY_WORKERS("forkjoin/integrate", bench_forkjoin_integrate, host),         \
        BENCH_BY_WORKERS("forkjoin/cilksort/n=1048576", bench_forkjoin_cilksort, host), \
        BENCH_BY_WORKERS("forkjoin/strassen/n=512", bench_forkjoin_strassen, host),     \
        BENCH_BY_WORKERS("forkjoin/knapsack/n=40", bench_forkjoin_knapsack, host)

/* The unbalanced trees. */
#define BENCH_TREES(host, deep_host)                                                              \
    BENCH_EACH_BY_WORKERS("forkjoin/uts/t1", BENCH_SECONDS, 1, UTS_T1, bench_forkjoin_uts, host), \
        BENCH_BY_WORKERS("forkjoin/uts/t3", bench_forkjoin_uts_t3, deep_host)

/* The one of a hundred million nodes takes long: a report, of which a run takes fewer. */
#define BENCH_LARGE_TREE(host)                                                                    \
    {                                                                                             \
        "forkjoin/uts/t1l/workers=2", BENCH_REPORT, 2, 1, UTS_T1L, bench_forkjoin_uts_large, host \
    }

#define BENCH_LOOPS(host)                                                               \
    BENCH_BY_WORKERS("parallel/nbody/n=2048", bench_parallel_nbody, host),              \
        BENCH_BY_WORKERS("parallel/mandelbrot/n=256", bench_parallel_mandelbrot, host), \
        BENCH_BY_WORKERS("parallel/scan/n=4194304", bench_parallel_scan, host)

#endif
