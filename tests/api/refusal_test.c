/* SPDX-License-Identifier: MIT */
/* What weft_run() and weft_doctor() say on machines that cannot or will not run them. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/forbid.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a function ran although the runtime could not start");
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

/* Each way in which a sandbox refuses io_uring. */
static const struct refusal {
    long system_call;
    unsigned error;
} refusals[] = {
    {SYS_io_uring_setup, EPERM},  {SYS_io_uring_setup, ENOSYS},   {SYS_io_uring_enter, EPERM},
    {SYS_io_uring_enter, ENOSYS}, {SYS_io_uring_register, EPERM}, {SYS_io_uring_register, ENOSYS},
};

enum { REFUSALS = sizeof refusals / sizeof *refusals };

static void refuse_io_uring(unsigned which)
{
    (void)unsetenv("WEFT_BACKEND");
    forbid_system_call(refusals[which].system_call, refusals[which].error);
}

CHILD(run_without_io_uring)
{
    struct weft_config config = {.backend = WEFT_BACKEND_IO_URING};

    refuse_io_uring(parameter);
    return weft_run(&config, must_not_run, NULL) == -(int)refusals[parameter].error ? 0 : 1;
}

CHILD(doctor_without_io_uring)
{
    struct weft_config config = {.backend = WEFT_BACKEND_IO_URING};

    refuse_io_uring(parameter);
    return weft_doctor(&config, stdout) == -(int)refusals[parameter].error ? 0 : 1;
}

static int write_and_read(void *arg)
{
    char byte = 0;
    int fds[2];

    (void)arg;
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(weft_read(fds[0], &byte, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(fds[0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

CHILD(run_on_what_is_left)
{
    refuse_io_uring(parameter);
    CHECK_EQ(weft_run(NULL, write_and_read, NULL), 0);
    CHECK_EQ(weft_run(NULL, write_and_read, NULL), 0); /* says it once only */
    return weft_doctor(NULL, stdout);
}

/* Containers refuse io_uring by default.  A bare "Operation not permitted" sends the user to look
 * for file permissions: the line must say what is blocked and what can be done. */
Test(refusal, io_uring_refused_is_named_with_a_remedy, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < REFUSALS; i++) {
        struct child_end end;
        run_child("run_without_io_uring", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "refusal %u: %s", i, end.output);
        cr_expect_not_null(strstr(end.output, "io_uring"), "not named: \"%s\"", end.output);
        cr_expect_not_null(strstr(end.output, "allow"), "no remedy: \"%s\"", end.output);
    }
}

/* A program that did not ask for io_uring runs all the same, and it is said why it runs slower. */
Test(refusal, io_uring_refused_is_replaced_by_epoll, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < REFUSALS; i++) {
        struct child_end end;
        const char *said;

        run_child("run_on_what_is_left", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "refusal %u: %s", i, end.output);
        said = strstr(end.output, "weft: io_uring");
        cr_assert_not_null(said, "not named: \"%s\"", end.output);
        cr_expect_not_null(strstr(said, "epoll"), "not said: \"%s\"", end.output);
        cr_expect_null(strstr(said + 1, "weft: io_uring"), "said twice: \"%s\"", end.output);
        cr_expect_not_null(strstr(end.output, "epoll, one instance"), "\"%s\"", end.output);
    }
}

static int read_in_turn(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(must_join(must_spawn(write_and_read, NULL)), 0);
    return 0;
}

CHILD(run_as_it_comes)
{
    struct weft_config config = {.workers = parameter};

    (void)unsetenv("WEFT_BACKEND");
    return weft_run(&config, read_in_turn, NULL);
}

/* A worker that waits there for completions holds all others up: a run that nobody had told to use
 * epoll hung. */
Test(refusal, valgrind_is_given_epoll, .timeout = TEST_TIMEOUT_S)
{
    static const char *const prefix[] = {"valgrind", "-q", "--error-exitcode=9", "--fair-sched=yes",
                                         NULL};
    struct child_end end;

    if (TEST_IS_SANITIZED || TEST_IS_TSAN)
        cr_skip_test("a sanitizer does not run on valgrind");
    if (system("valgrind --version >/dev/null 2>&1") != 0)
        cr_skip_test("there is no valgrind");
    run_child_under(prefix, "run_as_it_comes", 2, NULL, &end);
    /* Valgrind 3.19 gives up on what clang 14 writes by default, DWARF 5. */
    if (strstr(end.output, "debuginfo reader") != NULL)
        cr_skip_test("this valgrind cannot read this program's debugging information");
    cr_expect_eq(end.exit_status, 0, "signal %d: %s", end.signal, end.output);
    cr_expect_not_null(strstr(end.output, "go through epoll"), "\"%s\"", end.output);
}

CHILD(sleep_without_pwait2)
{
    struct weft_config config = {.backend = WEFT_BACKEND_EPOLL};

    (void)unsetenv("WEFT_BACKEND");
    forbid_system_call(SYS_epoll_pwait2, parameter);
    return weft_run(&config, write_and_read, NULL);
}

/* Kernels before 5.11 do not have it, and sandboxes that are older than it refuse it. */
Test(refusal, epoll_waits_without_epoll_pwait2, .timeout = TEST_TIMEOUT_S)
{
    static const unsigned errors[] = {ENOSYS, EPERM};

    for (size_t i = 0; i < 2; i++) {
        struct child_end end;
        run_child("sleep_without_pwait2", errors[i], NULL, &end);
        cr_expect_eq(end.exit_status, 0, "error %u: %s", errors[i], end.output);
    }
}

/* The doctor is asked exactly on such machines: it must finish and give the same verdict. */
Test(refusal, doctor_reports_io_uring_refused, .timeout = TEST_TIMEOUT_S)
{
    for (unsigned i = 0; i < REFUSALS; i++) {
        struct child_end end;
        run_child("doctor_without_io_uring", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "refusal %u: %s", i, end.output);
        cr_expect_not_null(strstr(end.output, "io_uring"), "not named: \"%s\"", end.output);
    }
}

CHILD(run_without_threads)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    struct resources before;

    config.workers = parameter;
    forbid_threads();
    before = resources_now();
    CHECK_EQ(weft_run(&config, must_not_run, NULL), -EAGAIN);
    CHECK_EQ(weft_run(&config, must_not_run, NULL), -EAGAIN);
    CHECK_EQ(resources_now().fds, before.fds);
    CHECK_EQ(resources_now().threads, before.threads);
    return 0;
}

/* A start that fails half-way gives everything back and says why. */
Test(refusal, threads_refused_fail_the_start_cleanly, .timeout = TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("the sanitizer needs a thread of its own");
    for (unsigned workers = 1; workers <= 4; workers *= 4) {
        struct child_end end;
        run_child("run_without_threads", workers, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "status %d, signal %d: %s", end.exit_status, end.signal,
                     end.output);
        cr_expect_not_null(strstr(end.output, "thread"), "not named: \"%s\"", end.output);
    }
}

CHILD(run_with_few_descriptors)
{
    struct weft_config config = {.workers = 16};
    struct resources before;
    struct rlimit few;
    int result;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &few), 0);
    few.rlim_cur = parameter;
    before = resources_now();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    result = weft_run(&config, return_zero, NULL);
    CHECK(result <= 0);
    few.rlim_cur = few.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    CHECK_EQ(resources_now().fds, before.fds);
    CHECK_EQ(weft_run(&config, return_zero, NULL), 0);
    return result == 0 ? 0 : 1;
}

/* Each worker needs descriptors.  Whichever of them is the one that is missing, the start fails
 * with a line, gives the others back, and the next start works. */
Test(refusal, descriptors_exhausted_fail_the_start_cleanly, .timeout = TEST_TIMEOUT_S)
{
    int failures = 0;

    for (unsigned limit = 4; limit <= 48; limit += 4) {
        struct child_end end;
        run_child("run_with_few_descriptors", limit, NULL, &end);
        cr_expect(end.exit_status == 0 || end.exit_status == 1, "limit %u, signal %d: %s", limit,
                  end.signal, end.output);
        cr_expect(end.exit_status != 1 || end.output[0] != '\0', "failed without a word");
        failures += end.exit_status == 1;
    }
    cr_expect_gt(failures, 0, "no limit was low enough to try the failure");
}

static char *doctor_report(const struct weft_config *config, int expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    cr_assert_not_null(out);
    cr_expect_eq(weft_doctor(config, out), expected);
    cr_assert_eq(fclose(out), 0);
    cr_assert_not_null(text);
    return text;
}

/* The report is what a user pastes into a bug report: whatever changes behaviour is in it. */
Test(refusal, doctor_prints_the_key_facts, .timeout = TEST_TIMEOUT_S)
{
    static const char *const facts[] = {"cpu",          "worker",     "pin",
                                        "io_uring",     "guard",      "stack_size_kib",
                                        "ring_entries", "max_fibers", "wake_backlog_us",
                                        "chaos",        "quota",      "alloc"};
    struct resources before = resources_now();
    char *text = doctor_report(NULL, 0);

    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        cr_expect_not_null(strcasestr(text, facts[i]), "\"%s\" is missing in:\n%s", facts[i], text);
    free(text);
    assert_resources_return_to(before);
}

/* Where a value comes from is half of the answer to "why does it behave like that?" */
Test(refusal, doctor_tells_the_origin_of_values, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    char *text;

    (void)unsetenv("WEFT_WORKERS");
    config.workers = 61;
    text = doctor_report(&config, 0);
    cr_expect_not_null(strstr(text, "61"), "%s", text);
    free(text);

    cr_assert_eq(setenv("WEFT_WORKERS", "67", 1), 0);
    text = doctor_report(&config, 0);
    cr_expect_not_null(strstr(text, "67"), "%s", text);
    cr_expect_not_null(strstr(text, "WEFT_WORKERS"), "%s", text);
    free(text);
}

/* What nobody has limited is not found out at the start, as the number of workers is. */
Test(refusal, doctor_shows_limits_that_are_not_set, .timeout = TEST_TIMEOUT_S)
{
    static const char *const limits[] = {"max_fibers", "max_stack_memory_mib", "max_operations",
                                         "max_connections", "max_buffer_memory_kib"};
    char *text = doctor_report(NULL, 0);

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        char line[64];

        snprintf(line, sizeof line, "\n%-22s %-10s default", limits[i], "unlimited");
        cr_expect_not_null(strstr(text, line), "\"%s\" is missing in:\n%s", line + 1, text);
    }
    free(text);
}

/* A configuration that cannot start is reported as such, not diagnosed as healthy. */
Test(refusal, doctor_refuses_what_run_refuses, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    (void)unsetenv("WEFT_RING_ENTRIES");
    config.ring_entries = 9;
    free(doctor_report(&config, -EINVAL));
    cr_expect_eq(weft_run(&config, must_not_run, NULL), -EINVAL);
}

static int set_flag(void *arg)
{
    atomic_store((_Atomic(int) *)arg, 1);
    return 0;
}

struct stuck {
    int complaints;
    _Atomic(int) flag;
};

/* Holds its worker until the runtime has said so.  Returns false if a helper has come instead. */
static bool block_until_complaint(struct stuck *stuck)
{
    char text[4096] = "";
    size_t length = 0;

    while (strstr(text, "cannot start a spare worker") == NULL) {
        struct pollfd readable = {.fd = stuck->complaints, .events = POLLIN};

        if (atomic_load(&stuck->flag) != 0)
            return false;
        if (poll(&readable, 1, 10) > 0) {
            ssize_t n = read(stuck->complaints, text + length, sizeof text - 1 - length);

            CHECK(n > 0);
            length += (size_t)n;
        }
    }
    return true;
}

static int get_stuck_without_threads(void *arg)
{
    struct stuck *stuck = arg;
    weft_fiber *helper;
    bool has_complained;

    forbid_threads();
    helper = must_spawn(set_flag, &stuck->flag);
    has_complained = block_until_complaint(stuck);
    CHECK_EQ(must_join(helper), 0);
    CHECK_EQ(atomic_load(&stuck->flag), 1);
    return has_complained;
}

enum { A_SPARE_WAS_THERE = 2 };

CHILD(stuck_without_threads)
{
    struct weft_config config = {.workers = 1, .stall_us = 200000};
    struct stuck stuck = {.flag = 0};
    struct weft_stats stats;
    int pipe_fds[2];
    int result;

    (void)parameter;
    CHECK_EQ(pipe(pipe_fds), 0);
    stuck.complaints = pipe_fds[0];
    CHECK_EQ(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
    result = weft_run(&config, get_stuck_without_threads, &stuck);
    CHECK_EQ(weft_stats_read(&stats), 0);
    if (result == 0)
        return stats.spares > 0 ? A_SPARE_WAS_THERE : 1;
    CHECK_EQ(stats.spares, 0);
    CHECK_EQ(stats.spare_calls, 0);
    return 0;
}

/* Where the system gives no thread for a spare, the runtime says so, and goes on when the fiber
 * that held its worker does.  On a loaded machine the worker can seem stuck, and get its spare,
 * before threads are forbidden: then once more. */
Test(refusal, a_spare_refused_is_said_and_done_without, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;
    int tries = 0;

    do
        run_child("stuck_without_threads", 0, environment_without_threads, &end);
    while (end.exit_status == A_SPARE_WAS_THERE && ++tries < 20);
    cr_expect_eq(end.exit_status, 0, "signal %d: %s", end.signal, end.output);
}

/* No machine of ours has shadow stacks: what the processor says is replaced (tests/CMakeLists.txt).
 */
static bool has_shadow_stack;

bool __wrap_wf_os_has_shadow_stack(void);
bool __real_wf_os_has_shadow_stack(void);

bool __wrap_wf_os_has_shadow_stack(void)
{
    return has_shadow_stack || __real_wf_os_has_shadow_stack();
}

static int generate_nothing(weft_generator *generator, void *arg)
{
    (void)generator;
    (void)arg;
    return 0;
}

CHILD(start_with_a_shadow_stack)
{
    weft_generator *generator = NULL;

    has_shadow_stack = true;
    switch (parameter) {
    case 0:
        return weft_run(NULL, must_not_run, NULL) == -ENOTSUP ? 0 : 1;
    case 1:
        return weft_sim_run(NULL, must_not_run, NULL) == -ENOTSUP ? 0 : 1;
    default:
        return weft_generator_create(&generator, generate_nothing, NULL, 0) == -ENOTSUP ? 0 : 1;
    }
}

CHILD(doctor_with_a_shadow_stack)
{
    has_shadow_stack = parameter != 0;
    return weft_doctor(NULL, stdout) == (has_shadow_stack ? -ENOTSUP : 0) ? 0 : 1;
}

/* The first switch would be a SIGSEGV that nothing explains. */
Test(refusal, shadow_stacks_are_refused_with_a_remedy, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    for (unsigned i = 0; i < 3; i++) {
        run_child("start_with_a_shadow_stack", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "start %u: %s", i, end.output);
        cr_expect_not_null(strstr(end.output, "has a shadow stack"), "\"%s\"", end.output);
        cr_expect_not_null(strstr(end.output, "GLIBC_TUNABLES"), "\"%s\"", end.output);
    }
    run_child("doctor_with_a_shadow_stack", 1, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
    cr_expect_not_null(strstr(end.output, "has a shadow stack"), "\"%s\"", end.output);
    cr_expect_not_null(strstr(end.output, "nothing can run"), "\"%s\"", end.output);
    run_child("doctor_with_a_shadow_stack", 0, NULL, &end);
    cr_expect_null(strstr(end.output, "nothing can run"), "\"%s\"", end.output);
}
