/* SPDX-License-Identifier: MIT */
/* The policy of runtime/spin.h, and where it is off. */
#include "runtime/spin.h"

#include "arch/topology.h"
#include "runtime/runtime.h"

#include <criterion/criterion.h>
#include <weft/runtime.h>

enum { TIMEOUT_S = 60, STALL_US = 4000, SLEEPS = 100000 };

static struct wf_spin make_spin(uint32_t us)
{
    struct wf_spin spin = {.limit = 0};

    wf_spin_init(&spin, us, STALL_US);
    return spin;
}

Test(spin, the_time_is_as_configured, .timeout = TIMEOUT_S)
{
    struct wf_spin none = make_spin(WF_SPIN_NONE_US), given = make_spin(30),
                   longest = make_spin(1000);
    struct wf_spin hasty = {.limit = 0};

    wf_spin_init(&hasty, 1000, 100);
    cr_expect_eq(wf_spin_begin(&none), 0);
    cr_expect_eq(wf_spin_begin(&given), 30000);
    cr_expect_eq(wf_spin_begin(&longest), 1000000);
    cr_expect_eq(wf_spin_begin(&hasty), 50000, "it would count as stuck");
    wf_spin_woke(&none, 40000);
    wf_spin_woke(&given, 40000);
    cr_expect_eq(wf_spin_begin(&none), 0);
    cr_expect_eq(wf_spin_begin(&given), 30000, "a time that was given is not measured");
}

/* The mean follows the machine, and waits for a CPU do not spoil it. */
Test(spin, the_time_is_that_of_a_wake, .timeout = TIMEOUT_S)
{
    struct wf_spin spin = make_spin(0);

    for (int i = 0; i < 100; i++)
        wf_spin_woke(&spin, 5000);
    cr_expect_leq(wf_spin_begin(&spin), 5010);
    cr_expect_geq(wf_spin_begin(&spin), 4990);
    for (int i = 0; i < 100; i++)
        wf_spin_woke(&spin, 10000000);
    cr_expect_leq(wf_spin_begin(&spin), WF_SPIN_MAX_NS);
    cr_expect_geq(wf_spin_begin(&spin), WF_SPIN_MAX_NS - 10);
}

/* Whoever waits long each time does not pay for looks. */
Test(spin, looks_in_vain_become_rare, .timeout = TIMEOUT_S)
{
    struct wf_spin spin = make_spin(20);
    int looks = 0;

    for (int i = 0; i < SLEEPS; i++)
        if (wf_spin_begin(&spin) != 0) {
            looks++;
            wf_spin_end(&spin, false, 20000);
        }
    cr_expect_gt(looks, SLEEPS / 1100);
    cr_expect_lt(looks, 20 + SLEEPS / 1000);
    cr_expect_eq(spin.spent, looks * INT64_C(20000));
}

/* One that finds something makes the next sleep begin with one again. */
Test(spin, a_look_that_finds_something_is_repeated, .timeout = TIMEOUT_S)
{
    struct wf_spin spin = make_spin(20);

    for (int i = 0; i < SLEEPS; i++)
        if (wf_spin_begin(&spin) != 0)
            wf_spin_end(&spin, false, 20000);
    while (wf_spin_begin(&spin) == 0)
        ;
    wf_spin_end(&spin, true, 100);
    for (int i = 0; i < 10; i++) {
        cr_expect_eq(wf_spin_begin(&spin), 20000);
        wf_spin_end(&spin, true, 100);
    }
    wf_spin_end(&spin, false, 20000);
    cr_expect_eq(wf_spin_begin(&spin), 0);
}

static uint32_t spin_us(const char *description, const struct weft_config *config, uint64_t quota)
{
    struct wf_topology *topology;
    uint32_t us;

    cr_assert_eq(wf_topology_create_synthetic(&topology, description, NULL), 0);
    us = wf_runtime_spin_us(config, topology, quota);
    wf_topology_destroy(topology);
    return us;
}

Test(spin, there_is_none_where_cpus_are_shared, .timeout = TIMEOUT_S)
{
    const char *one = "package:1 core:1 pu:1", *four = "package:1 core:4 pu:1";
    struct weft_config config = WEFT_CONFIG_INIT;

    cr_expect_eq(spin_us(four, &config, 0), 0, "measured");
    cr_expect_eq(spin_us(one, &config, 0), WF_SPIN_NONE_US);
    cr_expect_eq(spin_us(four, &config, 2000), 0);
    cr_expect_eq(spin_us(four, &config, 1500), WF_SPIN_NONE_US, "two workers for one and a half");
    cr_expect_eq(spin_us(four, &config, 500), WF_SPIN_NONE_US);
    config.workers = 4;
    cr_expect_eq(spin_us(four, &config, 0), 0);
    cr_expect_eq(spin_us(four, &config, 3900), WF_SPIN_NONE_US);
    config.workers = 5;
    cr_expect_eq(spin_us(four, &config, 0), WF_SPIN_NONE_US);
    config.spin_us = 10;
    cr_expect_eq(spin_us(four, &config, 0), 10, "as the program wishes");
    config.chaos = 1;
    cr_expect_eq(spin_us(four, &config, 0), WF_SPIN_NONE_US);
}
