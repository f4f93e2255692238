/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's loop in a fiber of a runtime with one worker: an input then costs switches, and not a
 * runtime or a wake of another thread.
 */
#define _GNU_SOURCE 1

#include "driver.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

struct arguments {
    int argc;
    char **argv;
};

enum { DRIVER_STACK_KIB = 8192 }; /* libFuzzer counts on the stack of a main thread */

void fuzz_check(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s:%d: expected: %s\n", file, line, text);
    abort();
}

static int run_one(const uint8_t *data, size_t size)
{
    fuzz_one(data, size);
    return 0;
}

/* libFuzzer finds inputs that hang by an alarm, which only the thread that it runs on may take. */
static void mask_alarms(int how)
{
    sigset_t alarms;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    (void)pthread_sigmask(how, &alarms, NULL);
}

static int run_driver(void *arg)
{
    struct arguments *arguments = arg;

    mask_alarms(SIG_UNBLOCK);
    return LLVMFuzzerRunDriver(&arguments->argc, &arguments->argv, run_one);
}

static int spawn_driver(void *arg)
{
    struct weft_fiber_attr attr = WEFT_FIBER_ATTR_INIT;
    weft_fiber *fiber;
    int result = -ENOMEM;

    attr.stack_size_kib = DRIVER_STACK_KIB;
    if (weft_spawn_with(&attr, &fiber, run_driver, arg) != 0 ||
        weft_join(fiber, &result, WEFT_FOREVER) != 0)
        (void)fprintf(stderr, "the driver cannot run: %d\n", result);
    return result;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {argc, argv};
    /* A thread that watches would only add what is not in the input; faults are the sanitizer's. */
    struct weft_config config = {.workers = 1, .monitor = 3, .overflow_report = 2};

    mask_alarms(SIG_BLOCK); /* in all threads but one */
    (void)unsetenv("WEFT_WORKERS");
    (void)unsetenv("WEFT_CHAOS");
    return weft_run(&config, spawn_driver, &arguments) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
