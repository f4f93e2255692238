/* SPDX-License-Identifier: MIT */
/* The policy of runtime/load.h: samples in, decisions out. */
#include "runtime/load.h"

#include <criterion/criterion.h>

enum { TIMEOUT_S = 60 };

/* The score after so many windows, in which the worker slept in every `every`th one (0: never). */
static uint32_t score_after(uint32_t score, unsigned windows, unsigned every)
{
    for (unsigned i = 1; i <= windows; i++)
        score = wf_load_score(score, 1, every != 0 && i % every == 0);
    return score;
}

/* Help for new fibers after 5 windows, for ready ones after 50. */
Test(load, a_worker_that_never_sleeps_is_overloaded, .timeout = TIMEOUT_S)
{
    cr_expect_lt(score_after(0, 4, 0), WF_OVERLOAD_FRESH);
    cr_expect_geq(score_after(0, 5, 0), WF_OVERLOAD_FRESH);
    cr_expect_lt(score_after(0, 49, 0), WF_OVERLOAD_READY);
    cr_expect_geq(score_after(0, 50, 0), WF_OVERLOAD_READY);
    cr_expect_eq(score_after(0, 100000, 0), WF_OVERLOAD_MAX);
}

/* A client that is slow for a moment lets a busy worker run dry.  That used to take the whole score
 * away, so a server with 32 hot connections was hardly ever helped. */
Test(load, a_worker_that_rarely_sleeps_is_overloaded, .timeout = TIMEOUT_S)
{
    cr_expect_geq(score_after(0, 200, 7), WF_OVERLOAD_READY);
    cr_expect_geq(score_after(0, 1000, 5), WF_OVERLOAD_READY);
    cr_expect_geq(score_after(WF_OVERLOAD_MAX, 1, 1), WF_OVERLOAD_READY, "one sleep is nothing");
}

/* One that sleeps in every fourth window or more often has a queue that runs empty: it is enough.
 */
Test(load, a_worker_that_often_sleeps_is_not_overloaded, .timeout = TIMEOUT_S)
{
    for (unsigned every = 1; every <= 4; every++) {
        cr_expect_lt(score_after(0, 100000, every), WF_OVERLOAD_FRESH, "every %u", every);
        cr_expect(every == 4 || score_after(WF_OVERLOAD_MAX, 300, every) < WF_OVERLOAD_READY,
                  "every %u", every);
    }
    cr_expect_lt(score_after(WF_OVERLOAD_MAX, 5, 1), WF_OVERLOAD_READY, "it is forgotten at once");
    cr_expect_eq(score_after(WF_OVERLOAD_MAX, 22, 1), 0);
}

/* A worker judges itself only when it comes to it: one look can stand for many windows. */
Test(load, one_look_counts_for_all_windows_that_passed, .timeout = TIMEOUT_S)
{
    cr_expect_eq(wf_load_score(10, 20, false), 30);
    cr_expect_eq(wf_load_score(60, 20, false), WF_OVERLOAD_MAX);
    cr_expect_eq(wf_load_score(60, UINT64_MAX / 8, false), WF_OVERLOAD_MAX);
    cr_expect_eq(wf_load_score(60, 10, true), 30);
    cr_expect_eq(wf_load_score(60, 20, true), 0);
    cr_expect_eq(wf_load_score(60, UINT64_MAX / 8, true), 0);
}

Test(load, a_part_is_in_thousandths_and_never_beyond, .timeout = TIMEOUT_S)
{
    cr_expect_eq(wf_load_part(0, 64000000), 0);
    cr_expect_eq(wf_load_part(32000000, 64000000), 500);
    cr_expect_eq(wf_load_part(64000000, 64000000), WF_LOAD_FULL);
    /* The two clocks do not agree to the nanosecond. */
    cr_expect_eq(wf_load_part(64000001, 64000000), WF_LOAD_FULL);
    cr_expect_eq(wf_load_part(-1, 64000000), 0);
    cr_expect_eq(wf_load_part(1, 0), 0);
}

/* A machine that runs the thread for two thirds of the time, while it never waits for work, would
 * otherwise count as one with time to spare, and a second worker would never be called. */
Test(load, time_that_a_hypervisor_takes_is_load, .timeout = TIMEOUT_S)
{
    cr_expect_eq(wf_load_seen(66, 0, 100), WF_LOAD_FULL);
    cr_expect_eq(wf_load_seen(66, 20, 100), 800);
    cr_expect_eq(wf_load_seen(66, 50, 100), 660, "half of the waits submitted");
    cr_expect_eq(wf_load_seen(0, 100, 100), 0);
    cr_expect_eq(wf_load_seen(0, 101, 100), 0, "two clocks are read");
}

/* From either end it takes a few looks, and none is needed twice: the mean comes to its goal. */
Test(load, the_load_follows_what_is_seen, .timeout = TIMEOUT_S)
{
    uint32_t load = 0;

    load = wf_load_mean(load, WF_LOAD_FULL);
    cr_expect_lt(load, WF_LOAD_HIGH, "one look does not decide");
    for (int i = 0; i < 10; i++)
        load = wf_load_mean(load, WF_LOAD_FULL);
    cr_expect_eq(load, WF_LOAD_FULL);
    for (int i = 0; i < 12; i++)
        load = wf_load_mean(load, 0);
    cr_expect_leq(load, 1);
}

/* Two workers must not leave their work to each other: it would go to and fro. */
Test(load, of_two_workers_at_most_one_gives, .timeout = TIMEOUT_S)
{
    for (uint32_t a = 0; a <= WF_LOAD_FULL; a += 5)
        for (uint32_t b = 0; b <= WF_LOAD_FULL; b += 5) {
            bool first = wf_load_goes(a, 0, b, 1), second = wf_load_goes(b, 1, a, 0);

            cr_assert(!first || !second, "%u and %u", a, b);
            cr_assert_eq(first || second, a + b <= WF_LOAD_GATHER, "%u and %u", a, b);
        }
}

/* What overload has spread must not be gathered at once: a worker was overloaded at 80 % at least,
 * so the halves are together beyond what is gathered. */
Test(load, spreading_and_gathering_do_not_alternate, .timeout = TIMEOUT_S)
{
    cr_expect_gt(WF_LOAD_BUSY, WF_LOAD_GATHER + WF_LOAD_IDLE);
    for (uint32_t part = 0; part <= WF_LOAD_BUSY; part++) {
        cr_assert_not(wf_load_goes(part, 0, WF_LOAD_BUSY - part, 1));
        cr_assert_not(wf_load_goes(part, 1, WF_LOAD_BUSY - part, 0));
    }
}

/* A second worker stays if it brings turns, or uses a CPU that was idle. */
Test(load, a_trial_fails_only_without_gain_and_without_use, .timeout = TIMEOUT_S)
{
    cr_expect(wf_load_trial_fails(70000, 100000, 900), "fewer requests with two");
    cr_expect_not(wf_load_trial_fails(130000, 100000, 900), "more requests with two");
    cr_expect_not(wf_load_trial_fails(70, 100000, 2000), "longer turns, and two CPUs in use");
    cr_expect_not(wf_load_trial_fails(100000, 100000, 900));
    cr_expect_not(wf_load_trial_fails(96000, 100000, 900), "that much is noise");
    cr_expect_not(wf_load_trial_fails(0, 0, 0));
}

Test(load, the_calm_after_failures_doubles_up_to_a_minute, .timeout = TIMEOUT_S)
{
    uint32_t calm = 0;

    calm = wf_load_calm(calm);
    cr_expect_eq(calm, WF_CALM_MS_MIN);
    for (int i = 0; i < 100; i++) {
        uint32_t next = wf_load_calm(calm);

        cr_assert(next == 2 * calm || next == WF_CALM_MS_MAX);
        calm = next;
    }
    cr_expect_eq(calm, WF_CALM_MS_MAX);
}
