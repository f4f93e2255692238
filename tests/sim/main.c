/* SPDX-License-Identifier: MIT */
/*
 * Runs the built-in scenarios over many seeds, in this one process; scripts/sim.sh has the usage.
 *
 * usage: weft-sim [--from N] [--seeds N] [--faults none|all] [--bug N] [SCENARIO]...
 */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    SEED_CPU_S_MAX = 20, /* a seed takes milliseconds, and a sanitizer some hundred times that */
};

struct request {
    uint64_t from, seeds;
    int bug;
    uint32_t faults;
};

struct totals {
    uint64_t hash; /* of all runs */
    uint64_t points;
    weft_time elapsed;
    uint64_t faults;
};

static volatile sig_atomic_t is_hanging;

/* A loop without a point in it takes no virtual time: no limit of the simulation's ends it.  The
 * first time the rest of the report is the simulation's, which knows of SIGABRT. */
static void end_hang(int signal)
{
    static const char text[] = "weft-sim: a seed does not come to an end\n";

    (void)signal;
    if (is_hanging++ > 0 || write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    abort();
}

/* Processor time: that the machine is busy does not count. */
static void watch_seed(void)
{
    struct itimerval timer = {.it_value = {.tv_sec = SEED_CPU_S_MAX}};

    if (signal(SIGVTALRM, end_hang) == SIG_ERR || setitimer(ITIMER_VIRTUAL, &timer, NULL) != 0)
        abort();
}

static int run_seed(const struct scenario *scenario, const struct request *request, uint64_t seed,
                    struct totals *totals)
{
    struct weft_sim_report report = {.seed = 0};
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    int result;

    options.seed = seed;
    options.faults = request->faults;
    options.faults_for = 30 * WEFT_SECOND; /* and then all has to come to rest */
    options.limit = 600 * WEFT_SECOND;
    options.disk = SCENARIO_DISK;
    options.report = &report;
    watch_seed();
    result = weft_sim_run(&options, scenario->main_fn,
                          scenario_arg((enum scenario_bug)request->bug));
    totals->hash = (totals->hash ^ report.trace_hash) * UINT64_C(0x100000001b3);
    totals->points += report.points;
    totals->elapsed += report.elapsed;
    for (unsigned i = 0; i < 32; i++)
        totals->faults += report.faults[i];
    return result;
}

/* Returns false if a seed fails. */
static bool run_scenario(const struct scenario *scenario, const struct request *request)
{
    struct totals totals = {0};
    weft_time begun = weft_now();
    clock_t begun_cpu = clock();
    double seconds, cpu_seconds;

    for (uint64_t i = 0; i < request->seeds; i++) {
        int result = run_seed(scenario, request, request->from + i, &totals);

        if (result < 0) {
            printf("%s: seed %llu fails with %d, after %llu seeds\n", scenario->name,
                   (unsigned long long)(request->from + i), result, (unsigned long long)i);
            return false;
        }
    }
    seconds = (double)(weft_now() - begun) / 1e9;
    cpu_seconds = (double)(clock() - begun_cpu) / CLOCKS_PER_SEC; /* whatever else runs here */
    printf("%s: %llu seeds passed, %.0f seeds/s, %.0f points/s, "
           "%.0f times as fast as real (%.0f by processor time), %llu faults, hash %016llx\n",
           scenario->name, (unsigned long long)request->seeds, (double)request->seeds / seconds,
           (double)totals.points / seconds, (double)totals.elapsed / 1e9 / seconds,
           (double)totals.elapsed / 1e9 / cpu_seconds, (unsigned long long)totals.faults,
           (unsigned long long)totals.hash);
    return true;
}

static int usage(void)
{
    fprintf(stderr, "usage: weft-sim [--from N] [--seeds N] [--faults none|all] [--bug N] "
                    "[SCENARIO]...\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct request request = {1, 1000, BUG_NONE, WEFT_SIM_FAULTS_ALL};
    bool is_any = true, has_passed = true;
    int i = 1;

    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--from") == 0)
            request.from = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            request.seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--bug") == 0)
            request.bug = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--faults") == 0)
            request.faults = strcmp(argv[i + 1], "none") == 0 ? 0 : WEFT_SIM_FAULTS_ALL;
        else
            return usage();
    }
    for (; i < argc; i++) {
        const struct scenario *scenario = scenario_find(argv[i]);

        if (scenario == NULL)
            return usage();
        is_any = false;
        has_passed &= run_scenario(scenario, &request);
    }
    for (unsigned j = 0; is_any && j < scenario_count; j++)
        has_passed &= run_scenario(&scenarios[j], &request);
    return has_passed ? 0 : 1;
}
