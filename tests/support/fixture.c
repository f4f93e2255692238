/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void free_counts(struct criterion_test_params *params)
{
    cr_free(params->params);
}

/* A sanitizer takes several times as long for each: as many workers as most test machines have
 * processors, and many more than that, unless there is time. */
static bool are_counts_few(void)
{
    return TEST_IS_SANITIZED && !is_soak();
}

struct criterion_test_params worker_counts(void)
{
    static const unsigned all[] = {1, 2, 4, 16}, few[] = {2, 16};
    unsigned length = worker_counts_length();
    /* Criterion hands parameters to the test's process, which works for its own heap only. */
    unsigned *counts = cr_malloc(sizeof all);

    for (unsigned i = 0; i < length; i++)
        counts[i] = are_counts_few() ? few[i] : all[i];
    if (getenv("WEFT_WORKERS"))
        counts[0] = (unsigned)strtoul(getenv("WEFT_WORKERS"), NULL, 10);
    return cr_make_param_array(unsigned, counts, length, free_counts);
}

unsigned worker_counts_length(void)
{
    if (getenv("WEFT_WORKERS"))
        return 1;
    return are_counts_few() ? 2 : 4;
}

bool is_soak(void)
{
    const char *soak = getenv("WEFT_SOAK");

    return soak && soak[0] == '1';
}

/* Now and then a worker of another runtime reads how much it has run. */
static bool is_passing(int directory, const char *name)
{
    static const char end[] = "/schedstat";
    char target[128];
    ssize_t length = readlinkat(directory, name, target, sizeof target);
    ssize_t start = length - (ssize_t)(sizeof end - 1);

    if (length < 0)
        return errno == ENOENT; /* closed since we were told its name */
    return start >= 0 && memcmp(target + start, end, sizeof end - 1) == 0;
}

static unsigned count_entries(const char *path, unsigned *passing)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    unsigned count = 0;

    cr_assert_not_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        bool passes = is_passing(dirfd(directory), entry->d_name);

        count += !passes;
        *passing += passes;
    }
    (void)closedir(directory);
    return count;
}

struct resources resources_now(void)
{
    struct resources now = {.passing = 0};

    now.fds = count_entries("/proc/self/fd", &now.passing);
    now.threads = count_entries("/proc/self/task", &now.passing);
    return now;
}

void assert_resources_return_to(struct resources before)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct resources now = resources_now();

    /* A joined thread leaves /proc a moment after its joiner has gone on, and so do the kernel's
     * helper threads of a closed ring; only a leak keeps the count up for ten seconds. */
    for (int i = 0; i < 10000 && (now.threads > before.threads || now.passing > 0); i++) {
        (void)nanosleep(&pause, NULL);
        now = resources_now();
    }
    cr_assert_eq(now.threads, before.threads, "threads: %u before the run, %u after it",
                 before.threads, now.threads);
    cr_assert_eq(now.fds, before.fds, "descriptors: %u before the run, %u after it", before.fds,
                 now.fds);
    cr_assert_eq(now.passing, 0, "%u descriptors of schedstat stay open", now.passing);
}

void assert_stats_balance(const struct weft_stats *stats)
{
    unsigned long long spawned = stats->fibers_spawned;

    cr_assert_gt(spawned, 0, "not even the first fiber was counted");
    cr_assert_eq(stats->fibers_started, spawned, "of %llu fibers %llu started", spawned,
                 (unsigned long long)stats->fibers_started);
    cr_assert_eq(stats->fibers_finished, spawned, "of %llu fibers %llu finished", spawned,
                 (unsigned long long)stats->fibers_finished);
    cr_assert_eq(stats->fibers_freed, spawned, "of %llu fibers %llu were freed", spawned,
                 (unsigned long long)stats->fibers_freed);
    cr_assert_eq(stats->ops_completed, stats->ops_submitted, "of %llu operations %llu completed",
                 (unsigned long long)stats->ops_submitted,
                 (unsigned long long)stats->ops_completed);
}

static void remove_overrides(const struct weft_config *config)
{
    const struct {
        uint32_t value;
        const char *variable;
    } fields[] = {
        {config->workers, "WEFT_WORKERS"},
        {config->stack_size_kib, "WEFT_STACK_SIZE_KIB"},
        {config->max_fibers, "WEFT_MAX_FIBERS"},
        {config->pin, "WEFT_PIN"},
        {config->ring_entries, "WEFT_RING_ENTRIES"},
        {config->wake_backlog_us, "WEFT_WAKE_BACKLOG_US"},
        {config->guard, "WEFT_GUARD"},
        {config->chaos, "WEFT_CHAOS"},
        {config->monitor, "WEFT_MONITOR"},
        {config->stall_us, "WEFT_STALL_US"},
        {config->stall_report_ms, "WEFT_STALL_REPORT_MS"},
        {config->spare_workers, "WEFT_SPARE_WORKERS"},
        {config->blocking_threads, "WEFT_BLOCKING_THREADS"},
        {config->backend, "WEFT_BACKEND"},
        {config->max_stack_memory_mib, "WEFT_MAX_STACK_MEMORY_MIB"},
        {config->deadlock, "WEFT_DEADLOCK"},
        {config->leaks, "WEFT_LEAKS"},
        {config->max_operations, "WEFT_MAX_OPERATIONS"},
        {config->spin_us, "WEFT_SPIN_US"},
        {config->max_connections, "WEFT_MAX_CONNECTIONS"},
        {config->max_buffer_memory_kib, "WEFT_MAX_BUFFER_MEMORY_KIB"},
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value != 0)
            (void)unsetenv(fields[i].variable);
}

int run_config(const struct weft_config *config, int (*fn)(void *), void *arg)
{
    struct resources before = resources_now();
    struct weft_stats stats;
    int result;

    remove_overrides(config);
    result = weft_run(config, fn, arg);
    stats = run_stats();
    assert_stats_balance(&stats);
    assert_resources_return_to(before);
    return result;
}

int run_workers(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = workers;
    return run_config(&config, fn, arg);
}

struct weft_stats run_stats(void)
{
    struct weft_stats stats = {0};

    cr_assert_eq(weft_stats_read(&stats), 0);
    return stats;
}

weft_fiber *must_spawn(int (*fn)(void *), void *arg)
{
    weft_fiber *fiber = NULL;

    CHECK_EQ(weft_spawn(&fiber, fn, arg), 0);
    CHECK(fiber != NULL);
    return fiber;
}

int must_join(weft_fiber *fiber)
{
    int result = 0;

    CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
    return result;
}

void await_flag(_Atomic(int) *flag)
{
    while (atomic_load(flag) == 0)
        (void)weft_yield();
}

/* ThreadSanitizer would call it a race, which it is. */
__attribute__((noinline, no_sanitize("thread"))) bool has_waiters(void *const *queue)
{
    return *(void *const volatile *)queue != NULL;
}

weft_runtime *must_start(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    weft_runtime *runtime = NULL;

    config.workers = workers;
    cr_assert_eq(weft_start(&config, fn, arg, &runtime), 0);
    cr_assert_not_null(runtime);
    return runtime;
}

int must_end(weft_runtime *runtime)
{
    struct weft_stats stats;
    int result = -1;

    cr_assert_eq(weft_wait(runtime, &result, WEFT_FOREVER), 0);
    stats = run_stats();
    if (stats.fibers_spawned > 0)
        assert_stats_balance(&stats);
    return result;
}
