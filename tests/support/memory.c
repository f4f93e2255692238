/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct memory memory_now(void)
{
    struct memory memory = {0, 0, 0};
    unsigned long page_kib = (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
    FILE *file = fopen("/proc/self/statm", "re");

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu %lu", &memory.size_kib, &memory.resident_kib), 2);
    (void)fclose(file);
    memory.size_kib *= page_kib;
    memory.resident_kib *= page_kib;
    file = fopen("/proc/self/maps", "re");
    CHECK(file != NULL);
    for (int c; (c = getc(file)) != EOF;)
        memory.mappings += c == '\n';
    (void)fclose(file);
    return memory;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep_until(WEFT_FOREVER);
}

struct memory park_and_end(int count)
{
    weft_fiber **fibers = malloc((size_t)count * sizeof(weft_fiber *));
    struct memory parked;

    CHECK(fibers != NULL);
    /* All at once, so that queues grow as well. */
    for (int i = 0; i < count; i++)
        fibers[i] = must_spawn(sleep_for_ever, NULL);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    parked = memory_now();
    for (int i = 0; i < count; i++)
        weft_cancel(fibers[i]);
    for (int i = 0; i < count; i++)
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
    free(fibers);
    return parked;
}
