/* SPDX-License-Identifier: MIT */
/* spin_us of struct weft_config: a worker looks for work for a while before it sleeps. */
#include "../support/fixture.h"
#include "../support/net.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS = 5, CALL_US = 3000 };

static int take_a_while(void *arg)
{
    return usleep(*(useconds_t *)arg);
}

/* The worker runs dry during each call: a look of a millisecond at most cannot outlast it. */
static int run_dry(void *arg)
{
    useconds_t us = CALL_US;

    (void)arg;
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(weft_blocking(take_a_while, &us, WEFT_FOREVER), 0);
    return 0;
}

WORKER_TEST(spin, who_runs_dry_looks_before_it_sleeps, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .spin_us = 1000};

    cr_expect_eq(run_config(&config, run_dry, NULL), 0);
    if (getenv("WEFT_CHAOS") != NULL)
        cr_expect_eq(run_stats().spins, 0);
    else
        cr_expect_gt(run_stats().spins, 0);
    cr_expect_gt(run_stats().parks, 0, "it never slept");
    cr_expect_leq(run_stats().spins_won, run_stats().spins);
}

WORKER_TEST(spin, one_microsecond_is_not_at_all, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .spin_us = 1};

    cr_expect_eq(run_config(&config, run_dry, NULL), 0);
    cr_expect_eq(run_stats().spins, 0);
    cr_expect_eq(run_stats().spins_won, 0);
}

struct reading {
    int fds[2];
    char byte;
};

static int read_byte(void *arg)
{
    struct reading *reading = arg;

    return (int)weft_read(reading->fds[0], &reading->byte, 1, WEFT_FOREVER);
}

static struct weft_stats stats_so_far(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats;
}

static int run_dry_beside_a_reader(void *arg)
{
    struct reading *reading = arg;
    weft_fiber *reader = must_spawn(read_byte, reading);
    uint64_t before;

    while (stats_so_far().ops_submitted == 0)
        CHECK_EQ(weft_yield(), 0);
    before = stats_so_far().spins;
    CHECK_EQ(run_dry(NULL), 0);
    CHECK_EQ(stats_so_far().spins, before);
    CHECK_EQ(write(reading->fds[1], "", 1), 1);
    CHECK_EQ(must_join(reader), 1);
    return 0;
}

/* The kernel ends such a wait, and whoever sends may want the CPU. */
Test(spin, who_waits_for_io_does_not_look, .timeout = TEST_TIMEOUT_S)
{
    /* No spare worker, with which the read could be under way. */
    struct weft_config config = {.workers = 1, .spin_us = 1000, .monitor = 2};
    struct reading reading;

    make_socket_pair(reading.fds);
    cr_expect_eq(run_config(&config, run_dry_beside_a_reader, &reading), 0);
    cr_expect_eq(close(reading.fds[0]), 0);
    cr_expect_eq(close(reading.fds[1]), 0);
}
