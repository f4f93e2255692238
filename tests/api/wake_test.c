/* SPDX-License-Identifier: MIT */
/* A wake of a sleeping worker costs more than what most fibers do: who asks for one, and who not.
 */
#include "../support/fixture.h"

#include <stdlib.h>
#include <unistd.h>
#include <weft/channel.h>
#include <weft/event.h>

enum { ROUNDS = TEST_IS_SANITIZED ? 20000 : 200000, FEW = 20 };

struct pair {
    weft_channel to, fro;
};

static int answer(void *arg)
{
    struct pair *pair = arg;
    int value;

    while (weft_channel_receive(&pair->to, &value, sizeof value, WEFT_FOREVER) == 0)
        CHECK_EQ(weft_channel_send(&pair->fro, &value, sizeof value, WEFT_FOREVER), 0);
    return 0;
}

static int ask(void *arg)
{
    struct pair *pair = arg;
    weft_fiber *other = must_spawn(answer, pair);

    for (int i = 0; i < ROUNDS; i++) {
        int value = i;

        CHECK_EQ(weft_channel_send(&pair->to, &value, sizeof value, WEFT_FOREVER), 0);
        CHECK_EQ(weft_channel_receive(&pair->fro, &value, sizeof value, WEFT_FOREVER), 0);
        CHECK_EQ(value, i);
    }
    weft_channel_close(&pair->to);
    return must_join(other);
}

/* Of two fibers that wake each other in turns, one can run at a time.  There is never work for a
 * second worker, and each wake of one would be in vain. */
WORKER_TEST(wake, a_pair_that_takes_turns_asks_for_no_help, TEST_TIMEOUT_S)
{
    /* Without the monitor, which calls for help when the machine is slow. */
    struct weft_config config = {.workers = *workers, .monitor = 3};
    struct pair pair;

    if (getenv("WEFT_CHAOS"))
        cr_skip_test("chaos has each fiber run on another worker");
    cr_assert_eq(weft_channel_init(&pair.to, sizeof(int), NULL, 0), 0);
    cr_assert_eq(weft_channel_init(&pair.fro, sizeof(int), NULL, 0), 0);
    cr_expect_eq(run_config(&config, ask, &pair), 0);
    /* The end of the run wakes all. */
    cr_expect_leq(run_stats().wakes_sent, *workers + FEW, "%llu wakes in %d rounds",
                  (unsigned long long)run_stats().wakes_sent, ROUNDS);
    cr_expect_leq(run_stats().wakes_received, run_stats().wakes_sent);
    weft_channel_destroy(&pair.to);
    weft_channel_destroy(&pair.fro);
}

static weft_event end = WEFT_EVENT_INIT;

static int await_end(void *arg)
{
    (void)arg;
    return weft_event_wait(&end, WEFT_FOREVER);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

/* A worker that sleeps is woken by whoever spawns, and both count it.  It may not sleep yet when
 * the first fibers come. */
Test(wake, is_counted_by_who_sends_and_who_receives_it, .timeout = TEST_TIMEOUT_S)
{
    weft_runtime *runtime = must_start(1, await_end, NULL);
    struct weft_stats stats, worker;
    int result;

    do {
        weft_fiber *fiber;

        (void)usleep(1000);
        cr_assert_eq(weft_spawn_on(runtime, NULL, &fiber, return_zero, NULL), 0);
        cr_assert_eq(weft_join(fiber, &result, WEFT_FOREVER), 0);
        cr_assert_eq(weft_stats_read_worker_on(runtime, 0, &worker), 0);
    } while (worker.wakes_received == 0);
    cr_assert_eq(weft_stats_read_on(runtime, &stats), 0);
    cr_expect_geq(stats.wakes_sent, worker.wakes_received);
    weft_event_set(&end);
    cr_expect_eq(must_end(runtime), 0);
}
