/* SPDX-License-Identifier: MIT */
/* Four rows of a program's table: with as many workers as such a machine may have.  The driver
 * leaves out those for which this one has too few CPUs. */
#ifndef WEFT_BENCH_BY_WORKERS_H
#define WEFT_BENCH_BY_WORKERS_H

#define BENCH_BY_WORKERS(name, run, host)                       \
    {name "/workers=1", BENCH_SECONDS, 1, 1, 0, run, host},     \
        {name "/workers=2", BENCH_SECONDS, 2, 1, 0, run, host}, \
        {name "/workers=4", BENCH_SECONDS, 4, 1, 0, run, host}, \
    {                                                           \
        name "/workers=8", BENCH_SECONDS, 8, 1, 0, run, host    \
    }

/* All benchmarks of divided work and of loops, the same in every program that has them. */
#define BENCH_DIVIDED(host)                                                             \
    BENCH_BY_WORKERS("forkjoin/matmul/n=512", bench_forkjoin_matmul, host),             \
        BENCH_BY_WORKERS("forkjoin/integrate", bench_forkjoin_integrate, host),         \
        BENCH_BY_WORKERS("forkjoin/cilksort/n=1048576", bench_forkjoin_cilksort, host), \
        BENCH_BY_WORKERS("forkjoin/strassen/n=512", bench_forkjoin_strassen, host),     \
        BENCH_BY_WORKERS("forkjoin/knapsack/n=40", bench_forkjoin_knapsack, host)

/* The unbalanced trees.  The last, of a hundred million nodes, takes long: a report, of which a run
 * takes fewer. */
#define BENCH_TREES(host, deep_host)                                                              \
    {"forkjoin/uts/t1/workers=1", BENCH_SECONDS, 1, 1, UTS_T1, bench_forkjoin_uts, host},         \
        {"forkjoin/uts/t1/workers=2", BENCH_SECONDS, 2, 1, UTS_T1, bench_forkjoin_uts, host},     \
        {"forkjoin/uts/t3/workers=1", BENCH_SECONDS, 1, 1, 0, bench_forkjoin_uts_t3, deep_host},  \
        {"forkjoin/uts/t3/workers=2", BENCH_SECONDS, 2, 1, 0, bench_forkjoin_uts_t3, deep_host},  \
    {                                                                                             \
        "forkjoin/uts/t1l/workers=2", BENCH_REPORT, 2, 1, UTS_T1L, bench_forkjoin_uts_large, host \
    }

#define BENCH_LOOPS(host)                                                               \
    BENCH_BY_WORKERS("parallel/nbody/n=2048", bench_parallel_nbody, host),              \
        BENCH_BY_WORKERS("parallel/mandelbrot/n=256", bench_parallel_mandelbrot, host), \
        BENCH_BY_WORKERS("parallel/scan/n=4194304", bench_parallel_scan, host)

#endif
