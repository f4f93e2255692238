/* SPDX-License-Identifier: MIT */
#include "runtime/stats.h"

#include <weft/runtime.h>

void wf_stats_collect(struct wf_counters *counters, struct weft_stats *stats)
{
#define ADD(name) stats->name += wf_counter_read(&counters->name);
    WF_COUNTERS(ADD)
#undef ADD
}
