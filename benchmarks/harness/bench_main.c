/* SPDX-License-Identifier: MIT */
/* The command line of a benchmark program, and what it prints. */
#include "harness/bench_internal.h"
#include "harness/probe.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GLOBS_MAX = 64, SAMPLES_DEFAULT = 5, SAMPLES_QUICK = 2 };

struct options {
    bool is_list;
    bool is_describe;
    bool is_probe;
    bool is_quick;
    unsigned samples;
    const char *json_path;
    const char *globs[GLOBS_MAX];
    unsigned glob_count;
};

static void print_usage(FILE *out, const char *program)
{
    fprintf(out,
            "usage: %s [--list] [--only GLOB]... [--quick] [--samples N] [--json FILE]\n"
            "  --list       print the names of the benchmarks and end\n"
            "  --describe   print their names, workers and metrics and end\n"
            "  --probe      print the probe's ratio for the CPUs allowed and end\n"
            "  --only GLOB  run those whose name matches; may be given several times\n"
            "  --quick      shorter samples, fewer of them\n"
            "  --samples N  samples per benchmark, 1-%d; fewer once they have lasted a second\n"
            "  --json FILE  also write the results as a JSON array\n"
            "Each result is one JSON object per line on standard output.\n",
            program, BENCH_SAMPLES_MAX);
}

static bool parse_samples(const char *text, unsigned *samples)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > BENCH_SAMPLES_MAX) {
        fprintf(stderr, "--samples wants 1-%d, not '%s'\n", BENCH_SAMPLES_MAX, text);
        return false;
    }
    *samples = (unsigned)value;
    return true;
}

static bool add_glob(struct options *options, const char *glob)
{
    if (options->glob_count == GLOBS_MAX) {
        fprintf(stderr, "at most %d --only\n", GLOBS_MAX);
        return false;
    }
    options->globs[options->glob_count++] = glob;
    return true;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"list", no_argument, NULL, 'l'},
        {"describe", no_argument, NULL, 'd'},
        {"probe", no_argument, NULL, 'p'},
        {"only", required_argument, NULL, 'o'},
        {"quick", no_argument, NULL, 'q'},
        {"samples", required_argument, NULL, 's'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'l':
            options->is_list = true;
            break;
        case 'd':
            options->is_list = true;
            options->is_describe = true;
            break;
        case 'p':
            options->is_probe = true;
            break;
        case 'q':
            options->is_quick = true;
            break;
        case 'j':
            options->json_path = optarg;
            break;
        case 'o':
            if (!add_glob(options, optarg))
                return 2;
            break;
        case 's':
            if (!parse_samples(optarg, &options->samples))
                return 2;
            break;
        case 'h':
            print_usage(stdout, argv[0]);
            return 0;
        default:
            print_usage(stderr, argv[0]);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
        return 2;
    }
    return -1;
}

static bool is_wanted(const struct options *options, const char *name)
{
    for (unsigned i = 0; i < options->glob_count; i++) {
        if (fnmatch(options->globs[i], name, 0) == 0)
            return true;
    }
    return options->glob_count == 0;
}

static const char *metric_name(enum bench_metric metric)
{
    switch (metric) {
    case BENCH_NS_PER_OP:
        return "ns_per_op";
    case BENCH_SECONDS:
        return "s";
    case BENCH_BYTES_PER_FIBER:
        return "bytes_per_fiber";
    case BENCH_REPORT:
        break;
    }
    return "report";
}

/* One result without its closing brace, so that a line can carry the samples as well. */
static void print_row(FILE *out, const struct measurement *m, const char *impl,
                      const struct bench_report *row, const double *samples, unsigned n)
{
    const struct bench_case *spec = m->bench.spec;
    double sorted[BENCH_SAMPLES_MAX];

    memcpy(sorted, samples, n * sizeof *sorted);
    bench_sort(sorted, n);
    fprintf(out,
            "{\"bench\":\"%s\",\"metric\":\"%s\",\"impl\":\"%s\",\"workers\":%u,"
            "\"better\":\"%s\",\"median\":%.9g,\"min\":%.9g,\"max\":%.9g,\"n\":%u",
            spec->name, row->metric, impl, spec->workers,
            row->is_higher_better ? "higher" : "lower", (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
            sorted[0], sorted[n - 1], n);
}

/* The driver merges several processes, so a line carries all samples. */
static void print_line(const struct measurement *m, const char *impl,
                       const struct bench_report *row, const double *samples, unsigned n)
{
    print_row(stdout, m, impl, row, samples, n);
    printf(",\"samples\":[");
    for (unsigned i = 0; i < n; i++)
        printf("%s%.9g", i ? "," : "", samples[i]);
    puts("]}");
    fflush(stdout);
}

static void print_results(const struct measurement *m, const char *impl, FILE *json, bool is_first)
{
    /* Every metric of this harness itself is a cost. */
    struct bench_report whole = {metric_name(m->bench.spec->metric), 0, 0};
    bool is_report = m->bench.spec->metric == BENCH_REPORT;
    unsigned rows = is_report ? m->bench.report_count : 1;

    for (unsigned i = 0; i < rows; i++) {
        const struct bench_report *row = is_report ? &m->bench.reports[i] : &whole;
        const double *samples = is_report ? &row->value : m->samples;
        unsigned n = is_report ? 1 : m->taken;

        print_line(m, impl, row, samples, n);
        if (json) {
            fputs(is_first && i == 0 ? "\n" : ",\n", json);
            print_row(json, m, impl, row, samples, n);
            fputc('}', json);
        }
    }
}

/* Returns false if the benchmark failed; then nothing is printed but the reason. */
static bool run_case(const struct bench_case *spec, const struct options *options, const char *impl,
                     FILE *json, bool is_first)
{
    struct measurement *m = calloc(1, sizeof *m);
    bool is_ok;

    if (!m) {
        fprintf(stderr, "%s: out of memory\n", spec->name);
        return false;
    }
    m->bench.spec = spec;
    m->bench.is_quick = options->is_quick;
    m->wanted = options->samples;
    bench_measure(m);

    is_ok = m->bench.failure[0] == '\0';
    if (is_ok) {
        print_results(m, impl, json, is_first);
    } else {
        fprintf(stderr, "%s (%s): FAILED: %s\n", spec->name, impl, m->bench.failure);
    }
    free(m);
    return is_ok;
}

static int run_cases(const struct options *options, const char *impl,
                     const struct bench_case *cases, size_t case_count, FILE *json)
{
    unsigned matched = 0;
    unsigned succeeded = 0;

    for (size_t i = 0; i < case_count; i++) {
        if (!is_wanted(options, cases[i].name))
            continue;
        matched++;
        if (options->is_describe)
            printf("%s %u %s\n", cases[i].name, cases[i].workers, metric_name(cases[i].metric));
        else if (options->is_list)
            puts(cases[i].name);
        else
            succeeded += run_case(&cases[i], options, impl, json, succeeded == 0);
    }
    if (matched == 0) {
        fprintf(stderr, "no benchmark matches; --list shows their names\n");
        return 2;
    }
    return options->is_list || succeeded == matched ? 0 : 1;
}

int bench_main(int argc, char **argv, const char *impl, const struct bench_case *cases,
               size_t case_count)
{
    struct options options = {.samples = 0};
    FILE *json = NULL;
    int status = parse_options(argc, argv, &options);

    if (status >= 0)
        return status;
    if (options.is_probe) {
        printf("%.4f\n", bench_probe());
        return 0;
    }
    if (options.samples == 0)
        options.samples = options.is_quick ? SAMPLES_QUICK : SAMPLES_DEFAULT;
    if (options.json_path) {
        json = fopen(options.json_path, "we");
        if (!json) {
            fprintf(stderr, "%s: %s: %s\n", argv[0], options.json_path, strerror(errno));
            return 1;
        }
        fputc('[', json);
    }
    status = run_cases(&options, impl, cases, case_count, json);
    if (json) {
        fputs("\n]\n", json);
        if (fclose(json) != 0) {
            fprintf(stderr, "%s: %s: %s\n", argv[0], options.json_path, strerror(errno));
            return 1;
        }
    }
    return status;
}
