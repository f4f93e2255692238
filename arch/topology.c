/* SPDX-License-Identifier: MIT */
/* The machine as hwloc describes it; the only file that includes hwloc.h. */
#include "arch/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>

struct wf_topology {
    hwloc_topology_t hwloc;
    hwloc_obj_t *cpus; /* allowed processing units in logical order: neighbours share caches */
    unsigned cpu_count;
};

/* Caches and NUMA nodes decide distances; I/O devices cost most of the discovery and are not used. */
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

static int list_cpus(struct wf_topology *topology)
{
    hwloc_cpuset_t allowed = allowed_cpus(topology->hwloc);
    int count, i;

    if (allowed == NULL)
        return -ENOMEM;
    count = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_PU);
    topology->cpus = calloc(count > 0 ? (size_t)count : 1, sizeof *topology->cpus);
    for (i = 0; topology->cpus != NULL && i < count; i++) {
        hwloc_obj_t cpu = hwloc_get_obj_by_type(topology->hwloc, HWLOC_OBJ_PU, (unsigned)i);

        if (hwloc_bitmap_isset(allowed, cpu->os_index))
            topology->cpus[topology->cpu_count++] = cpu;
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

void wf_topology_destroy(struct wf_topology *topology)
{
    if (topology->hwloc != NULL)
        hwloc_topology_destroy(topology->hwloc);
    free(topology->cpus);
    free(topology);
}

unsigned wf_topology_cpu_count(const struct wf_topology *topology)
{
    return topology->cpu_count;
}

unsigned wf_topology_cpu_number(const struct wf_topology *topology, unsigned index)
{
    return topology->cpus[index % topology->cpu_count]->os_index;
}

unsigned wf_topology_node_count(const struct wf_topology *topology)
{
    int count = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE);

    return count > 0 ? (unsigned)count : 1;
}

enum wf_distance wf_topology_distance(const struct wf_topology *topology, unsigned a, unsigned b)
{
    hwloc_obj_t first = topology->cpus[a % topology->cpu_count];
    hwloc_obj_t second = topology->cpus[b % topology->cpu_count];
    hwloc_obj_t common;

    if (first == second)
        return WF_DISTANCE_CACHE;
    common = hwloc_get_common_ancestor_obj(topology->hwloc, first, second);
    if (hwloc_obj_type_is_cache(common->type) || common->type == HWLOC_OBJ_CORE)
        return WF_DISTANCE_CACHE;
    if (hwloc_bitmap_intersects(first->nodeset, second->nodeset))
        return WF_DISTANCE_NODE;
    return WF_DISTANCE_MACHINE;
}

int wf_topology_pin(const struct wf_topology *topology, unsigned index)
{
    hwloc_obj_t cpu = topology->cpus[index % topology->cpu_count];

    if (!hwloc_topology_is_thissystem(topology->hwloc))
        return 0;
    return hwloc_set_cpubind(topology->hwloc, cpu->cpuset, HWLOC_CPUBIND_THREAD) == 0 ? 0 : -errno;
}
