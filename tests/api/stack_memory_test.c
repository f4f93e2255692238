/* SPDX-License-Identifier: MIT */
/* What stacks cost: memory goes back when fibers have ended, and a program in a steady state
 * touches no new page. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FEW = 500, MANY = 20000, PAIRS = 20000 };

static bool is_near(unsigned long now, unsigned long begin, unsigned long slack)
{
    return now <= begin + begin / 20 + slack;
}

static int give_memory_back(void *arg)
{
    struct memory begin, parked, now;

    (void)arg;
    /* The first fibers bring pages of code and queues with them, which stay. */
    (void)park_and_end(FEW);
    CHECK_EQ(weft_sleep(200 * WEFT_MILLISECOND), 0);
    begin = memory_now();
    parked = park_and_end(MANY);
    CHECK(parked.resident_kib >= begin.resident_kib + MANY * 3);
    do {
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        now = memory_now();
        /* The C library's and jemalloc's own mappings come and go. */
    } while (!is_near(now.resident_kib, begin.resident_kib, 256) ||
             !is_near(now.mappings, begin.mappings, 8));
    return 0;
}

/* A process must not keep the memory of its busiest moment.  What is measured is that it goes; the
 * test would wait for ever if it stayed. */
WORKER_TEST(stack_memory, goes_back_when_fibers_have_ended, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has memory of its own for each stack");
    cr_expect_eq(run_config(&config, give_memory_back, NULL), 0);
    /* Some may be left: memory that is near to where it was is enough above. */
    cr_expect_geq(run_stats().stacks_trimmed, MANY / 10 * 9);
}

static unsigned long switches_of(const char *thread)
{
    char path[300], line[256];
    unsigned long count = 0, sum = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
            sum += count;
    (void)fclose(file);
    return sum;
}

/* How often the other threads of the process have given up their CPUs. */
static unsigned long count_switches(void)
{
    DIR *directory = opendir("/proc/self/task");
    unsigned long sum = 0;

    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid())
            sum += switches_of(entry->d_name);
    (void)closedir(directory);
    return sum;
}

/* Waits until no other thread of the process has done anything for a while. */
static void await_idleness(void)
{
    unsigned long before, after = count_switches();

    do {
        before = after;
        (void)usleep(200 * 1000);
        after = count_switches();
    } while (after != before);
}

static int park_some(void *arg)
{
    (void)park_and_end(FEW);
    return *(int *)arg;
}

/* Whatever watches over memory must come to an end: an idle program wakes no CPU.  And at that end
 * all of the memory has gone. */
Test(stack_memory, watching_ends_when_all_is_idle, .timeout = TEST_TIMEOUT_S)
{
    enum { WORKERS = 4 };
    weft_runtime *runtime;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has a thread of its own, which is never idle");
    runtime = must_start(WORKERS, NULL, NULL);
    for (int round = 0; round < 2; round++) {
        weft_fiber *fiber;
        struct weft_stats stats;
        int result = 0;

        cr_assert_eq(weft_spawn_on(runtime, NULL, &fiber, park_some, &round), 0);
        cr_assert_eq(weft_join(fiber, &result, WEFT_FOREVER), 0);
        cr_expect_eq(result, round);
        /* Workers that have made or ended less than sixteen fibers are not woken for that. */
        do {
            (void)usleep(10 * 1000);
            cr_assert_eq(weft_stats_read_on(runtime, &stats), 0);
        } while (stats.stacks_trimmed + 16 * (stats.workers + stats.spares) <
                 (unsigned)(round + 1) * FEW);
        await_idleness();
    }
    cr_expect_eq(weft_stop(runtime), 0);
    (void)must_end(runtime);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_and_join(int pairs)
{
    for (int i = 0; i < pairs; i++)
        CHECK_EQ(must_join(must_spawn(return_zero, NULL)), 0);
}

static long faults_now(void)
{
    struct rusage usage;

    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

static int count_faults(void *arg)
{
    long *faults = arg;

    spawn_and_join(PAIRS);
    *faults = faults_now();
    spawn_and_join(PAIRS);
    *faults = faults_now() - *faults;
    return 0;
}

/* A page that the fiber before has left is warm.  (A cold one now and then is one that the worker
 * handed over and got back.) */
Test(stack_memory, spawn_and_join_touch_no_new_page, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1};
    long faults = -1;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer has memory of its own");
    cr_expect_eq(run_config(&config, count_faults, &faults), 0);
    cr_expect_geq(faults, 0);
    cr_expect_leq(faults, PAIRS / 10, "%ld page faults in %d pairs", faults, PAIRS);
}
