/* SPDX-License-Identifier: MIT */
/* Spare workers that come, give back what they have, and come again. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

struct service {
    int pair[2];
    atomic_int begun, ended;
};

static int serve(void *arg)
{
    struct service *service = arg;
    char byte;

    atomic_store(&service->begun, 1);
    CHECK_EQ(weft_read(service->pair[0], &byte, 1, WEFT_FOREVER), 1);
    atomic_store(&service->ended, 1);
    return 0;
}

/* Only another worker can run the fiber, and there is none but spares. */
static void compute_until_served(void)
{
    struct service service = {.begun = 0, .ended = 0};
    weft_fiber *fiber;

    make_socket_pair(service.pair);
    fiber = must_spawn(serve, &service);
    while (atomic_load(&service.begun) == 0)
        continue;
    CHECK_EQ(write(service.pair[1], "x", 1), 1);
    while (atomic_load(&service.ended) == 0)
        continue;
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(weft_close(service.pair[0]), 0);
    CHECK_EQ(weft_close(service.pair[1]), 0);
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

/* A spare that kept its ring would keep the test; one that is called and stays down, or cannot wait
 * for a read, would keep the fiber. */
Test(spare, gives_its_ring_back_after_a_rest_and_comes_again, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1};

    cr_expect_eq(run_config(&config, call_again, NULL), 0);
}
