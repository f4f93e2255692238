/* SPDX-License-Identifier: MIT */
/* Runs the fiber of a test in simulation, with several seeds. */
#ifndef WEFT_TEST_SIMULATE_H
#define WEFT_TEST_SIMULATE_H

#include "fixture.h"

#include <stdlib.h>

enum { SIMULATE_SEEDS = 30 };

/* weft_sim_run(), and asserts that the process has as many descriptors and threads as before. */
int simulate(const struct weft_sim_options *options, int (*fn)(void *), void *arg);

/* A run of one seed; its result. */
typedef int simulate_seed(uint64_t seed, struct weft_sim_report *report);

/* A scenario with all its faults, for a while, and time for it to become quiet after them. `fails`:
 * it is expected to, and says nothing of it. */
struct weft_sim_options faulty_options(uint64_t seed, bool fails, struct weft_sim_report *report);

/* Asserts that the seed gives the same run each time, and another seed another one. */
void assert_replays(simulate_seed *run, uint64_t seed);

/* Runs many seeds, none of which may fail, and returns the kinds of faults (enum weft_sim_fault)
 * that have happened.  A sanitizer with a fixed number of workers stops when it has seen all that
 * are wanted, after SIMULATE_SEEDS at the least. */
uint32_t faults_seen(simulate_seed *run, uint32_t wanted);

/* For a suite's .init: what CI sets to run other tests on another backend would be taken at its
 * word. */
static inline void forget_backend(void)
{
    unsetenv("WEFT_BACKEND");
}

/* Each test is a fiber that is simulated with several seeds, and these faults. */
#define SIM_TEST(suite, name, fault_kinds, ppm)                                            \
    static int name(void *arg);                                                            \
    Test(suite, name)                                                                      \
    {                                                                                      \
        struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;                           \
                                                                                           \
        options.faults = (fault_kinds);                                                    \
        options.fault_ppm = (ppm);                                                         \
        options.disk = "/simulated";                                                       \
        for (options.seed = 1; options.seed <= SIMULATE_SEEDS; options.seed++)             \
            cr_assert_eq(simulate(&options, name, NULL), 0, "seed %d", (int)options.seed); \
    }                                                                                      \
    static int name(void *arg)

#endif
