/* SPDX-License-Identifier: MIT */
/*
 * Runs tests that were written for Criterion, one process each, in a program that an emulator runs.
 *
 * Criterion starts each test by executing the program anew, with that one test as its order.  Under
 * qemu-user that executes a file of another processor, which the kernel refuses ("Could not spawn
 * test instance").  Here the process is forked, which emulators can.  What is printed follows
 * Criterion, so that scripts/count_tests.py counts both alike.
 *
 * left_out.txt names the tests that need what the emulator does not have, and says what.
 */
#include <criterion/criterion.h>

#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SKIPPED = 77, FAILED = 1 };

/* A test has that many times as long as elsewhere. */
enum { EMULATION_FACTOR = 4 };

struct criterion_test_set {
    struct cross_test *tests;
    const char *filter; /* of "suite/name", as --filter=PATTERN */
    unsigned tested, failed;
};

static struct criterion_test_set all;
static struct cross_suite *suites;
static const struct cross_test *running;
static bool has_failed;

void cross_register(struct cross_test *test)
{
    struct cross_test **last = &all.tests;

    while (*last != NULL)
        last = &(*last)->next;
    *last = test;
}

void cross_register_suite(struct cross_suite *suite)
{
    suite->next = suites;
    suites = suite;
}

static void say(const char *tag, const char *format, va_list arguments)
{
    char text[1024];

    (void)vsnprintf(text, sizeof text, format, arguments);
    (void)fprintf(stderr, "[%s] %s::%s: %s\n", tag, running->suite, running->name, text);
}

void cross_log(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("----", format, arguments);
    va_end(arguments);
}

void cross_skip(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("SKIP", format, arguments);
    va_end(arguments);
    _exit(has_failed ? FAILED : SKIPPED);
}

void cross_check(bool is_fatal, bool ok, const char *text, const char *file, int line,
                 const char *format, ...)
{
    char more[1024];
    va_list arguments;

    if (ok)
        return;
    va_start(arguments, format);
    (void)vsnprintf(more, sizeof more, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "%s:%d: expected: %s  %s\n", file, line, text, more);
    has_failed = true;
    if (is_fatal)
        _exit(FAILED);
}

/* NULL if nothing is said about it. */
static const struct cross_suite *suite_of(const struct cross_test *test)
{
    const struct cross_suite *suite = suites;

    while (suite != NULL && strcmp(suite->name, test->suite) != 0)
        suite = suite->next;
    return suite;
}

static double timeout_of(const struct cross_test *test)
{
    const struct cross_suite *suite = suite_of(test);

    return EMULATION_FACTOR * (test->options.timeout > 0 || suite == NULL ? test->options.timeout
                                                                          : suite->options.timeout);
}

static void run_here(const struct cross_test *test, void *param)
{
    const struct cross_suite *suite = suite_of(test);

    if (suite != NULL && suite->options.init != NULL)
        suite->options.init();
    if (test->options.init != NULL)
        test->options.init();
    test->fn(param);
    if (test->options.fini != NULL)
        test->options.fini();
    if (suite != NULL && suite->options.fini != NULL)
        suite->options.fini();
    (void)fflush(NULL);
    _exit(has_failed ? FAILED : test->options.exit_code);
}

/* The status of the process, or -1 once its time is over. */
static int wait_for(pid_t process, double timeout)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    struct timespec begin, now;
    int status;

    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        if (waitpid(process, &status, WNOHANG) == process)
            return status;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (timeout > 0 && (double)(now.tv_sec - begin.tv_sec) > timeout)
            break;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(process, SIGKILL);
    (void)waitpid(process, &status, 0);
    return -1;
}

static void run_one(const struct cross_test *test, void *param)
{
    pid_t process;
    int status;

    running = test;
    (void)fflush(NULL);
    process = fork();
    if (process == 0)
        run_here(test, param);
    if (process < 0) {
        perror("fork");
        exit(FAILED);
    }
    status = wait_for(process, timeout_of(test));
    if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        return;
    all.tested++;
    if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code) {
        (void)fprintf(stderr, "[PASS] %s::%s\n", test->suite, test->name);
        return;
    }
    all.failed++;
    if (status < 0)
        (void)fprintf(stderr, "[FAIL] %s::%s: timed out\n", test->suite, test->name);
    else if (WIFSIGNALED(status))
        (void)fprintf(stderr, "[FAIL] %s::%s: signal %d\n", test->suite, test->name,
                      WTERMSIG(status));
    else
        (void)fprintf(stderr, "[FAIL] %s::%s\n", test->suite, test->name);
}

/* Says why, if the test is left out under an emulator. */
static bool is_left_out(const struct cross_test *test)
{
    char line[512], name[256];
    FILE *list = fopen(WEFT_CROSS_LEFT_OUT, "r");
    bool is_found = false;

    if (list == NULL) {
        perror(WEFT_CROSS_LEFT_OUT);
        exit(FAILED);
    }
    (void)snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    while (!is_found && fgets(line, sizeof line, list) != NULL) {
        char *why = strstr(line, " # ");

        if (why == NULL)
            continue;
        *why = '\0';
        is_found = strcmp(line, name) == 0;
        if (is_found)
            (void)fprintf(stderr, "[SKIP] %s::%s: %s", test->suite, test->name, why + 3);
    }
    (void)fclose(list);
    return is_found;
}

static void run_test(const struct cross_test *test)
{
    struct criterion_test_params params;

    if (is_left_out(test))
        return;
    if (test->params == NULL) {
        run_one(test, NULL);
        return;
    }
    params = test->params();
    for (size_t i = 0; i < params.length; i++)
        run_one(test, (char *)params.params + i * params.size);
    if (params.cleanup != NULL)
        params.cleanup(&params);
}

struct criterion_test_set *criterion_initialize(void)
{
    return &all;
}

int criterion_handle_args(int argc, char **argv, bool handle_unknown)
{
    static const char option[] = "--filter=";

    (void)handle_unknown;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], option, sizeof option - 1) == 0)
            all.filter = argv[i] + sizeof option - 1;
    return 1;
}

int criterion_run_all_tests(struct criterion_test_set *set)
{
    for (const struct cross_test *test = set->tests; test != NULL; test = test->next) {
        char name[256];

        (void)snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
        if (set->filter == NULL || fnmatch(set->filter, name, 0) == 0)
            run_test(test);
    }
    (void)fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u\n", set->tested,
                  set->tested - set->failed, set->failed);
    return set->failed == 0;
}

void criterion_finalize(struct criterion_test_set *set)
{
    (void)set;
}
