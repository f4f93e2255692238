/* SPDX-License-Identifier: MIT */
/* arch/topology.c on machines that hwloc makes up. */
#include "arch/topology.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

enum { TIMEOUT_S = 60 };

static struct wf_topology *make(const char *description)
{
    struct wf_topology *topology = NULL;

    cr_assert_eq(setenv("HWLOC_SYNTHETIC", description, 1), 0);
    cr_assert_eq(wf_topology_create(&topology), 0, "%s", description);
    return topology;
}

struct machine {
    const char *description;
    unsigned cpus;
    unsigned nodes;
};

/* Workers are started by these numbers. */
Test(topology, counts_cpus_and_nodes, .timeout = TIMEOUT_S)
{
    static const struct machine machines[] = {
        {"Package:1 Core:1 PU:1", 1, 1},
        {"Package:1 L3:1 Core:2 PU:2", 4, 1},
        {"Package:2 [NUMANode] L3:2 Core:2 PU:1", 8, 2},
        {"Package:4 [NUMANode] L3:1 Core:32 PU:2", 256, 4},
    };

    for (unsigned i = 0; i < sizeof machines / sizeof *machines; i++) {
        struct wf_topology *topology = make(machines[i].description);

        cr_expect_eq(wf_topology_cpu_count(topology), machines[i].cpus, "%s",
                     machines[i].description);
        cr_expect_eq(wf_topology_node_count(topology), machines[i].nodes, "%s",
                     machines[i].description);
        wf_topology_destroy(topology);
    }
}

/* Thieves come to near victims first: a wrong distance would send every steal across the machine.
 */
Test(topology, distances_follow_caches_then_nodes, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make("Package:2 [NUMANode] L3:2 Core:2 PU:2");

    cr_assert_eq(wf_topology_cpu_count(topology), 16);
    cr_expect_eq(wf_topology_distance(topology, 0, 0), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 0, 1), WF_DISTANCE_CACHE, "one core");
    cr_expect_eq(wf_topology_distance(topology, 0, 3), WF_DISTANCE_CACHE, "one L3");
    cr_expect_eq(wf_topology_distance(topology, 0, 4), WF_DISTANCE_NODE, "one node");
    cr_expect_eq(wf_topology_distance(topology, 0, 8), WF_DISTANCE_MACHINE, "another package");
    cr_expect_eq(wf_topology_distance(topology, 15, 12), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 15, 11), WF_DISTANCE_NODE);
    for (unsigned a = 0; a < 16; a++)
        for (unsigned b = 0; b < 16; b++)
            cr_assert_eq(wf_topology_distance(topology, a, b),
                         wf_topology_distance(topology, b, a));
    wf_topology_destroy(topology);
}

/* More workers than CPUs share them round. */
Test(topology, indices_beyond_the_last_cpu_wrap, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make("Package:1 L3:2 Core:2 PU:1");

    for (unsigned i = 0; i < 4; i++) {
        cr_expect_eq(wf_topology_cpu_number(topology, i), wf_topology_cpu_number(topology, i + 4));
        cr_expect_eq(wf_topology_distance(topology, i, i + 4), WF_DISTANCE_CACHE);
        for (unsigned j = 0; j < i; j++)
            cr_expect_neq(wf_topology_cpu_number(topology, i), wf_topology_cpu_number(topology, j));
    }
    cr_expect_eq(wf_topology_distance(topology, 0, 6), WF_DISTANCE_NODE);
    wf_topology_destroy(topology);
}

/* Nothing can be pinned to a machine that does not exist, and that is no error. */
Test(topology, synthetic_machines_pin_nothing, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make("Package:1 Core:64 PU:1");
    cpu_set_t before, after;

    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    cr_expect_eq(wf_topology_pin(topology, 63), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_expect(CPU_EQUAL(&before, &after));
    wf_topology_destroy(topology);
}

/* A worker that pins itself is on that CPU alone; released, the topology still answers. */
Test(topology, pins_to_the_cpus_of_the_affinity_mask, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = NULL;
    cpu_set_t allowed, now;
    unsigned count;

    (void)unsetenv("HWLOC_SYNTHETIC");
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    cr_assert_eq(wf_topology_create(&topology), 0);
    count = wf_topology_cpu_count(topology);
    cr_expect_eq(count, CPU_COUNT(&allowed));
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(wf_topology_pin(topology, i), 0);
        cr_assert_eq(sched_getaffinity(0, sizeof now, &now), 0);
        cr_expect_eq(CPU_COUNT(&now), 1);
        cr_expect(CPU_ISSET(wf_topology_cpu_number(topology, i), &now));
        cr_expect(CPU_ISSET(wf_topology_cpu_number(topology, i), &allowed));
    }
    wf_topology_release(topology);
    cr_expect_eq(wf_topology_cpu_count(topology), count);
    cr_expect_eq(wf_topology_distance(topology, 0, 0), WF_DISTANCE_CACHE);
    wf_topology_destroy(topology);
}

/* A process that may use one CPU of many gets one worker. */
Test(topology, honours_a_narrow_affinity_mask, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = NULL;
    cpu_set_t allowed, one;
    unsigned last = 0;

    (void)unsetenv("HWLOC_SYNTHETIC");
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed))
            last = i;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(wf_topology_create(&topology), 0);
    cr_expect_eq(wf_topology_cpu_count(topology), 1);
    cr_expect_eq(wf_topology_cpu_number(topology, 0), last);
    wf_topology_destroy(topology);
}
