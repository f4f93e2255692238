/* SPDX-License-Identifier: MIT */
/* Reports of fibers that hold their workers for too long. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/task.h>

enum { HOG_MS = 400, PATIENCE_MS = 60000 };

/* In reports of hogs alone: on a busy machine the first fiber may be reported too, but nobody
 * spawned that. */
#define SPAWNED "spawned at: 0x"

/* Standard error, on its way to the parent: the reports of hogs that are complete, and how many
 * the hog that runs awaits. */
static struct {
    int from, to;
    _Atomic(unsigned) awaited, reports; /* awaited: 0: none */
} errors;

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        found++;
    return found;
}

static const char *last_before(const char *end, const char *text, const char *part)
{
    const char *last = NULL;

    for (const char *at = text; (at = strstr(at, part)) != NULL && at < end; at++)
        last = at;
    return last;
}

static void *watch_errors(void *arg)
{
    char text[1 << 16];
    const char *last;
    size_t length = 0;
    ssize_t n;

    (void)arg;
    while ((n = read(errors.from, text + length, sizeof text - 1 - length)) > 0) {
        CHECK_EQ(write(errors.to, text + length, (size_t)n), n);
        length += (size_t)n;
        text[length] = '\0';
        last = last_before(text + length, text, SPAWNED);
        if (last != NULL && strstr(last, "#0 0x") != NULL)
            atomic_store(&errors.reports, count(text, SPAWNED));
    }
    return NULL;
}

/* From here on the hogs hold their workers until they are reported, which on a busy machine can
 * take a while. */
static void await_reports(pthread_t *watcher)
{
    int fds[2];

    errors.to = dup(STDERR_FILENO);
    make_pipe(fds);
    errors.from = fds[0];
    CHECK(errors.to >= 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
    (void)close(fds[1]);
    atomic_store(&errors.awaited, 1);
    CHECK_EQ(pthread_create(watcher, NULL, watch_errors, NULL), 0);
}

/* Nothing is lost on the way. */
static int end_reports(pthread_t watcher, int result)
{
    CHECK_EQ(dup2(errors.to, STDERR_FILENO), STDERR_FILENO);
    CHECK_EQ(pthread_join(watcher, NULL), 0);
    return result;
}

static bool goes_on(weft_time begin)
{
    int64_t passed = weft_now() - begin;

    if (atomic_load(&errors.awaited) != 0)
        return atomic_load(&errors.reports) < atomic_load(&errors.awaited) &&
               passed < PATIENCE_MS * WEFT_MILLISECOND;
    return passed < HOG_MS * WEFT_MILLISECOND;
}

static int compute(void *arg)
{
    weft_time begin = weft_now();
    _Atomic(int) looks = 0; /* under ThreadSanitizer signals arrive at atomic operations */

    (void)arg;
    while (goes_on(begin))
        atomic_fetch_add(&looks, 1);
    return 0;
}

static int block(void *arg)
{
    weft_time begin = weft_now();

    (void)arg;
    while (goes_on(begin))
        (void)usleep(HOG_MS * 1000);
    return 0;
}

__attribute__((noinline)) static int spawn_hog(int (*hog)(void *))
{
    struct weft_fiber_attr attr = {.name = "the-hog"};
    weft_fiber *fiber = NULL;

    CHECK_EQ(weft_spawn_with(&attr, &fiber, hog, NULL), 0);
    return must_join(fiber);
}

static int run_hogs(void *arg)
{
    static int (*const hogs[])(void *) = {compute, block};

    return spawn_hog(hogs[*(unsigned *)arg]);
}

__attribute__((noinline)) static int spawn_by_future(void)
{
    weft_future future = WEFT_FUTURE_INIT;
    int result = -1;

    CHECK_EQ(weft_future_spawn(&future, compute, NULL), 0);
    CHECK_EQ(weft_future_await(&future, &result, WEFT_FOREVER), 0);
    weft_future_close(&future);
    return result;
}

__attribute__((noinline)) static int spawn_in_own_runtime(void)
{
    weft_fiber *fiber;

    CHECK_EQ(weft_spawn_on(weft_runtime_self(), NULL, &fiber, compute, NULL), 0);
    return must_join(fiber);
}

static int compute_item(void *arg, void *item, void *result)
{
    (void)item;
    (void)result;
    return compute(arg);
}

__attribute__((noinline)) static int spawn_by_pipeline(void)
{
    weft_channel items = WEFT_CHANNEL_INIT(int, NULL, 0);
    struct weft_pipeline_stage stage = WEFT_PIPELINE_STAGE_INIT(compute_item, NULL, &items, NULL);
    weft_scope scope = WEFT_SCOPE_INIT;
    int item = 1;

    CHECK_EQ(weft_scope_open(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pipeline_spawn(&scope, &stage), 0);
    CHECK_EQ(weft_channel_send(&items, &item, sizeof item, WEFT_FOREVER), 0);
    weft_channel_close(&items);
    return weft_scope_close(&scope, 0);
}

static int (*const ways[])(void) = {spawn_by_future, spawn_in_own_runtime, spawn_by_pipeline};

static int run_way(void *arg)
{
    return ways[*(unsigned *)arg]();
}

CHILD(stall_without_a_report)
{
    struct weft_config config = {.workers = 2};

    return weft_run(&config, run_hogs, &parameter);
}

/* Prints where the spawn must be, for the parent to compare. */
CHILD(stall_child)
{
    struct weft_config config = {.workers = 2};
    pthread_t watcher;

    (void)fprintf(stderr, "spawner: %p\n", (void *)(uintptr_t)spawn_hog);
    await_reports(&watcher);
    return end_reports(watcher, weft_run(&config, run_hogs, &parameter));
}

CHILD(stall_of_what_the_library_spawned)
{
    struct weft_config config = {.workers = 2};
    pthread_t watcher;

    (void)fprintf(stderr, "spawner: %p\n", (void *)(uintptr_t)ways[parameter]);
    await_reports(&watcher);
    return end_reports(watcher, weft_run(&config, run_way, &parameter));
}

static _Atomic(bool) is_stolen;

WEFT_TASK(computation, int, int)

static int computation(weft_team team, int result)
{
    (void)team;
    atomic_store(&is_stolen, true);
    return compute(NULL) == 0 ? result : -1;
}

/* The fiber that forked it waits, so another one has to run it. */
static int have_it_stolen(void *arg)
{
    weft_team team = weft_team_begin();
    struct computation_task task;
    int result;

    (void)arg;
    computation_fork(&team, &task, 0);
    while (!atomic_load(&is_stolen))
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    result = computation_join(&team, &task);
    weft_team_end(team);
    return result;
}

CHILD(stall_of_a_stolen_task)
{
    struct weft_config config = {.workers = 2};
    pthread_t watcher;

    /* expect_site() wants what lies behind. */
    (void)fprintf(stderr, "spawner: 0x%lx\n", (unsigned long)(uintptr_t)computation_run - 1);
    await_reports(&watcher);
    return end_reports(watcher, weft_run(&config, have_it_stolen, &parameter));
}

static unsigned long address_after(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);

    return at != NULL ? strtoul(at + strlen(mark), NULL, 16) : 0;
}

/* In chaos, too, where whoever is stuck has been moved there. */
static const char *const settings[][3] = {{"WEFT_STALL_REPORT_MS=50", NULL},
                                          {"WEFT_STALL_REPORT_MS=50", "WEFT_CHAOS=7", NULL}};

enum { SETTINGS = sizeof settings / sizeof *settings };

static void expect_site(const char *child, unsigned parameter, unsigned setting,
                        struct child_end *end)
{
    unsigned long spawner, site;

    run_child(child, parameter, settings[setting], end);
    cr_assert_eq(end->exit_status, 0, "%s", end->output);
    spawner = address_after(end->output, "spawner: ");
    site = address_after(end->output, SPAWNED);
    cr_expect(site > spawner && site < spawner + 1024, "%s", end->output);
}

static void expect_report(unsigned parameter, unsigned setting, const char *doing)
{
    struct child_end end;
    const char *head;
    char *site;

    expect_site("stall_child", parameter, setting, &end);
    cr_expect_eq(count(end.output, SPAWNED), 1, "%s", end.output);
    site = strstr(end.output, SPAWNED);
    head = last_before(site, end.output, "in one fiber for");
    cr_assert_not_null(head, "%s", end.output);
    *strchr(site, '\n') = '\0';
    cr_expect_not_null(strstr(head, doing), "%s", head);
    cr_expect_not_null(strstr(head, "\"the-hog\""), "%s", head);
}

/* The report names the fiber, where it was spawned, and where it is. */
Test(stall, reports_a_computation, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned setting = 0; setting < SETTINGS; setting++)
        expect_report(0, setting, "computing");
}

Test(stall, reports_a_blocking_call, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned setting = 0; setting < SETTINGS; setting++)
        expect_report(1, setting, "blocked in a system call");
}

/* A line of the library would tell nobody which fiber it is. */
Test(stall, names_the_line_of_the_program_that_had_it_spawned, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++)
        for (unsigned setting = 0; setting < SETTINGS; setting++)
            expect_site("stall_of_what_the_library_spawned", way, setting, &end);
}

/* Its fiber was made by a worker that had nothing to do. */
Test(stall, names_the_task_that_was_stolen, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    for (unsigned setting = 0; setting < SETTINGS; setting++)
        expect_site("stall_of_a_stolen_task", 0, setting, &end);
}

/* Nobody asked for reports, or for a monitor. */
Test(stall, says_nothing_when_off, .timeout = TEST_TIMEOUT_S)
{
    static const char *const never[] = {"WEFT_STALL_REPORT_MS=4294967295", NULL};
    static const char *const off[] = {"WEFT_STALL_REPORT_MS=50", "WEFT_MONITOR=3", NULL};
    static const char *const later[] = {"WEFT_STALL_REPORT_MS=3600000", NULL};
    const char *const *environments[] = {never, off, later};
    struct child_end end;

    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++) {
        run_child("stall_without_a_report", 0, environments[i], &end);
        cr_assert_eq(end.exit_status, 0, "%s", end.output);
        cr_expect_null(strstr(end.output, "in one fiber for"), "%s", end.output);
    }
}

static _Atomic(int) signals;

static void count_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&signals, 1);
}

static int check_signal_is_blocked(void *arg)
{
    sigset_t mask;

    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQ(sigismember(&mask, SIGURG), 1);
    return run_hogs(arg);
}

CHILD(stall_with_a_handler)
{
    struct sigaction action = {.sa_handler = count_signal}, now;
    struct weft_config config = {.workers = 1};
    sigset_t urgent;

    (void)sigemptyset(&urgent);
    (void)sigaddset(&urgent, SIGURG);
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    CHECK_EQ(weft_run(&config, run_hogs, &parameter), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &urgent, NULL), 0);
    CHECK_EQ(weft_run(&config, check_signal_is_blocked, &parameter), 0);
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler == count_signal);
    CHECK_EQ(atomic_load(&signals), 0);
    return 0;
}

/* A program that uses the signal keeps it, and its workers take it only if the caller did: the
 * report does without. */
Test(stall, leaves_the_programs_handler_alone, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_STALL_REPORT_MS=50", NULL};
    struct child_end end;

    run_child("stall_with_a_handler", 0, environment, &end);
    cr_assert_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_not_null(strstr(end.output, "the program uses SIGURG itself"), "%s", end.output);
}

CHILD(stall_restores_the_signal)
{
    struct weft_config config = {.workers = 2};
    struct sigaction now;

    CHECK_EQ(weft_run(&config, run_hogs, &parameter), 0);
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    return 0;
}

/* After the run the signal is as it was. */
Test(stall, gives_the_signal_back, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_STALL_REPORT_MS=50", NULL};
    struct child_end end;

    run_child("stall_restores_the_signal", 0, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
}

static int hog_and_hog_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(spawn_hog(compute), 0);
    return 0;
}

CHILD(stall_after_stall)
{
    struct weft_config config = {.workers = 1, .stall_report_ms = parameter};

    return weft_run(&config, hog_and_hog_again, NULL);
}

/* Four stalls in less than two seconds are not four reports.  (On a machine so slow that they take
 * more than four there may be more.) */
Test(stall, reports_are_a_second_apart, .timeout = TEST_TIMEOUT_S)
{
    weft_time before = weft_now();
    struct child_end end;
    unsigned reports;

    run_child("stall_after_stall", 50, NULL, &end);
    cr_assert_eq(end.exit_status, 0, "%s", end.output);
    reports = count(end.output, "in one fiber for");
    cr_expect_geq(reports, 1, "%s", end.output);
    cr_expect_leq(reports, 1 + (unsigned)((weft_now() - before) / WEFT_SECOND), "%s", end.output);
}

static int hog_until_one_report_more(void *arg)
{
    unsigned reports = *(unsigned *)arg;

    for (unsigned i = 1; i <= reports; i++) {
        atomic_store(&errors.awaited, i);
        CHECK_EQ(spawn_hog(compute), 0);
    }
    return 0;
}

CHILD(stall_behind_a_report)
{
    struct weft_config config = {.workers = 1};
    pthread_t watcher;

    await_reports(&watcher);
    return end_reports(watcher, weft_run(&config, hog_until_one_report_more, &parameter));
}

/* The second hog is found within a second after the report of the first, and goes on. */
Test(stall, is_reported_later_if_another_has_just_been, .timeout = TEST_TIMEOUT_S)
{
    static const char *const environment[] = {"WEFT_STALL_REPORT_MS=50", NULL};
    struct child_end end;

    run_child("stall_behind_a_report", 2, environment, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_eq(count(end.output, SPAWNED), 2, "%s", end.output);
    cr_expect_null(strstr(end.output, "left out"), "%s", end.output);
}
