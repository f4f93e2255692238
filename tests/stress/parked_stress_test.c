/* SPDX-License-Identifier: MIT */
/* A crowd of fibers waits for one event, in bounded memory, and all of them wake. */
#include "stress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    CROWD = TEST_IS_SANITIZED ? TEST_FIBERS_ALIVE_MAX : 100000,
    /* 4.6 KiB: a page, 513 bytes of page tables, and 100 for all else, as the growth of queues. */
    BYTES_PER_FIBER_MAX = 4710,
};

struct crowd {
    weft_channel event; /* closed: it has come */
    char room[1];
    _Atomic(int) arrived;
    weft_fiber **fibers;
};

/* Resident memory and the page tables behind it. */
static long long resident_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    long long total_kib = 0;
    char line[256];

    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            total_kib += strtoll(line + 6, NULL, 10);
    CHECK_EQ(fclose(status), 0);
    return total_kib * 1024;
}

static int await_event(void *arg)
{
    struct crowd *crowd = arg;
    char item;

    (void)atomic_fetch_add(&crowd->arrived, 1);
    return weft_channel_receive(&crowd->event, &item, 1, WEFT_FOREVER) == -ENODATA ? 1 : 0;
}

static int park_and_wake(void *arg)
{
    struct crowd *crowd = arg;
    long long before = resident_bytes();
    struct weft_stats stats;
    int woken = 0;

    for (int i = 0; i < CROWD; i++)
        crowd->fibers[i] = must_spawn(await_event, crowd);
    while (atomic_load(&crowd->arrived) < CROWD)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    /* A sanitizer has memory of its own for each of them. */
    if (!TEST_IS_SANITIZED)
        CHECK((resident_bytes() - before) / CROWD <= BYTES_PER_FIBER_MAX);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK_EQ(stats.stacks_unguarded, 0);
    weft_channel_close(&crowd->event);
    for (int i = 0; i < CROWD; i++)
        woken += must_join(crowd->fibers[i]);
    return woken;
}

/* A waiter that is lost hangs the test; a second allocation per fiber, or a page more, fails it. */
WORKER_TEST(parked_stress, a_crowd_waits_in_a_page_each_and_wakes, STRESS_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .guard = 1};
    struct crowd crowd = {.arrived = 0};

    crowd.fibers = malloc(CROWD * sizeof *crowd.fibers);
    cr_assert_not_null(crowd.fibers);
    memset(crowd.fibers, 1, CROWD * sizeof *crowd.fibers);
    cr_assert_eq(weft_channel_init(&crowd.event, 1, crowd.room, 1), 0);
    cr_expect_eq(run_config(&config, park_and_wake, &crowd), CROWD);
    weft_channel_destroy(&crowd.event);
    free(crowd.fibers);
}
