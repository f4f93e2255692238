/* SPDX-License-Identifier: MIT */
/* future.h: a fiber that has given its result early goes on, and whoever cancels the future, or is
 * done with it, does not disturb what it still has to do. */
#include "../support/fixture.h"

#include <errno.h>
#include <stdatomic.h>

enum { ALL = 6, EARLY = 4 };

struct race {
    weft_future futures[ALL];
    weft_future *all[ALL];
    weft_event go_on;
    int given;
    _Atomic(int) begun, cleaned, cancelled;
};

static int give_early(void *arg)
{
    struct race *race = arg;

    /* A cancel finds all the others at their wait. */
    while (atomic_load(&race->begun) < ALL - 1)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_future_set(race->all[EARLY], race->given, NULL), 0);
    CHECK_EQ(weft_event_wait(&race->go_on, WEFT_FOREVER), 0); /* until the calls have ended */
    CHECK(!weft_is_cancelled());
    CHECK_EQ(weft_sleep(1), 0);
    (void)atomic_fetch_add(&race->cleaned, 1);
    return -EIO; /* too late */
}

static int linger(void *arg)
{
    struct race *race = arg;
    int error;

    (void)atomic_fetch_add(&race->begun, 1);
    error = weft_sleep_until(WEFT_FOREVER);
    (void)atomic_fetch_add(&race->cancelled, 1);
    return error;
}

static void cancel_all(struct race *race)
{
    CHECK_EQ(weft_future_await(race->all[EARLY], NULL, WEFT_FOREVER), 0);
    for (int i = 0; i < ALL; i++)
        weft_future_cancel(race->all[i]);
}

static void race_all(struct race *race)
{
    int result = 0;

    CHECK_EQ(weft_race(race->all, ALL, &result, WEFT_FOREVER), EARLY);
    CHECK_EQ(result, race->given);
}

static void any_of_all(struct race *race)
{
    int result = 0;

    CHECK_EQ(weft_any(race->all, ALL, &result, WEFT_FOREVER), EARLY);
    CHECK_EQ(result, race->given);
}

static void gather_all(struct race *race)
{
    CHECK_EQ(weft_gather(race->all, ALL, WEFT_FOREVER), race->given);
}

static void run_race(int given, void (*end)(struct race *))
{
    struct race race = {.given = given, .go_on = WEFT_EVENT_INIT};

    for (int i = 0; i < ALL; i++) {
        race.all[i] = &race.futures[i];
        CHECK_EQ(weft_future_spawn(race.all[i], i == EARLY ? give_early : linger, &race), 0);
    }
    end(&race);
    weft_event_set(&race.go_on);
    for (int i = 0; i < ALL; i++) {
        CHECK_EQ(weft_future_await(race.all[i], NULL, WEFT_FOREVER), 0);
        weft_future_close(race.all[i]); /* waits for the fiber, which may still run */
    }
    CHECK_EQ(atomic_load(&race.cleaned), 1);
    CHECK_EQ(atomic_load(&race.cancelled), ALL - 1);
}

static int end_in_each_way(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++) {
        run_race(4, cancel_all);
        run_race(4, race_all);
        run_race(-EPIPE, race_all);
        run_race(4, any_of_all);
        run_race(-EPIPE, gather_all);
    }
    return 0;
}

/* What a fiber waits for after its result, to clean up, would fail though nobody means it. */
WORKER_TEST(future_early, only_fibers_without_a_result_are_cancelled, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_in_each_way, NULL), 0);
}
