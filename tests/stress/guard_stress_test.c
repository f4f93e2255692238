/* SPDX-License-Identifier: MIT */
/* A hundred thousand stacks where guards are mappings, of which the process has not enough. */
#define _GNU_SOURCE 1

#include "stress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIBERS = 100 * 1000, GUARD_MAPPING = 2 };

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

static unsigned long read_number(const char *path)
{
    unsigned long number = 0;
    FILE *file = fopen(path, "re");

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu", &number), 1);
    (void)fclose(file);
    return number;
}

static unsigned long count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    unsigned long lines = 0;

    CHECK(file != NULL);
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    (void)fclose(file);
    return lines;
}

static int keep_alive(void *arg)
{
    weft_fiber **fibers = malloc(FIBERS * sizeof(weft_fiber *));
    unsigned long limit = read_number("/proc/sys/vm/max_map_count");
    struct weft_stats stats;
    void *memory;

    (void)arg;
    CHECK(fibers != NULL);
    for (int i = 0; i < FIBERS; i++) {
        fibers[i] = must_spawn(sleep_for_ever, NULL);
        if (i % 1024 == 0)
            CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK(stats.stacks_mapped >= FIBERS);
    CHECK(stats.stacks_mapped - stats.stacks_unguarded <= limit / 4);
    if (limit / 4 < FIBERS)
        CHECK(stats.stacks_unguarded >= FIBERS - limit / 4);
    /* Half of the mappings are the program's. */
    CHECK(count_mappings() < limit / 2 + 4096);
    memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQ(munmap(memory, 4096), 0);
    for (int i = 0; i < FIBERS; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
    free(fibers);
    return 0;
}

/* The budget of mappings is the whole process's: fibers beyond it are guarded less well, and
 * counted, but neither they nor the program's own mappings are refused. */
Test(guard_stress, mappings_stay_within_their_budget, .timeout = STRESS_TIMEOUT_S)
{
    struct weft_config config = {.stack_size_kib = 16, .guard = GUARD_MAPPING};

    if (TEST_IS_TSAN)
        cr_skip_test("ThreadSanitizer has no room for so many fibers");
    cr_expect_eq(run_config(&config, keep_alive, NULL), 0);
}
