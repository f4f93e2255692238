/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs this process may use, in which order workers take them, how far they are from each
 * other, and pinning to them.
 *
 * Worker i has place i.  Places are allowed CPUs in hwloc's logical order, in which neighbours
 * share caches, but every core is taken once before any is taken twice: two workers on the hardware
 * threads of one core halve each other while another core idles.  Places beyond the last CPU start
 * again at the first.
 */
#ifndef WF_ARCH_TOPOLOGY_H
#define WF_ARCH_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

struct wf_topology;

/* Nearest first; what two CPUs share decides in which order workers steal from each other. */
enum wf_distance {
    WF_DISTANCE_CORE,    /* hardware threads of one core, or one CPU */
    WF_DISTANCE_L2,      /* share an L2 cache */
    WF_DISTANCE_CACHE,   /* share the largest cache, usually L3 */
    WF_DISTANCE_NODE,    /* share a NUMA node */
    WF_DISTANCE_PACKAGE, /* share a package of several NUMA nodes */
    WF_DISTANCE_MACHINE, /* share nothing closer than the machine */
    WF_DISTANCES,
};

/* Where a worker is, in numbers to print. */
struct wf_place {
    unsigned cpu;     /* the operating system's number */
    unsigned core;    /* hwloc's logical numbers */
    unsigned cache;   /* of the largest cache */
    unsigned package; /* 0 where none is known */
    unsigned node;    /* the operating system's number of its first NUMA node */
    unsigned group;   /* CPUs that share NUMA node and, where cores share one, largest cache */
};

/* Reads the topology as hwloc sees it (HWLOC_SYNTHETIC and HWLOC_XMLFILE are honoured).  0 or
 * -errno. */
int wf_topology_create(struct wf_topology **topology);

/* A machine that hwloc makes up, see "Synthetic topologies" in its manual, of which the CPUs in
 * `allowed` ("0-3,8"; NULL: all) may be used.  Nothing can be pinned to it.  0 or -errno. */
int wf_topology_create_synthetic(struct wf_topology **topology, const char *description,
                                 const char *allowed);
void wf_topology_destroy(struct wf_topology *topology);

/* Gives back what only pinning needs: hwloc's own structures and its plugins, which are several
 * megabytes.  Everything but wf_topology_pin() works afterwards. */
void wf_topology_release(struct wf_topology *topology);

/* False for a machine that was made up: what has a number here may not be there. */
bool wf_topology_is_real(const struct wf_topology *topology);

/* The CPUs in the affinity mask, at least 1. */
unsigned wf_topology_cpu_count(const struct wf_topology *topology);
unsigned wf_topology_node_count(const struct wf_topology *topology);

/* True if the first `count` places, or all there are, lie on more than one NUMA node. */
bool wf_topology_is_spread(const struct wf_topology *topology, unsigned count);

struct wf_place wf_topology_place(const struct wf_topology *topology, unsigned index);

enum wf_distance wf_topology_distance(const struct wf_topology *topology, unsigned a, unsigned b);

/* The groups that hold allowed CPUs, at least 1. */
unsigned wf_topology_group_count(const struct wf_topology *topology);

/* A row of group_count entries for each group: all groups, nearest first, itself at the front. */
const uint32_t *wf_topology_group_order(const struct wf_topology *topology);

/* Adds the allowed CPUs that share the NUMA node of place `index`. */
struct wf_os_affinity;
void wf_topology_add_node(const struct wf_topology *topology, unsigned index,
                          struct wf_os_affinity *affinity);

/* Pins the calling thread to the CPU of place `index`.  0 or -errno. */
int wf_topology_pin(const struct wf_topology *topology, unsigned index);

#endif
