/* SPDX-License-Identifier: MIT */
/* The machine as hwloc describes it; the only file that includes hwloc.h. */
#include "arch/topology.h"

#include "arch/os.h"
#include "arch/sim.h"

#include <errno.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdlib.h>

/* An allowed processing unit.  The ids are hwloc's gp_index: no two objects have the same, of
 * whatever type, so a missing level can stand in by the one below it. */
struct cpu {
    struct wf_place place;
    unsigned rank; /* how many units of its core come before it */
    uint64_t core_id;
    uint64_t l2_id;
    uint64_t cache_id; /* of the largest cache */
    uint64_t package_id;
    uint64_t shared_id; /* the cache's if several cores share it, else 0 */
};

struct wf_topology {
    hwloc_topology_t hwloc; /* NULL once released */
    bool is_this_machine;   /* false for synthetic topologies: nothing can be pinned to them */
    struct cpu *cpus;       /* in the order of places */
    unsigned cpu_count;
    unsigned node_count;
    unsigned group_count;
    uint32_t *group_order;
};

/* Caches and NUMA nodes decide distances; I/O devices cost most of the discovery and are not used.
 */
static int load(struct wf_topology *topology, const char *synthetic)
{
    hwloc_topology_t hwloc;

    if (synthetic == NULL && wf_sim_is_here())
        synthetic = "package:1 core:8 pu:1"; /* a simulation is the same on any machine */
    if (hwloc_topology_init(&hwloc) != 0)
        return -ENOMEM;
    if (hwloc_topology_set_io_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        (synthetic != NULL && hwloc_topology_set_synthetic(hwloc, synthetic) != 0) ||
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
static int read_allowed(const struct wf_topology *topology, hwloc_bitmap_t set)
{
    hwloc_topology_t hwloc = topology->hwloc;

    if (topology->is_this_machine && hwloc_get_cpubind(hwloc, set, HWLOC_CPUBIND_THREAD) == 0)
        return 0;
    return hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(hwloc)) == 0 ? 0 : -ENOMEM;
}

/* The nearest object of this type above `unit`, or else `fallback`. */
static hwloc_obj_t above(hwloc_topology_t hwloc, hwloc_obj_type_t type, hwloc_obj_t unit,
                         hwloc_obj_t fallback)
{
    hwloc_obj_t found = hwloc_get_ancestor_obj_by_type(hwloc, type, unit);

    return found != NULL ? found : fallback;
}

static hwloc_obj_t largest_cache(hwloc_obj_t unit, hwloc_obj_t fallback)
{
    hwloc_obj_t found = fallback;

    for (hwloc_obj_t at = unit->parent; at != NULL; at = at->parent)
        if (hwloc_obj_type_is_cache(at->type))
            found = at;
    /* A first-level cache can be below the core that stands in for what is not known. */
    return hwloc_bitmap_isincluded(fallback->cpuset, found->cpuset) ? found : fallback;
}

static struct cpu describe(hwloc_topology_t hwloc, hwloc_obj_t unit)
{
    hwloc_obj_t core = above(hwloc, HWLOC_OBJ_CORE, unit, unit);
    hwloc_obj_t l2 = above(hwloc, HWLOC_OBJ_L2CACHE, unit, core);
    hwloc_obj_t cache = largest_cache(unit, core);
    hwloc_obj_t package = above(hwloc, HWLOC_OBJ_PACKAGE, unit, hwloc_get_root_obj(hwloc));
    int node = hwloc_bitmap_first(unit->nodeset);

    return (struct cpu){
        .place = {.cpu = unit->os_index,
                  .core = core->logical_index,
                  .cache = cache->logical_index,
                  .package = package->logical_index,
                  .node = node >= 0 ? (unsigned)node : 0},
        .core_id = core->gp_index,
        .l2_id = l2->gp_index,
        .cache_id = cache->gp_index,
        .package_id = package->gp_index,
        .shared_id = hwloc_bitmap_isequal(cache->cpuset, core->cpuset) ? 0 : cache->gp_index,
    };
}

/* Appends a processing unit that follows the others in logical order. */
static void add_cpu(struct wf_topology *topology, hwloc_obj_t unit)
{
    struct cpu *cpu = &topology->cpus[topology->cpu_count];

    *cpu = describe(topology->hwloc, unit);
    if (topology->cpu_count > 0) {
        const struct cpu *last = cpu - 1;

        cpu->rank = last->core_id == cpu->core_id ? last->rank + 1 : 0;
        cpu->place.group = last->place.group;
        if (last->shared_id != cpu->shared_id || last->place.node != cpu->place.node)
            cpu->place.group++;
    }
    topology->group_count = cpu->place.group + 1;
    topology->cpu_count++;
}

/* Each core's first unit, then each core's second, and so on; otherwise as it was. */
static int order_places(struct wf_topology *topology)
{
    struct cpu *ordered = calloc(topology->cpu_count, sizeof *ordered);
    unsigned filled = 0;

    if (ordered == NULL)
        return -ENOMEM;
    for (unsigned rank = 0; filled < topology->cpu_count; rank++)
        for (unsigned i = 0; i < topology->cpu_count; i++)
            if (topology->cpus[i].rank == rank)
                ordered[filled++] = topology->cpus[i];
    free(topology->cpus);
    topology->cpus = ordered;
    return 0;
}

static int list_cpus(struct wf_topology *topology, hwloc_const_bitmap_t allowed)
{
    hwloc_topology_t hwloc = topology->hwloc;
    int nodes = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE);
    int units = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);

    topology->node_count = nodes > 0 ? (unsigned)nodes : 1;
    topology->cpus = calloc(units > 0 ? (size_t)units : 1, sizeof *topology->cpus);
    if (topology->cpus == NULL)
        return -ENOMEM;
    for (int i = 0; i < units; i++) {
        hwloc_obj_t unit = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, (unsigned)i);

        if (hwloc_bitmap_isset(allowed, unit->os_index))
            add_cpu(topology, unit);
    }
    return topology->cpu_count > 0 ? order_places(topology) : -ENODEV;
}

/* The first place in a group stands for it: all of them are as far from another group. */
static unsigned first_place(const struct wf_topology *topology, unsigned group)
{
    unsigned index = 0;

    while (topology->cpus[index].place.group != group)
        index++;
    return index;
}

static int order_groups(struct wf_topology *topology)
{
    unsigned count = topology->group_count;
    uint32_t *filled = calloc((size_t)count * count, sizeof *filled);

    topology->group_order = filled;
    if (filled == NULL)
        return -ENOMEM;
    for (unsigned from = 0; from < count; from++) {
        unsigned place = first_place(topology, from);

        for (unsigned distance = 0; distance < WF_DISTANCES; distance++)
            for (unsigned i = 0; i < count; i++) {
                /* Beginning at itself, so that equally near groups are not all sent to one. */
                unsigned to = (from + i) % count;

                if (wf_topology_distance(topology, place, first_place(topology, to)) == distance)
                    *filled++ = to;
            }
    }
    return 0;
}

/* `allowed` NULL: what this process may use. */
static int create(struct wf_topology **result, const char *synthetic, const char *allowed)
{
    struct wf_topology *topology = calloc(1, sizeof *topology);
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int error = topology != NULL && set != NULL ? 0 : -ENOMEM;

    if (error == 0)
        error = load(topology, synthetic);
    if (error == 0 && allowed != NULL)
        error = hwloc_bitmap_list_sscanf(set, allowed) == 0 ? 0 : -EINVAL;
    else if (error == 0)
        error = read_allowed(topology, set);
    if (error == 0)
        error = list_cpus(topology, set);
    if (error == 0)
        error = order_groups(topology);
    hwloc_bitmap_free(set);
    if (error == 0)
        *result = topology;
    else if (topology != NULL)
        wf_topology_destroy(topology);
    return error;
}

int wf_topology_create(struct wf_topology **topology)
{
    return create(topology, NULL, NULL);
}

int wf_topology_create_synthetic(struct wf_topology **topology, const char *description,
                                 const char *allowed)
{
    return create(topology, description, allowed);
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
    free(topology->group_order);
    free(topology->cpus);
    free(topology);
}

static const struct cpu *cpu_at(const struct wf_topology *topology, unsigned index)
{
    return &topology->cpus[index % topology->cpu_count];
}

unsigned wf_topology_cpu_count(const struct wf_topology *topology)
{
    return topology->cpu_count;
}

unsigned wf_topology_node_count(const struct wf_topology *topology)
{
    return topology->node_count;
}

bool wf_topology_is_real(const struct wf_topology *topology)
{
    return topology->is_this_machine;
}

bool wf_topology_is_spread(const struct wf_topology *topology, unsigned count)
{
    for (unsigned i = 1; i < count && i < topology->cpu_count; i++)
        if (topology->cpus[i].place.node != topology->cpus[0].place.node)
            return true;
    return false;
}

struct wf_place wf_topology_place(const struct wf_topology *topology, unsigned index)
{
    return cpu_at(topology, index)->place;
}

enum wf_distance wf_topology_distance(const struct wf_topology *topology, unsigned a, unsigned b)
{
    const struct cpu *first = cpu_at(topology, a);
    const struct cpu *second = cpu_at(topology, b);

    if (first->core_id == second->core_id)
        return WF_DISTANCE_CORE;
    if (first->l2_id == second->l2_id)
        return WF_DISTANCE_L2;
    /* A cache can be larger than a NUMA node: memory is far then, whatever they share. */
    if (first->place.node == second->place.node)
        return first->cache_id == second->cache_id ? WF_DISTANCE_CACHE : WF_DISTANCE_NODE;
    return first->package_id == second->package_id ? WF_DISTANCE_PACKAGE : WF_DISTANCE_MACHINE;
}

unsigned wf_topology_group_count(const struct wf_topology *topology)
{
    return topology->group_count;
}

const uint32_t *wf_topology_group_order(const struct wf_topology *topology)
{
    return topology->group_order;
}

void wf_topology_add_node(const struct wf_topology *topology, unsigned index,
                          struct wf_os_affinity *affinity)
{
    for (unsigned i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].place.node == cpu_at(topology, index)->place.node)
            wf_os_affinity_add(affinity, topology->cpus[i].place.cpu);
}

int wf_topology_pin(const struct wf_topology *topology, unsigned index)
{
    hwloc_cpuset_t set;
    int error = 0;

    if (!topology->is_this_machine)
        return 0;
    set = hwloc_bitmap_alloc();
    if (set == NULL || hwloc_bitmap_set(set, cpu_at(topology, index)->place.cpu) != 0)
        error = -ENOMEM;
    else if (hwloc_set_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD) != 0)
        error = -errno;
    hwloc_bitmap_free(set);
    return error;
}
