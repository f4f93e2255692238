/* SPDX-License-Identifier: MIT */
/* Measuring: clocks, memory, calibration, samples.  bench_main.c has the command line. */
#include "harness/bench_internal.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A sample this long makes the clock's own cost (about 25 ns) and one stray interrupt small. */
enum { SAMPLE_NS_MIN = 20 * 1000 * 1000, SAMPLE_NS_MIN_QUICK = 5 * 1000 * 1000 };
/* Once they have taken so long together there is no further sample: long ones have little noise,
 * and another round tells more than another sample of the same process. */
enum { SAMPLING_NS_MAX = 1000 * 1000 * 1000 };

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_start(struct bench *b)
{
    b->started_ns = bench_now_ns();
}

void bench_stop(struct bench *b)
{
    b->elapsed_ns = bench_now_ns() - b->started_ns;
}

double bench_elapsed_s(const struct bench *b)
{
    return (double)b->elapsed_ns / 1e9;
}

void bench_value(struct bench *b, double value)
{
    b->value = value;
}

void bench_report(struct bench *b, const char *metric, int is_higher_better, double value)
{
    if (b->report_count == BENCH_REPORTS_MAX) {
        bench_fail(b, "more than %d reports", BENCH_REPORTS_MAX);
        return;
    }
    b->reports[b->report_count++] = (struct bench_report){metric, is_higher_better, value};
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
}

double bench_percentile(double *values, size_t count, double share)
{
    double wanted = (double)count * share; /* of the values do not exceed it */
    size_t rank = (size_t)wanted;

    if (count == 0)
        return 0;
    bench_sort(values, count);
    rank += (double)rank < wanted; /* not by ceil(), for which programs would have to link libm */
    if (rank > count)
        rank = count;
    return values[rank > 0 ? rank - 1 : 0];
}

void bench_fail(struct bench *b, const char *format, ...)
{
    va_list args;

    if (b->failure[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(b->failure, sizeof b->failure, format, args);
    va_end(args);
}

uint64_t bench_resident_bytes(void)
{
    char line[256];
    uint64_t total_kib = 0;
    FILE *status = fopen("/proc/self/status", "re");

    if (!status)
        return 0;
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            total_kib += strtoull(line + 6, NULL, 10);
    }
    fclose(status);
    return total_kib * 1024;
}

uint64_t bench_cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static uint64_t read_switches(const char *thread)
{
    static const char key[] = "voluntary_ctxt_switches:";
    char path[300], line[256];
    uint64_t switches = 0;
    FILE *status;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    status = fopen(path, "re");
    if (!status)
        return 0;
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, key, sizeof key - 1) == 0)
            switches = strtoull(line + sizeof key - 1, NULL, 10);
    }
    fclose(status);
    return switches;
}

uint64_t bench_voluntary_switches(void)
{
    DIR *threads = opendir("/proc/self/task");
    uint64_t sum = 0;
    struct dirent *entry;

    if (!threads)
        return 0;
    while ((entry = readdir(threads))) {
        if (entry->d_name[0] != '.')
            sum += read_switches(entry->d_name);
    }
    closedir(threads);
    return sum;
}

static void run_once(struct measurement *m)
{
    m->bench.elapsed_ns = 0;
    m->bench.value = 0;
    m->bench.spec->run(&m->bench);
    if (m->bench.spec->metric == BENCH_BYTES_PER_FIBER) {
        if (!(m->bench.value > 0))
            bench_fail(&m->bench, "no value was measured");
    } else if (m->bench.spec->metric == BENCH_REPORT) {
        if (m->bench.report_count == 0)
            bench_fail(&m->bench, "nothing was reported");
    } else if (m->bench.elapsed_ns == 0) {
        bench_fail(&m->bench, "nothing was timed");
    }
}

static double sample_of(const struct bench *b)
{
    unsigned ops = b->spec->ops ? b->spec->ops : 1;

    switch (b->spec->metric) {
    case BENCH_NS_PER_OP:
        return (double)b->elapsed_ns / ((double)b->batch * ops);
    case BENCH_SECONDS:
        return (double)b->elapsed_ns / 1e9;
    case BENCH_BYTES_PER_FIBER:
    case BENCH_REPORT:
        break;
    }
    return b->value;
}

/* Grows the batch until it takes long enough twice in a row: a first try pays for what happens
 * once, such as a file that is made, and one stray pause must not pass for work.  Each try is also
 * warm-up: caches of stacks and of the processor are full when the first sample begins. */
static void calibrate(struct measurement *m)
{
    uint64_t wanted_ns = m->bench.is_quick ? SAMPLE_NS_MIN_QUICK : SAMPLE_NS_MIN;
    struct bench *b = &m->bench;
    int was_long_enough = 0;

    for (;;) {
        run_once(m);
        int is_long_enough = b->elapsed_ns >= wanted_ns;

        if (b->failure[0] != '\0' || (is_long_enough && was_long_enough))
            return;
        was_long_enough = is_long_enough;
        if (is_long_enough)
            continue;
        /* Aim a little high, or the next try would often fall just short; tenfold at most, since
         * a tiny batch says little about a large one. */
        double factor = 1.2 * (double)wanted_ns / (double)b->elapsed_ns;
        b->batch = (uint64_t)((double)b->batch * (factor < 10 ? factor : 10)) + 1;
    }
}

/* The body that runs inside the host. */
static int measure_hosted(void *arg)
{
    struct measurement *m = arg;
    uint64_t spent_ns = 0;

    m->bench.batch = 1;
    if (m->bench.spec->metric == BENCH_NS_PER_OP)
        calibrate(m);
    else if (m->bench.spec->metric == BENCH_SECONDS)
        run_once(m); /* to warm up: who takes long has no other sample than the next */
    while (m->bench.failure[0] == '\0' && m->taken < m->wanted && spent_ns < SAMPLING_NS_MAX) {
        run_once(m);
        m->samples[m->taken++] = sample_of(&m->bench);
        spent_ns += m->bench.elapsed_ns;
    }
    return 0;
}

void bench_measure(struct measurement *m)
{
    const struct bench_case *spec = m->bench.spec;
    int rc;

    /* A second memory sample in one process would find what the first one left behind, and a report
     * is one of a window of seconds. */
    if (spec->metric == BENCH_BYTES_PER_FIBER || spec->metric == BENCH_REPORT)
        m->wanted = 1;
    rc = spec->host ? spec->host(spec->workers, measure_hosted, m) : measure_hosted(m);
    if (rc != 0)
        bench_fail(&m->bench, "the runtime did not start or failed: %s", strerror(-rc));
}
