/* SPDX-License-Identifier: MIT */
/*
 * The benchmark harness: weft's benchmarks and those of its C and C++ peers are measured by this
 * one piece of code, so that a difference between two rows is never one between two harnesses.
 *
 * A benchmark does `b->batch` operations between bench_start() and bench_stop(), then checks that
 * the work was done and calls bench_fail() when it was not.  The harness finds a batch that takes
 * long enough for the clock, takes samples, and prints one JSON object per benchmark.
 */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Of what the kernels of benchmarks work on: where a linker puts it shall favour nobody. */
#define BENCH_ALIGNED __attribute__((aligned(64)))

#ifdef __cplusplus
extern "C" {
#endif

enum bench_metric {
    BENCH_NS_PER_OP,       /* the batch is calibrated; a sample is its time over its operations */
    BENCH_SECONDS,         /* the batch is 1; a sample is the time of the whole */
    BENCH_BYTES_PER_FIBER, /* one sample per process, given by bench_value() */
    BENCH_REPORT,          /* one run per process, which gives each metric by bench_report() */
};

enum { BENCH_REPORTS_MAX = 9 };

struct bench_report {
    const char *metric;
    int is_higher_better;
    double value;
};

struct bench;

struct bench_case {
    const char *name; /* module/scenario/param=value */
    enum bench_metric metric;
    unsigned workers;
    unsigned ops;       /* operations per unit of the batch; 0 means 1 */
    uint64_t parameter; /* what the benchmark wants: a count of fibers, a variant */
    void (*run)(struct bench *b);
    /* Runs fn(arg) inside a runtime of so many workers; null runs it on the main thread.  All
     * samples of a benchmark share one runtime, so the first batches warm it up. */
    int (*host)(unsigned workers, int (*fn)(void *), void *arg);
};

struct bench {
    uint64_t batch; /* how many operations a sample consists of */
    int is_quick;   /* a shorter window will do */
    const struct bench_case *spec;

    /* The harness's own. */
    uint64_t started_ns;
    uint64_t elapsed_ns;
    double value;
    unsigned report_count;
    struct bench_report reports[BENCH_REPORTS_MAX];
    char failure[160];
};

void bench_start(struct bench *b);
void bench_stop(struct bench *b);

/* What lies between the two, for a BENCH_REPORT benchmark that reports a time. */
double bench_elapsed_s(const struct bench *b);

/* The sample of a benchmark whose metric is not time. */
void bench_value(struct bench *b, double value);

/* One of the results of a BENCH_REPORT benchmark; `metric` is not copied. */
void bench_report(struct bench *b, const char *metric, int is_higher_better, double value);

/* The sample is worth nothing, and why.  The first reason given is the one reported. */
__attribute__((format(printf, 2, 3))) void bench_fail(struct bench *b, const char *format, ...);

void bench_sort(double *values, size_t count);

/* Sorts `values` and returns the smallest that at least `share` (0-1) of them do not exceed; 0 of
 * none. */
double bench_percentile(double *values, size_t count, double share);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bench_now_ns(void);

/* Bytes resident in this process, page tables included (VmRSS + VmPTE of /proc/self/status);
 * 0 when they cannot be read. */
uint64_t bench_resident_bytes(void);

/* User and system time of all threads of this process, ended ones included. */
uint64_t bench_cpu_ns(void);

/* How often its living threads went to sleep in the kernel; 0 when that cannot be read. */
uint64_t bench_voluntary_switches(void);

/* The command line shared by all C and C++ benchmark programs; returns the exit status. */
int bench_main(int argc, char **argv, const char *impl, const struct bench_case *cases,
               size_t case_count);

#ifdef __cplusplus
}
#endif

#endif
