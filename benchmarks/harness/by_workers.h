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
#define BENCH_DIVIDED(host)                                                     \
    BENCH_BY_WORKERS("forkjoin/matmul/n=512", bench_forkjoin_matmul, host),     \
        BENCH_BY_WORKERS("forkjoin/integrate", bench_forkjoin_integrate, host), \
        BENCH_BY_WORKERS("forkjoin/cilksort/n=1048576", bench_forkjoin_cilksort, host)

#define BENCH_LOOPS(host)                                                               \
    BENCH_BY_WORKERS("parallel/nbody/n=2048", bench_parallel_nbody, host),              \
        BENCH_BY_WORKERS("parallel/mandelbrot/n=256", bench_parallel_mandelbrot, host), \
        BENCH_BY_WORKERS("parallel/scan/n=4194304", bench_parallel_scan, host)

#endif
