/* SPDX-License-Identifier: MIT */
#include "simulate.h"

int simulate(const struct weft_sim_options *options, int (*fn)(void *), void *arg)
{
    struct resources before = resources_now();
    int result = weft_sim_run(options, fn, arg);

    assert_resources_return_to(before);
    return result;
}

struct weft_sim_options faulty_options(uint64_t seed, bool fails, struct weft_sim_report *report)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = seed;
    options.faults = WEFT_SIM_FAULTS_ALL;
    options.faults_for = 30 * WEFT_SECOND;
    options.limit = 600 * WEFT_SECOND;
    options.is_quiet = fails;
    options.report = report;
    return options;
}

enum { REPLAYS = 100 };

void assert_replays(simulate_seed *run, uint64_t seed)
{
    struct weft_sim_report first, again;

    cr_assert_eq(run(seed, &first), 0);
    cr_expect_gt(first.points, 0);
    for (int i = 0; i < REPLAYS; i++) {
        cr_assert_eq(run(seed, &again), 0);
        cr_assert_eq(again.trace_hash, first.trace_hash, "replay %d", i);
        cr_assert_eq(again.trace_events, first.trace_events);
        cr_assert_eq(again.elapsed, first.elapsed);
    }
    cr_assert_eq(run(seed + 1, &again), 0);
    cr_expect_neq(again.trace_hash, first.trace_hash);
}

uint32_t faults_seen(simulate_seed *run, uint32_t wanted)
{
    struct weft_sim_report report;
    /* By themselves the seeds choose up to eight workers.  A run with 64 takes a sanitizer up to
     * two seconds. */
    bool is_slow = TEST_IS_SANITIZED && getenv("WEFT_WORKERS") != NULL && !is_soak();
    uint64_t least = (is_slow ? 1 : 4) * SIMULATE_SEEDS;
    uint32_t seen = 0;

    for (uint64_t seed = 1; seed <= 4 * SIMULATE_SEEDS; seed++) {
        if (seed > least && (seen & wanted) == wanted)
            break;
        cr_assert_eq(run(seed, &report), 0);
        for (int i = 0; i < 32; i++)
            seen |= (uint32_t)(report.faults[i] > 0) << i;
    }
    return seen;
}
