/* SPDX-License-Identifier: MIT */
/* Which CPUs this process may use, how far they are from each other, and pinning to them. */
#ifndef WF_ARCH_TOPOLOGY_H
#define WF_ARCH_TOPOLOGY_H

#include <stdint.h>

struct wf_topology;

/* Nearest first; what two CPUs share decides in which order workers steal from each other. */
enum wf_distance {
    WF_DISTANCE_CACHE,   /* share a cache (L3 or closer) */
    WF_DISTANCE_NODE,    /* share a NUMA node */
    WF_DISTANCE_MACHINE, /* share nothing closer than the machine */
};

/* Reads the topology as hwloc sees it (HWLOC_SYNTHETIC and HWLOC_XMLFILE are honoured).  0 or
 * -errno. */
int wf_topology_create(struct wf_topology **topology);
void wf_topology_destroy(struct wf_topology *topology);

/* Gives back what only pinning needs: hwloc's own structures and its plugins, which are several
 * megabytes.  Everything but wf_topology_pin() works afterwards. */
void wf_topology_release(struct wf_topology *topology);

/* The CPUs in the affinity mask, at least 1. */
unsigned wf_topology_cpu_count(const struct wf_topology *topology);
/* The operating system's number of the `index`-th of them. */
unsigned wf_topology_cpu_number(const struct wf_topology *topology, unsigned index);
unsigned wf_topology_node_count(const struct wf_topology *topology);

enum wf_distance wf_topology_distance(const struct wf_topology *topology, unsigned a, unsigned b);

/* Pins the calling thread to the `index`-th allowed CPU.  0 or -errno. */
int wf_topology_pin(const struct wf_topology *topology, unsigned index);

#endif
