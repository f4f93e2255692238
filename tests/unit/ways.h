/* SPDX-License-Identifier: MIT */
/* The ways in which a switch may load the modes: x86-64 has two, of which each processor uses one.
 */
#ifndef WEFT_TEST_UNIT_WAYS_H
#define WEFT_TEST_UNIT_WAYS_H

#include "arch/context.h"

#if defined(__x86_64__)
enum { WAYS = 2 };
#else
enum { WAYS = 1 };
#endif

static inline void take_way(int way)
{
#if defined(__x86_64__)
    wf_context_loads_at_once = way == 1;
#else
    (void)way;
#endif
}

#endif
