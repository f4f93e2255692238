/* SPDX-License-Identifier: MIT */
/* See weft/sim.h.  A simulated run is weft_run() on a simulated thread. */
#include <weft/sim.h>

#include "arch/sim.h"
#include "runtime/alloc.h"
#include "runtime/chaos.h"
#include "runtime/config.h"
#include "runtime/model.h"
#include "runtime/sim.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DAY (86400 * WEFT_SECOND)

enum { WORKERS_DRAWN_MAX = 8 };

static const char *const fault_names[] = {
    "stall",       "wakeup", "late",      "short",    "reset",       "partition",
    "half_open",   "refuse", "io_error",  "no_space", "torn",        "overflow",
    "late_cancel", "lose",   "duplicate", "reorder",  "cancel_first"};
enum { FAULT_NAMES = sizeof fault_names / sizeof fault_names[0] };

_Static_assert(WEFT_SIM_FAULTS_ALL == (1 << FAULT_NAMES) - 1, "each kind has its name");

struct run {
    const struct weft_config *config;
    int (*fn)(void *);
    void *arg;
    const struct wf_sim_settings *settings;
    uint32_t workers;
    bool is_quiet;
    int result;
};

/* Of the run under way; only its host looks. */
static struct run *current_run;

/* 1 if the variable is set, 0 if it is not (or is empty), -EINVAL if it is no number. */
static int read_number(const char *variable, uint64_t *value)
{
    const char *text = getenv(variable);
    unsigned long long number;
    char *end;

    if (text == NULL || *text == '\0')
        return 0;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || !isdigit((unsigned char)*text)) {
        wf_complain("%s=%s is not a number", variable, text);
        return -EINVAL;
    }
    *value = number;
    return 1;
}

static int read_duration(const char *variable, int64_t *value)
{
    uint64_t number = 0;
    int set = read_number(variable, &number);

    if (set > 0)
        *value = number < INT64_MAX ? (int64_t)number : INT64_MAX;
    return set;
}

/* The kinds in a list of names; -EINVAL if one has no such name. */
static int read_faults(const char *text, uint64_t *faults)
{
    *faults = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        uint64_t found = 0;

        for (unsigned i = 0; i < FAULT_NAMES; i++)
            if (strlen(fault_names[i]) == length && memcmp(text, fault_names[i], length) == 0)
                found = UINT64_C(1) << i;
        if (length == 3 && memcmp(text, "all", length) == 0)
            found = WEFT_SIM_FAULTS_ALL;
        if (found == 0 && (length != 4 || memcmp(text, "none", length) != 0)) {
            wf_complain("WEFT_SIM_FAULTS: there is no kind of fault '%.*s'", (int)length, text);
            return -EINVAL;
        }
        *faults |= found;
        text += length;
        text += *text == ',';
    }
    return 0;
}

static int check(const struct weft_sim_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != 0)
            return -EINVAL;
    if ((options->faults & ~(uint32_t)WEFT_SIM_FAULTS_ALL) != 0 || options->fault_ppm > 1000000 ||
        options->is_quiet > 1 || options->faults_for < 0 || options->limit < 0 ||
        options->workers > 64) {
        wf_complain("a field of struct weft_sim_options is out of range");
        return -EINVAL;
    }
    return 0;
}

static const char *disk_of(const struct weft_sim_options *options)
{
    const char *path = options->disk != NULL ? options->disk : getenv("WEFT_SIM_DISK");

    return path != NULL && *path != '\0' ? path : NULL;
}

/* In the one form that paths are compared in. */
static int check_disk(const char *path)
{
    size_t length = path != NULL ? strlen(path) : 0;

    if (path == NULL ||
        (length > 1 && length < PATH_MAX && path[0] == '/' && path[length - 1] != '/' &&
         strstr(path, "//") == NULL && strstr(path, "/.") == NULL))
        return 0;
    wf_complain("the simulated disk needs an absolute path without '.' and '..', not '%s'", path);
    return -EINVAL;
}

static int resolve(const struct weft_sim_options *options, struct wf_sim_settings *settings)
{
    const char *faults = getenv("WEFT_SIM_FAULTS");
    int error = check(options);

    if (error == 0)
        error = check_disk(disk_of(options));
    *settings = (struct wf_sim_settings){
        .seed = options->seed,
        .faults = options->faults,
        .fault_ppm = options->fault_ppm,
        .faults_until = options->faults_for != 0 ? options->faults_for : INT64_MAX,
        .limit = options->limit != 0 ? options->limit : DAY,
        .stall_fault = WEFT_SIM_STALL,
        .wakeup_fault = WEFT_SIM_WAKEUP,
        .trace = options->trace,
        .disk = disk_of(options),
    };
    if (error == 0 && faults != NULL && *faults != '\0')
        error = read_faults(faults, &settings->faults);
    if (error == 0 && (read_number("WEFT_SEED", &settings->seed) < 0 ||
                       read_duration("WEFT_SIM_FAULTS_FOR", &settings->faults_until) < 0 ||
                       read_duration("WEFT_SIM_LIMIT", &settings->limit) < 0))
        error = -EINVAL;
    return error;
}

int wf_sim_check(void)
{
    static const struct weft_sim_options none = WEFT_SIM_OPTIONS_INIT;
    struct wf_sim_settings settings;

    return resolve(&none, &settings);
}

void wf_sim_configure(struct weft_config *config)
{
    config->backend = WEFT_BACKEND_SIM;
    config->pin = 2;
    config->overflow_report = WF_OVERFLOW_REPORT_OFF;
    config->stall_report_ms = UINT32_MAX;
    if (current_run->workers != 0 && getenv("WEFT_WORKERS") == NULL)
        config->workers = current_run->workers;
    if (config->workers == 0)
        config->workers = 1 + wf_sim_draw(WF_SIM_SCHEDULE, WORKERS_DRAWN_MAX);
    if (config->chaos == 0 && wf_sim_draw(WF_SIM_SCHEDULE, 2) == 0)
        config->chaos = 1 + wf_sim_draw(WF_SIM_SCHEDULE, UINT32_MAX);
    if (config->ring_entries == WF_RING_ENTRIES) /* few: so that they are full now and then */
        config->ring_entries = (uint32_t)WF_RING_ENTRIES_MIN << wf_sim_draw(WF_SIM_SCHEDULE, 4);
    current_run->workers = config->workers;
}

static void report_failure(int result, const struct wf_sim_settings *settings,
                           const struct wf_sim_report *totals)
{
    char kinds[256] = "";
    size_t length = 0;

    for (unsigned i = 0; i < FAULT_NAMES; i++)
        if ((settings->faults >> i & 1) != 0)
            length += (size_t)snprintf(kinds + length, sizeof kinds - length, "%s%s",
                                       length > 0 ? "," : "", fault_names[i]);
    wf_complain("simulation fails with %d (%s) after %" PRIu64 " events and %" PRId64
                " ns; again by WEFT_SEED=%" PRIu64 " WEFT_SIM_FAULTS=%s",
                result, strerror(-result), totals->events, totals->elapsed, settings->seed,
                length > 0 ? kinds : "none");
    wf_sim_print_last();
}

/* Whatever the program dies of: an assertion of its own, a broken rule, a bad address. */
static const int deaths[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { DEATHS = sizeof deaths / sizeof deaths[0] };
static struct sigaction old_actions[DEATHS];

static void leave_deaths(void)
{
    for (unsigned i = 0; i < DEATHS; i++)
        (void)sigaction(deaths[i], &old_actions[i], NULL);
}

static void die(int signal)
{
    wf_complain("simulation: killed by signal %d; again by WEFT_SEED=%" PRIu64, signal,
                current_run->settings->seed);
    wf_sim_print_last();
    leave_deaths();
    (void)raise(signal);
}

static void watch_deaths(void)
{
    struct sigaction action = {.sa_handler = die, .sa_flags = SA_NODEFER};

    for (unsigned i = 0; i < DEATHS; i++)
        (void)sigaction(deaths[i], &action, &old_actions[i]);
}

static void note_end(int error, void *arg, const struct wf_sim_report *totals)
{
    struct run *run = arg;

    if (error != 0)
        leave_deaths(); /* else its first thread has done so */
    else
        error = run->result;
    if (error < 0 && !run->is_quiet)
        report_failure(error, run->settings, totals);
}

static void run_first_thread(void *arg)
{
    struct run *run = arg;

    current_run = run;
    wf_chaos_begin_points();
    watch_deaths();
    run->result = weft_run(run->config, run->fn, run->arg);
    leave_deaths();
}

static void fill_report(struct weft_sim_report *report, const struct wf_sim_report *totals,
                        uint64_t seed, uint32_t workers)
{
    *report = (struct weft_sim_report){
        .seed = seed,
        .trace_hash = totals->hash,
        .trace_events = totals->events,
        .points = totals->points,
        .switches = totals->switches,
        .elapsed = totals->elapsed,
        .workers = workers,
    };
    memcpy(report->faults, totals->faults, sizeof report->faults);
}

static int simulate(const struct weft_sim_options *options, struct wf_sim_settings *settings,
                    struct run *run)
{
    struct wf_sim_report totals = {0};
    int error;

    settings->at_end = note_end;
    error = wf_sim_execute(settings, run_first_thread, run, &totals);
    if (error == -EBUSY || error == -EAGAIN)
        return error;
    if (options->report != NULL)
        fill_report(options->report, &totals, settings->seed, run->workers);
    return error != 0 ? error : run->result;
}

int weft_sim_run(const struct weft_sim_options *options, int (*fn)(void *), void *arg)
{
    static const struct weft_sim_options none = WEFT_SIM_OPTIONS_INIT;
    struct wf_sim_settings settings;
    const char *path = getenv("WEFT_SIM_TRACE");
    struct run run = {.fn = fn, .arg = arg, .settings = &settings};
    FILE *trace = NULL;
    int error;

    if (options == NULL)
        options = &none;
    if (fn == NULL)
        return -EINVAL;
    if (wf_self() != NULL || wf_sim_is_here())
        return -EDEADLK;
    error = resolve(options, &settings);
    if (error == 0)
        error = wf_alloc_check(); /* which decides something once per process */
    if (error == 0)
        error = wf_check_shadow_stack();
    if (error != 0)
        return error;
    run.config = options->config;
    run.workers = options->workers;
    run.is_quiet = options->is_quiet != 0;
    if (settings.trace == NULL && path != NULL && *path != '\0') {
        trace = fopen(path, "we");
        if (trace == NULL) {
            error = -errno;
            wf_complain("WEFT_SIM_TRACE=%s: %s", path, strerror(-error));
            return error;
        }
        settings.trace = trace;
    }
    error = simulate(options, &settings, &run);
    if (trace != NULL)
        (void)fclose(trace);
    return error;
}

bool wf_sim_is_wanted(const struct weft_config *config)
{
    const char *text = getenv("WEFT_BACKEND");

    if (wf_sim_is_here())
        return false;
    if (text != NULL && *text != '\0')
        return strcmp(text, "sim") == 0 || strcmp(text, "4") == 0;
    return config != NULL && config->backend == WEFT_BACKEND_SIM;
}

int wf_sim_run_config(const struct weft_config *config, int (*fn)(void *), void *arg)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.config = config;
    return weft_sim_run(&options, fn, arg);
}

int weft_sim_is_on(void)
{
    return wf_sim_is_here();
}

uint64_t weft_sim_random(void)
{
    uint64_t high;

    if (!wf_sim_is_here())
        return 0;
    high = wf_sim_draw(WF_SIM_PROGRAM, UINT32_MAX);
    return high << 32 | wf_sim_draw(WF_SIM_PROGRAM, UINT32_MAX);
}
