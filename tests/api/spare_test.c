/* SPDX-License-Identifier: MIT */
/* Spare workers that come, give back what they have, and come again. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static int count_rings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, "io_uring") != NULL;
    (void)fclose(file);
    return count;
}

static int set(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

/* Only another worker can run the fiber, and there is none but spares. */
static void compute_until_served(void)
{
    atomic_int served = 0;
    weft_fiber *fiber = must_spawn(set, &served);

    while (atomic_load(&served) == 0)
        continue;
    CHECK_EQ(must_join(fiber), 0);
}

static int call_again(void *arg)
{
    int rings = count_rings();
    struct weft_stats stats;

    (void)arg;
    for (int round = 0; round < 3; round++) {
        compute_until_served();
        CHECK_EQ(weft_stats_read(&stats), 0);
        CHECK(stats.spares > 0);
        while (count_rings() > rings)
            CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    }
    return 0;
}

/* A spare that kept its ring would keep the test; one that is called and stays down would keep the
 * fiber. */
Test(spare, gives_its_ring_back_after_a_rest_and_comes_again, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1};

    cr_expect_eq(run_config(&config, call_again, NULL), 0);
}
