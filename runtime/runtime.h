/* SPDX-License-Identifier: MIT */
/* What starting a runtime and describing one have in common. */
#ifndef WF_RUNTIME_RUNTIME_H
#define WF_RUNTIME_RUNTIME_H

#include <stdint.h>

struct weft_config;
struct wf_topology;

/* The number of workers: what is asked for, else the CPU quota rounded up or the allowed CPUs,
 * whichever is less. */
uint32_t wf_runtime_count_workers(const struct weft_config *config,
                                  const struct wf_topology *topology, uint64_t quota);

#endif
