/* SPDX-License-Identifier: MIT */
#include "simulate.h"

int simulate(const struct weft_sim_options *options, int (*fn)(void *), void *arg)
{
    struct resources before = resources_now();
    int result = weft_sim_run(options, fn, arg);

    assert_resources_return_to(before);
    return result;
}
