/* SPDX-License-Identifier: MIT */
/* The machine as hwloc describes it; the only file that includes hwloc.h. */
#include "arch/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdlib.h>

/* An allowed processing unit. */
struct cpu {
    unsigned number;      /* the operating system's */
    unsigned cache_group; /* the same for all that share its largest cache */
    unsigned node;        /* its first NUMA node */
};

struct wf_topology {
    hwloc_topology_t hwloc; /* NULL once released */
    bool is_this_machine;   /* false for synthetic topologies: nothing can be pinned to them */
    struct cpu *cpus;       /* in logical order: neighbours share caches */
    unsigned cpu_count;
    unsigned node_count;
};

/* Caches and NUMA nodes decide distances; I/O devices cost most of the discovery and are not used.
 */
static int load(struct wf_topology *topology)
{
    hwloc_topology_t hwloc;

    if (hwloc_topology_init(&hwloc) != 0)
        return -ENOMEM;
    if (hwloc_topology_set_io_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        hwloc_topology_load(hwloc) != 0) {
        hwloc_topology_destroy(hwloc);
        return -ENODEV;
    }
    topology->hwloc = hwloc;
    topology->is_this_machine = hwloc_topology_is_thissystem(hwloc) != 0;
    return 0;
}

/* The affinity mask of this process, or every CPU where binding means nothing (synthetic
 * topologies). */
static hwloc_cpuset_t allowed_cpus(hwloc_topology_t hwloc)
{
    hwloc_cpuset_t set = hwloc_bitmap_alloc();

    if (set == NULL)
        return NULL;
    if (!hwloc_topology_is_thissystem(hwloc) ||
        hwloc_get_cpubind(hwloc, set, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(hwloc));
    return set;
}

/* The largest cache above a processing unit, or the unit itself where none is known. */
static hwloc_obj_t largest_cache(hwloc_obj_t unit)
{
    hwloc_obj_t found = unit;

    for (hwloc_obj_t at = unit->parent; at != NULL; at = at->parent)
        if (hwloc_obj_type_is_cache(at->type) || at->type == HWLOC_OBJ_CORE)
            found = at;
    return found;
}

static void add_cpu(struct wf_topology *topology, hwloc_obj_t unit)
{
    struct cpu *cpu = &topology->cpus[topology->cpu_count++];
    int node = hwloc_bitmap_first(unit->nodeset);

    cpu->number = unit->os_index;
    /* The first unit below the cache names the group. */
    cpu->cache_group = (unsigned)hwloc_bitmap_first(largest_cache(unit)->cpuset);
    cpu->node = node >= 0 ? (unsigned)node : 0;
}

static int list_cpus(struct wf_topology *topology)
{
    hwloc_cpuset_t allowed = allowed_cpus(topology->hwloc);
    int count, i;

    if (allowed == NULL)
        return -ENOMEM;
    count = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE);
    topology->node_count = count > 0 ? (unsigned)count : 1;
    count = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_PU);
    topology->cpus = calloc(count > 0 ? (size_t)count : 1, sizeof *topology->cpus);
    for (i = 0; topology->cpus != NULL && i < count; i++) {
        hwloc_obj_t unit = hwloc_get_obj_by_type(topology->hwloc, HWLOC_OBJ_PU, (unsigned)i);

        if (hwloc_bitmap_isset(allowed, unit->os_index))
            add_cpu(topology, unit);
    }
    hwloc_bitmap_free(allowed);
    if (topology->cpus == NULL)
        return -ENOMEM;
    return topology->cpu_count > 0 ? 0 : -ENODEV;
}

int wf_topology_create(struct wf_topology **result)
{
    struct wf_topology *topology = calloc(1, sizeof *topology);
    int error;

    if (topology == NULL)
        return -ENOMEM;
    error = load(topology);
    if (error == 0)
        error = list_cpus(topology);
    if (error != 0) {
        wf_topology_destroy(topology);
        return error;
    }
    *result = topology;
    return 0;
}

void wf_topology_release(struct wf_topology *topology)
{
    if (topology->hwloc != NULL)
        hwloc_topology_destroy(topology->hwloc);
    topology->hwloc = NULL;
}

void wf_topology_destroy(struct wf_topology *topology)
{
    wf_topology_release(topology);
    free(topology->cpus);
    free(topology);
}

unsigned wf_topology_cpu_count(const struct wf_topology *topology)
{
    return topology->cpu_count;
}

unsigned wf_topology_cpu_number(const struct wf_topology *topology, unsigned index)
{
    return topology->cpus[index % topology->cpu_count].number;
}

unsigned wf_topology_node_count(const struct wf_topology *topology)
{
    return topology->node_count;
}

enum wf_distance wf_topology_distance(const struct wf_topology *topology, unsigned a, unsigned b)
{
    const struct cpu *first = &topology->cpus[a % topology->cpu_count];
    const struct cpu *second = &topology->cpus[b % topology->cpu_count];

    if (first->cache_group == second->cache_group)
        return WF_DISTANCE_CACHE;
    return first->node == second->node ? WF_DISTANCE_NODE : WF_DISTANCE_MACHINE;
}

int wf_topology_pin(const struct wf_topology *topology, unsigned index)
{
    hwloc_cpuset_t set;
    int error = 0;

    if (!topology->is_this_machine)
        return 0;
    set = hwloc_bitmap_alloc();
    if (set == NULL || hwloc_bitmap_set(set, wf_topology_cpu_number(topology, index)) != 0)
        error = -ENOMEM;
    else if (hwloc_set_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD) != 0)
        error = -errno;
    hwloc_bitmap_free(set);
    return error;
}
