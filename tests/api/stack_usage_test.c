/* SPDX-License-Identifier: MIT */
/* How much stack fibers use, for those who choose its size. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ON = 2, KNOWN = 20000, CLOSE = 256 };

static volatile uintptr_t lowest; /* that use_known() has written to */
static volatile uintptr_t highest;

/* Writes to each byte of a frame, and says where it ended. */
__attribute__((noinline)) static void use_known(void)
{
    volatile char frame[KNOWN];

    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 1;
    lowest = (uintptr_t)frame;
}

static int use_and_measure(void *arg)
{
    ssize_t before = weft_fiber_stack_used(weft_self()), used;

    (void)arg;
    highest = (uintptr_t)__builtin_frame_address(0);
    use_known();
    used = weft_fiber_stack_used(weft_self());
    CHECK(before > 0 && before < used);
    return (int)used;
}

static char *report_on(weft_runtime *runtime)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    CHECK(file != NULL);
    CHECK_EQ(weft_stack_report(runtime, file), 0);
    CHECK_EQ(fclose(file), 0);
    return text;
}

static int run_and_report(void *arg)
{
    weft_fiber *fiber = must_spawn(use_and_measure, NULL);
    int used, line_used = 0;
    char *text, *line;

    (void)arg;
    used = must_join(fiber);
    /* Above the highest frame that we know are the library's own two or three. */
    CHECK(used >= (int)(highest - lowest));
    CHECK(used <= (int)(highest - lowest) + CLOSE);
    text = report_on(weft_runtime_self());
    line = strchr(text, '\n');
    CHECK(line != NULL);
    line_used = atoi(line);
    CHECK(line_used >= used);
    CHECK(line_used <= used + CLOSE);
    CHECK(strstr(line, "0x") != NULL);
    free(text);
    return 0;
}

/* A number that is too low leads to an overflow, and one that is too high to waste. */
WORKER_TEST(stack_usage, is_known_within_256_bytes, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_usage = ON};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer keeps frames elsewhere, and makes them larger");
    for (config.guard = 1; config.guard <= 3; config.guard++)
        cr_expect_eq(run_config(&config, run_and_report, NULL), 0);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int use_more_and_less(void *arg)
{
    char *text, *first, *second;

    (void)arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(must_join(must_spawn(return_zero, NULL)), 0);
    text = report_on(weft_runtime_self());
    first = strchr(text, '\n');
    CHECK(first != NULL && strstr(first, " 100 ") != NULL);
    CHECK(atoi(first) < 4096);
    free(text);
    /* The stack of the one that used more is used again by those that use less. */
    (void)must_join(must_spawn(use_and_measure, NULL));
    for (int i = 0; i < 100; i++) {
        weft_fiber *fiber = must_spawn(return_zero, NULL);
        while (weft_fiber_stack_used(fiber) == 0)
            CHECK_EQ(weft_yield(), 0);
        CHECK(weft_fiber_stack_used(fiber) < 4096);
        CHECK_EQ(must_join(fiber), 0);
    }
    text = report_on(weft_runtime_self());
    second = strstr(text, " 201 ");
    CHECK(second != NULL); /* must_spawn() is one place */
    free(text);
    return 0;
}

/* What an earlier fiber left behind is not counted for the next one. */
WORKER_TEST(stack_usage, each_fiber_is_measured_by_itself, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_usage = ON};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer's frames are larger");
    cr_expect_eq(run_config(&config, use_more_and_less, NULL), 0);
}

static int ask_for_nothing(void *arg)
{
    CHECK_EQ(weft_fiber_stack_used(weft_self()), -ENOENT);
    CHECK_EQ(weft_stack_report(weft_runtime_self(), stderr), -ENOENT);
    return *(int *)arg;
}

/* Nobody pays who has not asked. */
WORKER_TEST(stack_usage, is_not_measured_unless_asked, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_usage = 1};
    int result = 7;

    cr_expect_eq(run_config(&config, ask_for_nothing, &result), 7);
}

static int use_everything(void *arg)
{
    (void)arg;
    for (uint32_t kib = 16; kib <= 8192; kib *= 2) {
        struct weft_fiber_attr attr = {.stack_size_kib = kib};
        weft_fiber *fiber;

        CHECK_EQ(weft_spawn_with(&attr, &fiber, return_zero, NULL), 0);
        CHECK_EQ(must_join(fiber), 0);
    }
    free(report_on(weft_runtime_self()));
    return 0;
}

/* Each size can be measured, under sanitizers too. */
WORKER_TEST(stack_usage, every_size_can_be_measured, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_usage = ON};

    cr_expect_eq(run_config(&config, use_everything, NULL), 0);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

#define EIGHT_TIMES(what) what what what what what what what what
/* A place of its own, wherever it stands. */
#define SPAWN_HERE                                         \
    failures += weft_spawn(&fiber, do_nothing, NULL) != 0; \
    failures += weft_join(fiber, NULL, WEFT_FOREVER) != 0; \
    places++;

/* Prints as many lines as there is room for, and how many fibers are in none. */
static int spawn_in_many_places(void *arg)
{
    int failures = 0, places = 0, lines = -1; /* the first is a heading */
    char *text, *last = NULL;
    weft_fiber *fiber;

    (void)arg;
    EIGHT_TIMES(EIGHT_TIMES(EIGHT_TIMES(SPAWN_HERE)))
    EIGHT_TIMES(EIGHT_TIMES(SPAWN_HERE))
    CHECK_EQ(failures, 0);
    text = report_on(weft_runtime_self());
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        last = line;
        lines++;
    }
    CHECK(strstr(last, " fibers of further places were left out\n") != NULL);
    CHECK_EQ(lines - 1 + atoi(last), places);
    free(text);
    return 0;
}

/* A table that was full without a word would name the wrong ones to look at. */
Test(stack_usage, says_how_many_were_left_out, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .stack_usage = ON};

    cr_expect_eq(run_config(&config, spawn_in_many_places, NULL), 0);
}
