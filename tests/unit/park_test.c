/* SPDX-License-Identifier: MIT */
/* runtime/park.c with threads; tests/model has the interleavings. */
#include "runtime/park.h"

#include "check.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

enum { TIMEOUT_S = 120, ROUNDS = 20000, NOTIFIERS = 3 };

/* A worker that nobody notified takes back what it announced. */
Test(park, announce_and_retract_leave_the_counts_at_zero, .timeout = TIMEOUT_S)
{
    struct wf_park park = {.worker_count = 2};
    struct wf_parker first = {0}, second = {0};

    cr_expect_not(wf_park_all_asleep(&park));
    wf_park_announce(&park, &first);
    cr_expect_not(wf_park_all_asleep(&park));
    cr_expect(wf_park_wants_helper(&park));
    wf_park_announce(&park, &second);
    cr_expect(wf_park_all_asleep(&park));
    cr_expect_not(wf_park_retract(&park, &second));
    cr_expect_not(wf_park_all_asleep(&park));
    cr_expect_not(wf_park_retract(&park, &first));
    cr_expect_not(wf_park_wants_helper(&park));
    cr_expect_eq(atomic_load(&park.sleeping), 0);
    cr_expect_eq(atomic_load(&park.searching), 0);
}

/* One wake is one search: a second notifier must not add another, and no helper is wanted while
 * one is under way. */
Test(park, a_sleeper_is_notified_once_and_searches_then, .timeout = TIMEOUT_S)
{
    struct wf_park park = {.worker_count = 2};
    struct wf_parker parker = {0}, other = {0};

    cr_expect_not(wf_park_notify(&park, &parker), "it is awake");
    cr_expect_eq(atomic_load(&park.searching), 0);
    wf_park_announce(&park, &parker);
    wf_park_announce(&park, &other);
    cr_expect(wf_park_notify(&park, &parker));
    cr_expect_not(wf_park_notify(&park, &parker));
    cr_expect_eq(atomic_load(&park.searching), 1);
    cr_expect_eq(atomic_load(&park.sleeping), 1);
    cr_expect_not(wf_park_wants_helper(&park), "a helper is under way");
    cr_expect(wf_park_retract(&park, &parker));
    wf_park_end_search(&park);
    cr_expect(wf_park_wants_helper(&park));
    cr_expect_not(wf_park_retract(&park, &other));
    cr_expect_eq(atomic_load(&park.searching), 0);
}

/* Half of the workers at most search: all of them would only get in each other's way. */
Test(park, half_of_the_workers_may_search, .timeout = TIMEOUT_S)
{
    for (uint32_t workers = 1; workers <= 9; workers++) {
        struct wf_park park = {.worker_count = workers};
        uint32_t searchers = 0;

        while (searchers <= workers && wf_park_begin_search(&park))
            searchers++;
        cr_expect_eq(searchers, (workers + 1) / 2, "of %u", workers);
        for (; searchers > 0; searchers--)
            wf_park_end_search(&park);
        cr_expect(wf_park_begin_search(&park));
    }
}

struct contest {
    struct wf_park park;
    struct wf_parker parker;
    _Atomic(unsigned) notified;
    _Atomic(int) is_over;
};

static void *run_notifier(void *arg)
{
    struct contest *contest = arg;

    while (atomic_load(&contest->is_over) == 0)
        if (wf_park_notify(&contest->park, &contest->parker))
            atomic_fetch_add(&contest->notified, 1);
        else
            sched_yield();
    return NULL;
}

/* Several notifiers and a sleeper that also wakes by itself, as I/O does it.  Each successful
 * notification is one search that the sleeper sees; a count that runs under stops the program. */
Test(park, every_notification_arrives_exactly_once, .timeout = TIMEOUT_S)
{
    struct contest contest = {.park = {.worker_count = 1}};
    pthread_t notifiers[NOTIFIERS];
    unsigned seen = 0;

    for (int i = 0; i < NOTIFIERS; i++)
        cr_assert_eq(pthread_create(&notifiers[i], NULL, run_notifier, &contest), 0);
    for (int i = 0; i < ROUNDS; i++) {
        wf_park_announce(&contest.park, &contest.parker);
        if (i % 4 == 0)
            sched_yield();
        if (wf_park_retract(&contest.park, &contest.parker)) {
            seen++;
            wf_park_end_search(&contest.park);
        }
    }
    atomic_store(&contest.is_over, 1);
    for (int i = 0; i < NOTIFIERS; i++)
        cr_assert_eq(pthread_join(notifiers[i], NULL), 0);
    cr_expect_eq(atomic_load(&contest.notified), seen);
    cr_expect_eq(atomic_load(&contest.park.sleeping), 0);
    cr_expect_eq(atomic_load(&contest.park.searching), 0);
}
