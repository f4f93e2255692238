/* SPDX-License-Identifier: MIT */
/* A simulated run is decided by its seed and by nothing else, and what a program may expect of weft
 * holds in it. */
#include "../sim/scenario.h"
#include "../support/child.h"
#include "../support/simulate.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OTHER_SEEDS = 20,
    SEEDS_FOR_A_BUG = 1000,
    BUFFER_MAX = 1 << 22,
};

TestSuite(sim, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

static int run_sync(uint64_t seed, uint32_t faults, struct weft_sim_report *report)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = seed;
    options.faults = faults;
    options.report = report;
    return weft_sim_run(&options, sync_scenario, scenario_arg(BUG_NONE));
}

static int run_with_faults(uint64_t seed, struct weft_sim_report *report)
{
    return run_sync(seed, WEFT_SIM_FAULTS_ALL, report);
}

Test(sim, a_seed_gives_the_same_run_each_time)
{
    assert_replays(run_with_faults, 42);
}

/* What ran before in the process must leave nothing behind that decides anything. */
Test(sim, a_run_does_not_depend_on_those_before)
{
    struct weft_sim_report first, again;

    cr_assert_eq(run_sync(7, WEFT_SIM_FAULTS_ALL, &first), 0);
    for (uint64_t seed = 100; seed < 100 + OTHER_SEEDS; seed++)
        cr_assert_eq(run_sync(seed, WEFT_SIM_FAULTS_ALL, &again), 0);
    cr_assert_eq(run_sync(7, WEFT_SIM_FAULTS_ALL, &again), 0);
    cr_expect_eq(again.trace_hash, first.trace_hash);
}

CHILD(print_hash)
{
    struct weft_sim_report report;

    if (run_sync(parameter, WEFT_SIM_FAULTS_ALL, &report) != 0)
        return 1;
    printf("hash %llx\n", (unsigned long long)report.trace_hash);
    return 0;
}

/* Each process has its memory elsewhere. */
Test(sim, a_seed_gives_the_same_run_in_every_process)
{
    struct child_end first, again;

    run_child("print_hash", 3, NULL, &first);
    cr_assert_eq(first.exit_status, 0);
    cr_expect(strstr(first.output, "hash ") != NULL);
    for (int i = 0; i < 5; i++) {
        run_child("print_hash", 3, NULL, &again);
        cr_expect_str_eq(again.output, first.output);
    }
}

Test(sim, other_seeds_give_other_runs)
{
    struct weft_sim_report reports[OTHER_SEEDS];

    for (unsigned i = 0; i < OTHER_SEEDS; i++) {
        cr_assert_eq(run_sync(1 + i, 0, &reports[i]), 0);
        for (unsigned j = 0; j < i; j++)
            cr_expect_neq(reports[i].trace_hash, reports[j].trace_hash);
    }
}

static size_t trace_of(uint64_t seed, char *text)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    FILE *file = tmpfile();
    size_t length;

    cr_assert(file != NULL);
    options.seed = seed;
    options.faults = WEFT_SIM_FAULTS_ALL;
    options.trace = file;
    cr_assert_eq(weft_sim_run(&options, sync_scenario, scenario_arg(BUG_NONE)), 0);
    rewind(file);
    length = fread(text, 1, BUFFER_MAX, file);
    fclose(file);
    return length;
}

Test(sim, the_trace_is_the_same_byte_for_byte)
{
    char *first = malloc(BUFFER_MAX), *again = malloc(BUFFER_MAX);
    size_t length = trace_of(11, first);

    cr_expect_gt(length, 0);
    cr_expect_eq(trace_of(11, again), length);
    cr_expect_eq(memcmp(first, again, length), 0);
    free(first);
    free(again);
}

Test(sim, planted_bugs_are_found_and_replay)
{
    unsetenv("WEFT_WORKERS"); /* each seed has its own: with one a lock is hardly ever in between */
    for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
        struct weft_sim_report report, again;
        int result = 0;

        options.faults = WEFT_SIM_FAULTS_ALL;
        options.report = &report;
        options.is_quiet = 1;
        for (options.seed = 1; result >= 0 && options.seed <= SEEDS_FOR_A_BUG; options.seed++)
            result = weft_sim_run(&options, sync_scenario, scenario_arg((enum scenario_bug)bug));
        cr_assert_lt(result, 0, "bug %d", bug);
        options.seed = report.seed;
        options.report = &again;
        cr_expect_eq(weft_sim_run(&options, sync_scenario, scenario_arg((enum scenario_bug)bug)),
                     result);
        cr_expect_eq(again.trace_hash, report.trace_hash, "bug %d", bug);
    }
}

static int sleep_an_hour(void *arg)
{
    weft_time begun = weft_now();
    int error = weft_sleep(3600 * WEFT_SECOND);

    *(weft_time *)arg = weft_now() - begun;
    return error;
}

Test(sim, an_hour_is_over_when_nobody_has_anything_to_do)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct weft_sim_report report;
    weft_time slept = 0;

    options.report = &report;
    cr_assert_eq(weft_sim_run(&options, sleep_an_hour, &slept), 0);
    cr_expect_geq(slept, 3600 * WEFT_SECOND);
    cr_expect_geq(report.elapsed, slept);
    cr_expect_lt(slept, 3601 * WEFT_SECOND);
}

enum { CROWD = 100, LONG_SLEEPS = 50 };

static int wait_for_event(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

static int sleep_among_many(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;
    weft_fiber *crowd[CROWD];

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = must_spawn(wait_for_event, &event);
    for (int i = 0; i < LONG_SLEEPS; i++)
        CHECK_EQ(weft_sleep((1 + i * i) * WEFT_SECOND), 0);
    weft_event_set(&event);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(crowd[i]), 0);
    return 0;
}

/* A worker with nothing to do but a timer that is far away once woke up in between, at the borders
 * of the wheel's slots, and the monitor with it, for a tenth of a second each time. */
Test(sim, a_worker_sleeps_until_its_next_timer)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    unsetenv("WEFT_WORKERS"); /* the sleeps of one are counted */
    options.workers = 1;
    for (options.seed = 1; options.seed <= OTHER_SEEDS; options.seed++) {
        cr_assert_eq(weft_sim_run(&options, sleep_among_many, NULL), 0);
        /* Once the monitor has it look whether it has memory to give back. */
        cr_expect_leq(run_stats().parks, LONG_SLEEPS + 1);
    }
}

static int wait_for_nobody(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;

    (void)arg;
    return weft_event_wait(&event, WEFT_FOREVER);
}

Test(sim, a_deadlock_is_a_failure)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct weft_config config = {.monitor = 1, .deadlock = 1};

    options.config = &config;
    cr_expect_eq(weft_sim_run(&options, wait_for_nobody, NULL), -EDEADLK);
}

/* What a run that hangs leaves behind is lost, and a leak checker is not asked about it. */
CHILD(hang_without_a_monitor)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct weft_config config = {.monitor = 3};
    struct weft_sim_report report;

    options.config = &config;
    if (weft_sim_run(&options, wait_for_nobody, NULL) != -EDEADLK)
        _exit(1);
    _exit(run_sync(parameter, 0, &report) == 0 ? 0 : 2);
}

/* Then it is not the monitor that tells. */
Test(sim, a_hang_without_a_monitor_is_a_failure_and_the_next_run_works)
{
    struct child_end end;

    run_child("hang_without_a_monitor", 5, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
}

static int tick_for_ever(void *arg)
{
    while (weft_sleep(WEFT_SECOND) == 0)
        ++*(unsigned *)arg;
    return 0;
}

CHILD(tick_until_the_limit)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    unsigned ticks = 0;

    options.seed = parameter;
    options.limit = 60 * WEFT_SECOND;
    _exit(weft_sim_run(&options, tick_for_ever, &ticks) == -ETIME ? (int)ticks : 100);
}

Test(sim, the_limit_ends_a_run)
{
    struct child_end end;

    run_child("tick_until_the_limit", 1, NULL, &end);
    cr_expect_geq(end.exit_status, 50, "%s", end.output);
    cr_expect_leq(end.exit_status, 60, "%s", end.output);
}

static int call_sim_run(void *arg)
{
    (void)arg;
    return weft_sim_run(NULL, wait_for_nobody, NULL) == -EDEADLK ? 0 : -EPROTO;
}

Test(sim, mistakes_are_refused)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    struct weft_sim_report report;

    cr_expect_eq(weft_sim_run(NULL, NULL, NULL), -EINVAL);
    options.faults = 1u << 31;
    cr_expect_eq(weft_sim_run(&options, wait_for_nobody, NULL), -EINVAL);
    options.faults = 0;
    options.reserved[1] = 1;
    cr_expect_eq(weft_sim_run(&options, wait_for_nobody, NULL), -EINVAL);
    options.reserved[1] = 0;
    options.limit = -1;
    cr_expect_eq(weft_sim_run(&options, wait_for_nobody, NULL), -EINVAL);
    cr_expect_eq(weft_run(NULL, call_sim_run, NULL), 0, "not within a real run");
    cr_expect_eq(weft_sim_run(NULL, call_sim_run, NULL), 0, "not within a simulated one");
    cr_expect_eq(run_sync(5, 0, &report), 0);
    cr_expect_eq(weft_sim_is_on(), 0);
    cr_expect_eq(weft_sim_random(), 0);
}

CHILD(print_report)
{
    struct weft_sim_report report = {.seed = 0};
    int result = run_sync(parameter, 0, &report);

    printf("result %d seed %llu stalls %llu\n", result, (unsigned long long)report.seed,
           (unsigned long long)report.faults[0]);
    return 0;
}

Test(sim, the_environment_overrides_the_program)
{
    const char *seeded[] = {"WEFT_SEED=77", NULL};
    const char *stalled[] = {"WEFT_SEED=77", "WEFT_SIM_FAULTS=stall,late", NULL};
    const char *calm[] = {"WEFT_SIM_FAULTS=all", "WEFT_SIM_FAULTS_FOR=0", NULL};
    const char *bad[][2] = {
        {"WEFT_SEED=x", NULL}, {"WEFT_SIM_FAULTS=lightning", NULL}, {"WEFT_SIM_LIMIT=-1", NULL}};
    struct child_end end;

    run_child("print_report", 5, seeded, &end);
    cr_expect(strstr(end.output, "result 0 seed 77 stalls 0\n") != NULL, "%s", end.output);
    run_child("print_report", 5, stalled, &end);
    cr_expect(strstr(end.output, "result 0 seed 77 stalls ") != NULL, "%s", end.output);
    run_child("print_report", 5, calm, &end);
    cr_expect(strstr(end.output, "result 0 seed 5 stalls 0\n") != NULL, "%s", end.output);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        run_child("print_report", 5, bad[i], &end);
        cr_expect(strstr(end.output, "result -22 ") != NULL, "%s", end.output);
    }
}

static int fail_at_once(void *arg)
{
    (void)arg;
    (void)weft_sleep(WEFT_MILLISECOND);
    return -EIO;
}

CHILD(fail_in_simulation)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = parameter;
    return -weft_sim_run(&options, fail_at_once, NULL);
}

static int unlock_in_vain(void *arg)
{
    (void)weft_sleep(WEFT_MILLISECOND);
    weft_mutex_unlock(arg);
    return 0;
}

CHILD(break_a_rule)
{
    weft_mutex mutex = WEFT_MUTEX_INIT;
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = parameter;
    return weft_sim_run(&options, unlock_in_vain, &mutex);
}

Test(sim, a_failure_prints_the_seed_and_the_last_events)
{
    struct child_end end;

    run_child("fail_in_simulation", 123, NULL, &end);
    cr_expect_eq(end.exit_status, EIO);
    cr_expect(strstr(end.output, "WEFT_SEED=123") != NULL, "%s", end.output);
    cr_expect(strstr(end.output, " run ") != NULL, "%s", end.output);
    run_child("break_a_rule", 321, NULL, &end);
    cr_expect_eq(end.signal, SIGABRT);
    cr_expect(strstr(end.output, "is not locked") != NULL, "%s", end.output);
    cr_expect(strstr(end.output, "WEFT_SEED=321") != NULL, "%s", end.output);
}

static int count_workers(void *arg)
{
    *(unsigned *)arg = weft_worker_count();
    return weft_sim_is_on() ? 0 : -EPROTO;
}

Test(sim, the_backend_of_weft_run_can_be_a_simulation)
{
    struct weft_config config = {.backend = WEFT_BACKEND_SIM};
    weft_runtime *runtime;
    unsigned count = 0;

    cr_expect_eq(weft_run(&config, count_workers, &count), 0);
    cr_expect_gt(count, 0);
    cr_expect_eq(weft_start(&config, NULL, NULL, &runtime), -ENOTSUP);
    setenv("WEFT_BACKEND", "sim", 1);
    cr_expect_eq(weft_run(NULL, count_workers, &count), 0);
    unsetenv("WEFT_BACKEND");
}

static void *set_event(void *arg)
{
    weft_event_set(arg);
    return NULL;
}

static int use_a_thread(void *arg)
{
    weft_event event = WEFT_EVENT_INIT;
    pthread_t thread;

    (void)arg;
    if (weft_spawn(&(weft_fiber *){NULL}, tick_for_ever, &(unsigned){0}) != 0)
        return -1;
    if (pthread_create(&thread, NULL, set_event, &event) != 0)
        return -1;
    return weft_event_wait(&event, WEFT_FOREVER);
}

CHILD(wake_from_a_thread)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = parameter;
    options.limit = 1000000 * WEFT_SECOND;
    return weft_sim_run(&options, use_a_thread, NULL);
}

/* By the time that the thread comes the fiber waits, or has found the event set: the second is no
 * mistake that could be seen. */
Test(sim, a_thread_of_the_programs_own_is_refused)
{
    struct child_end end;

    run_child("wake_from_a_thread", 1, NULL, &end);
    if (end.signal == 0)
        cr_skip("the thread came first");
    cr_expect_eq(end.signal, SIGABRT);
    cr_expect(strstr(end.output, "have no threads of their own") != NULL, "%s", end.output);
}

static void *run_for_real(void *arg)
{
    struct weft_config config = {.backend = WEFT_BACKEND_AUTO, .workers = 2};

    for (int i = 0; i < 20; i++)
        if (weft_run(&config, call_sim_run, NULL) != 0)
            *(int *)arg = 1;
    return NULL;
}

Test(sim, real_runtimes_go_on_beside_a_simulation)
{
    struct weft_sim_report report;
    pthread_t thread;
    int failures = 0;

    cr_assert_eq(pthread_create(&thread, NULL, run_for_real, &failures), 0);
    for (uint64_t seed = 1; seed <= 50; seed++)
        cr_expect_eq(run_sync(seed, WEFT_SIM_FAULTS_ALL, &report), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(failures, 0);
}
