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

enum { ROUNDS = 10 };

struct shift {
    weft_semaphore begins; /* what a fiber waits for that the worker ran before */
    atomic_int is_relieved;
};

static int compute_until_relieved(void *arg)
{
    struct shift *shift = arg;

    while (atomic_load(&shift->is_relieved) == 0)
        continue;
    return 0;
}

static int wait_for_shift(void *arg)
{
    struct shift *shift = arg;

    return weft_semaphore_acquire(&shift->begins, 1, WEFT_FOREVER);
}

/* Lets the worker go on, which then sleeps, and computes until the spare that runs it has been sent
 * to the reserve. */
static int relieve_and_stay(void *arg)
{
    struct shift *shift = arg;
    weft_time end;

    atomic_store(&shift->is_relieved, 1);
    for (end = weft_after(200 * WEFT_MILLISECOND); weft_now() < end;)
        continue;
    weft_semaphore_release(&shift->begins, 1);
    return 0;
}

static int hand_over_what_was_begun_elsewhere(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        struct shift shift = {WEFT_SEMAPHORE_INIT(0), 0};
        weft_fiber *fibers[3];

        fibers[0] = must_spawn(wait_for_shift, &shift);
        CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
        fibers[1] = must_spawn(relieve_and_stay, &shift);
        fibers[2] = must_spawn(compute_until_relieved, &shift);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(must_join(fibers[i]), 0);
    }
    return 0;
}

/* Chaos gives a fiber to another worker than its last one if it can, but where there is one worker
 * that one has to wake for it. */
Test(spare, hands_over_to_the_only_worker_in_chaos, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .spare_workers = 1, .chaos = 7};

    cr_expect_eq(run_config(&config, hand_over_what_was_begun_elsewhere, NULL), 0);
}
