/* SPDX-License-Identifier: MIT */
/* Workers whose CPUs others want: by default they are let go, and pinned again; not where the
 * program has asked for pins, nor where others have.  And the threads of the pool, which follow. */
#define _GNU_SOURCE 1

#include "../support/affinity.h"
#include "../support/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A thread that computes on one CPU. */
struct rival {
    pthread_t thread;
    int cpu;
    atomic_bool must_end;
};

static void *compute(void *arg)
{
    struct rival *rival = arg;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)rival->cpu, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    while (!atomic_load(&rival->must_end))
        continue;
    return NULL;
}

static void begin_rival(struct rival *rival, int cpu)
{
    rival->cpu = cpu;
    atomic_store(&rival->must_end, false);
    CHECK_EQ(pthread_create(&rival->thread, NULL, compute, rival), 0);
}

static void end_rival(struct rival *rival)
{
    atomic_store(&rival->must_end, true);
    CHECK_EQ(pthread_join(rival->thread, NULL), 0);
}

/* For how long the calling thread has had to wait for a CPU, in ns; 0 where this is not told. */
static int64_t waited(void)
{
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    long long ran, waited = 0;

    if (file == NULL || fscanf(file, "%lld %lld", &ran, &waited) != 2)
        waited = 0;
    if (file != NULL)
        (void)fclose(file);
    return waited;
}

static uint64_t unpins(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.unpins;
}

/* Runs until the thread has had to wait that much longer: with a rival that comes. */
static void wait_for_cpu(int64_t ns)
{
    int64_t end = waited() + ns;

    while (waited() < end)
        for (int i = 0; i < 100; i++)
            CHECK_EQ(weft_yield(), 0);
}

static int be_let_go_twice(void *arg)
{
    struct rival rival;
    int cpu = only_cpu();

    (void)arg;
    CHECK(cpu >= 0);
    begin_rival(&rival, cpu);
    while (unpins() == 0)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(only_cpu(), -1);
    /* Who sleeps waits for no CPU, and so is pinned again: else it could not be let go again. */
    while (unpins() == 1) {
        CHECK_EQ(weft_sleep(1500 * WEFT_MILLISECOND), 0);
        wait_for_cpu(300 * WEFT_MILLISECOND);
    }
    end_rival(&rival);
    return 0;
}

static int stay(void *arg)
{
    struct rival rival;
    int cpu = only_cpu();

    (void)arg;
    CHECK(cpu >= 0);
    begin_rival(&rival, cpu);
    wait_for_cpu(500 * WEFT_MILLISECOND);
    CHECK_EQ(only_cpu(), cpu);
    end_rival(&rival);
    return 0;
}

/* As `taskset -p` would. */
static int go_elsewhere_and_stay(void *arg)
{
    const cpu_set_t *allowed = arg;
    cpu_set_t other;
    unsigned cpu = 0;
    int before = only_cpu();

    while (!CPU_ISSET(cpu, allowed) || (int)cpu == before)
        cpu++;
    CPU_ZERO(&other);
    CPU_SET(cpu, &other);
    CHECK_EQ(sched_setaffinity(0, sizeof other, &other), 0);
    return stay(NULL);
}

/* As `taskset -a -p` would, and to where the worker is already. */
static int be_moved_with_all(void *arg)
{
    cpu_set_t one;

    (void)arg;
    CPU_ZERO(&one);
    CPU_SET((unsigned)only_cpu(), &one);
    move_all_threads(&one);
    return stay(NULL);
}

enum { CALLERS_MAX = 3 };

struct callers {
    const cpu_set_t *allowed;
    int wanted; /* calls that hold a thread each */
    atomic_int inside;
    int cpus[CALLERS_MAX]; /* on how many the thread of each may run */
    atomic_int next;
};

static int count_cpus(void *arg)
{
    struct callers *callers = arg;
    cpu_set_t set;

    atomic_fetch_add(&callers->inside, 1);
    while (atomic_load(&callers->inside) < callers->wanted)
        (void)usleep(1000);
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    callers->cpus[atomic_fetch_add(&callers->next, 1)] = CPU_COUNT(&set);
    return 0;
}

static int call_pool(void *arg)
{
    return weft_blocking(count_cpus, arg, WEFT_FOREVER);
}

/* So many calls at once need one thread more than before. */
static void call_at_once(struct callers *callers, int wanted)
{
    weft_fiber *fibers[CALLERS_MAX];

    callers->wanted = wanted;
    atomic_store(&callers->inside, 0);
    atomic_store(&callers->next, 0);
    for (int i = 0; i < wanted; i++)
        fibers[i] = must_spawn(call_pool, callers);
    for (int i = 0; i < wanted; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
}

static int call_before_and_after_a_move(void *arg)
{
    struct callers *callers = arg;
    cpu_set_t one;

    call_at_once(callers, 1);
    CHECK_EQ(callers->cpus[0], CPU_COUNT(callers->allowed));
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    move_all_threads(&one);
    call_at_once(callers, 2);
    CHECK_EQ(callers->cpus[0], 1);
    CHECK_EQ(callers->cpus[1], 1);
    move_all_threads(callers->allowed);
    call_at_once(callers, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(callers->cpus[i], CPU_COUNT(callers->allowed));
    return 0;
}

/* Skips where nothing can be seen.  All runs are without spares, which are not pinned. */
static void get_allowed(cpu_set_t *allowed)
{
    (void)unsetenv("WEFT_PIN");
    (void)unsetenv("WEFT_WORKERS");
    cr_assert_eq(sched_getaffinity(0, sizeof *allowed, allowed), 0);
    if (CPU_COUNT(allowed) < 2)
        cr_skip_test("this needs two CPUs");
    if (access("/proc/thread-self/schedstat", R_OK) != 0)
        cr_skip_test("the kernel does not tell for how long a thread waits");
}

Test(pin, who_has_to_wait_is_let_go_for_a_while, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    cpu_set_t allowed;

    get_allowed(&allowed);
    cr_expect_eq(run_config(&config, be_let_go_twice, NULL), 0);
}

Test(pin, who_asks_for_pins_has_them, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2, .pin = 1};
    cpu_set_t allowed;

    get_allowed(&allowed);
    cr_expect_eq(run_config(&config, stay, NULL), 0);
    cr_expect_eq(run_stats().unpins, 0);
}

Test(pin, what_others_have_set_stays, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    cpu_set_t allowed;

    get_allowed(&allowed);
    cr_expect_eq(run_config(&config, go_elsewhere_and_stay, &allowed), 0);
}

Test(pin, nobody_goes_where_the_program_may_not, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    cpu_set_t allowed;

    get_allowed(&allowed);
    cr_expect_eq(run_config(&config, be_moved_with_all, NULL), 0);
}

/* Threads of the pool that were started later ran on CPUs that the program had been taken from. */
Test(pin, the_pool_goes_where_the_program_went, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    struct callers callers = {0};
    cpu_set_t allowed;

    get_allowed(&allowed);
    callers.allowed = &allowed;
    cr_expect_eq(run_config(&config, call_before_and_after_a_move, &callers), 0);
}
