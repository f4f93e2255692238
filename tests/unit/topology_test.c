/* SPDX-License-Identifier: MIT */
/* arch/topology.c on machines that hwloc makes up. */
#include "arch/topology.h"

#include "arch/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

enum { TIMEOUT_S = 60 };

/* hwloc's description of a large server: 2 packages of 4 NUMA nodes, each of 16 cores that share an
 * L3 cache, two cores to an L2 cache, two hardware threads to a core. */
#define SERVER "Package:2 Group:4 [NUMANode] L3:1 L2:8 Core:2 PU:2"

static struct wf_topology *make_of(const char *description, const char *allowed)
{
    struct wf_topology *topology = NULL;

    cr_assert_eq(wf_topology_create_synthetic(&topology, description, allowed), 0, "%s",
                 description);
    return topology;
}

static struct wf_topology *make(const char *description)
{
    return make_of(description, NULL);
}

static unsigned cpu_of(const struct wf_topology *topology, unsigned index)
{
    return wf_topology_place(topology, index).cpu;
}

struct machine {
    const char *description;
    const char *allowed;
    unsigned cpus;
    unsigned nodes;
    unsigned groups;
};

static const struct machine machines[] = {
    {"Package:1 Core:1 PU:1", NULL, 1, 1, 1},
    {"Package:1 L3:1 Core:2 PU:2", NULL, 4, 1, 1},
    {"Package:2 [NUMANode] L3:2 Core:2 PU:1", NULL, 8, 2, 4},
    {SERVER, NULL, 256, 8, 8},
    /* No cache is known: nodes are the groups, not cores. */
    {"Package:2 NUMANode:4 Core:16 PU:2", NULL, 256, 8, 8},
    /* Caches of single cores hold no group together. */
    {"Package:1 L2:8 Core:1 PU:2", NULL, 16, 1, 1},
    /* A package with one core left, and a hole in the other. */
    {"Package:2 [NUMANode] L3:1 Core:4 PU:2", "0-1,6,12", 4, 2, 2},
    /* Nothing of the first package. */
    {"Package:2 [NUMANode] L3:2 Core:4 PU:1", "8-15", 8, 2, 2},
};

/* Workers and stack caches are laid out by these numbers. */
Test(topology, counts_cpus_nodes_and_groups, .timeout = TIMEOUT_S)
{
    for (unsigned i = 0; i < sizeof machines / sizeof *machines; i++) {
        const struct machine *machine = &machines[i];
        struct wf_topology *topology = make_of(machine->description, machine->allowed);

        cr_expect_eq(wf_topology_cpu_count(topology), machine->cpus, "%s", machine->description);
        cr_expect_eq(wf_topology_node_count(topology), machine->nodes, "%s", machine->description);
        cr_expect_eq(wf_topology_group_count(topology), machine->groups, "%s: %u",
                     machine->description, wf_topology_group_count(topology));
        wf_topology_destroy(topology);
    }
}

/* The real start reads the same machines from the environment. */
Test(topology, hwloc_synthetic_is_honoured, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = NULL;

    cr_assert_eq(setenv("HWLOC_SYNTHETIC", SERVER, 1), 0);
    cr_assert_eq(wf_topology_create(&topology), 0);
    cr_expect_eq(wf_topology_cpu_count(topology), 256);
    wf_topology_destroy(topology);
}

/* Workers on one node have one arena, others one for each node. */
Test(topology, knows_how_many_places_lie_on_one_node, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make(SERVER);

    cr_expect_not(wf_topology_is_real(topology));
    cr_expect_not(wf_topology_is_spread(topology, 1));
    cr_expect_not(wf_topology_is_spread(topology, 16), "the cores of the first node");
    cr_expect(wf_topology_is_spread(topology, 17));
    cr_expect(wf_topology_is_spread(topology, 1000), "more than there are");
    wf_topology_destroy(topology);

    topology = make_of(SERVER, "32-63");
    cr_expect_not(wf_topology_is_spread(topology, 32), "one node is allowed");
    wf_topology_destroy(topology);
    topology = make("Package:1 Core:4 PU:2");
    cr_expect_not(wf_topology_is_spread(topology, 8));
    wf_topology_destroy(topology);
}

/* The machine that the test runs on is there. */
Test(topology, memory_is_bound_to_nodes_that_exist, .timeout = TIMEOUT_S)
{
    size_t size = wf_os_page_size();
    struct wf_topology *topology = NULL;
    void *page = wf_os_map(size);
    int error;

    cr_assert_not_null(page);
    cr_assert_eq(wf_topology_create(&topology), 0);
    cr_expect(wf_topology_is_real(topology));
    error = wf_os_prefer_node(page, size, wf_topology_place(topology, 0).node);
    cr_expect(error == 0 || error == -EPERM || error == -ENOSYS, "error %d", -error);
    cr_expect_lt(wf_os_prefer_node(page, size, 1023), 0);
    cr_expect_eq(wf_os_prefer_node(page, size, 1024), -EINVAL);
    wf_topology_destroy(topology);
    wf_os_unmap(page, size);
}

/* What nobody can start on is refused: no CPU, or a description that means nothing. */
Test(topology, impossible_machines_are_refused, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = NULL;

    cr_expect_eq(wf_topology_create_synthetic(&topology, "Core:4 PU:1", "4-7"), -ENODEV);
    cr_expect_eq(wf_topology_create_synthetic(&topology, "Core:4 PU:1", "x"), -EINVAL);
    cr_expect_eq(wf_topology_create_synthetic(&topology, "no machine", NULL), -ENODEV);
    cr_expect_null(topology);
}

/* Thieves come to near victims first: a wrong distance would send every steal across the machine.
 */
Test(topology, distances_follow_cores_caches_nodes_and_packages, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make(SERVER);

    cr_assert_eq(wf_topology_cpu_count(topology), 256);
    cr_expect_eq(wf_topology_distance(topology, 0, 0), WF_DISTANCE_CORE);
    cr_expect_eq(wf_topology_distance(topology, 0, 128), WF_DISTANCE_CORE, "its other thread");
    cr_expect_eq(wf_topology_distance(topology, 0, 1), WF_DISTANCE_L2);
    cr_expect_eq(wf_topology_distance(topology, 0, 129), WF_DISTANCE_L2);
    cr_expect_eq(wf_topology_distance(topology, 0, 2), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 0, 15), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 0, 16), WF_DISTANCE_PACKAGE, "another node");
    cr_expect_eq(wf_topology_distance(topology, 0, 63), WF_DISTANCE_PACKAGE);
    cr_expect_eq(wf_topology_distance(topology, 0, 64), WF_DISTANCE_MACHINE);
    cr_expect_eq(wf_topology_distance(topology, 255, 0), WF_DISTANCE_MACHINE);
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            cr_assert_eq(wf_topology_distance(topology, a, b),
                         wf_topology_distance(topology, b, a));
    wf_topology_destroy(topology);

    topology = make("Package:2 [NUMANode] L3:2 Core:2 PU:1");
    cr_expect_eq(wf_topology_distance(topology, 0, 1), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 0, 2), WF_DISTANCE_NODE, "another L3");
    cr_expect_eq(wf_topology_distance(topology, 0, 4), WF_DISTANCE_MACHINE);
    wf_topology_destroy(topology);

    /* A cache over several nodes does not bring their memory together. */
    topology = make("Package:1 L3:1 Group:2 [NUMANode] Core:2 PU:1");
    cr_expect_eq(wf_topology_distance(topology, 0, 1), WF_DISTANCE_CACHE);
    cr_expect_eq(wf_topology_distance(topology, 0, 2), WF_DISTANCE_PACKAGE);
    cr_expect_eq(wf_topology_group_count(topology), 2);
    wf_topology_destroy(topology);
}

/* Two workers on one core while others idle halve each other's speed: until every core has a
 * worker, none has two.  So it must be wherever the CPUs lie. */
Test(topology, cores_are_taken_before_their_second_threads, .timeout = TIMEOUT_S)
{
    for (unsigned m = 0; m < sizeof machines / sizeof *machines; m++) {
        struct wf_topology *topology = make_of(machines[m].description, machines[m].allowed);
        unsigned count = wf_topology_cpu_count(topology);
        unsigned rounds = 0; /* workers that the core of the last place had already */

        for (unsigned i = 0; i < count; i++) {
            unsigned earlier = 0;

            for (unsigned j = 0; j < i; j++) {
                earlier += wf_topology_distance(topology, i, j) == WF_DISTANCE_CORE;
                cr_assert_neq(cpu_of(topology, i), cpu_of(topology, j));
            }
            cr_assert_geq(earlier, rounds, "%s: place %u comes too late", machines[m].description,
                          i);
            rounds = earlier;
        }
        wf_topology_destroy(topology);
    }
}

/* The same by hand on lopsided machines, where a rule can hold and the order still be odd. */
Test(topology, places_of_asymmetric_machines, .timeout = TIMEOUT_S)
{
    static const struct {
        const char *description, *allowed;
        unsigned count, cpus[8];
    } cases[] = {
        {"Package:2 [NUMANode] L3:1 Core:4 PU:2", "0-1,6,12", 4, {0, 6, 12, 1}},
        {"Package:2 [NUMANode] L3:1 Core:4 PU:2", "1,3,8-11", 6, {1, 3, 8, 10, 9, 11}},
        /* Two large cores with two threads and four small ones with one. */
        {"Package:1 L3:1 Core:6 PU:2", "0-3,4,6,8,10", 8, {0, 2, 4, 6, 8, 10, 1, 3}},
        {"Package:1 Core:1 PU:1", NULL, 1, {0}},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wf_topology *topology = make_of(cases[i].description, cases[i].allowed);

        cr_assert_eq(wf_topology_cpu_count(topology), cases[i].count);
        for (unsigned j = 0; j < cases[i].count; j++)
            cr_expect_eq(cpu_of(topology, j), cases[i].cpus[j], "case %u, place %u: CPU %u", i, j,
                         cpu_of(topology, j));
        wf_topology_destroy(topology);
    }
}

/* More workers than CPUs share them round: 16 on 2 are eight on each. */
Test(topology, indices_beyond_the_last_cpu_wrap, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make("Package:1 L3:2 Core:1 PU:1");
    unsigned on_first = 0;

    cr_expect_neq(cpu_of(topology, 0), cpu_of(topology, 1));
    for (unsigned i = 0; i < 16; i++) {
        on_first += cpu_of(topology, i) == cpu_of(topology, 0);
        cr_expect_eq(cpu_of(topology, i), cpu_of(topology, i % 2));
        cr_expect_eq(wf_topology_distance(topology, i, i + 2), WF_DISTANCE_CORE);
        cr_expect_eq(wf_topology_distance(topology, i, i + 1), WF_DISTANCE_NODE);
    }
    cr_expect_eq(on_first, 8);
    wf_topology_destroy(topology);
}

/* Stacks come from near groups before far ones, and from all: each row names every group once, in
 * order of distance, itself first. */
Test(topology, groups_are_ordered_by_distance, .timeout = TIMEOUT_S)
{
    for (unsigned m = 0; m < sizeof machines / sizeof *machines; m++) {
        struct wf_topology *topology = make_of(machines[m].description, machines[m].allowed);
        unsigned groups = wf_topology_group_count(topology);
        unsigned places[16] = {0};

        cr_assert_leq(groups, 16);
        for (unsigned i = wf_topology_cpu_count(topology); i-- > 0;)
            places[wf_topology_place(topology, i).group] = i;
        for (unsigned group = 0; group < groups; group++) {
            const uint32_t *row = wf_topology_group_order(topology) + group * groups;
            unsigned seen = 0, last = WF_DISTANCE_CORE;

            cr_expect_eq(row[0], group, "%s", machines[m].description);
            for (unsigned i = 0; i < groups; i++) {
                unsigned distance = wf_topology_distance(topology, places[group], places[row[i]]);

                cr_expect_geq(distance, last, "%s", machines[m].description);
                last = distance;
                seen |= 1u << row[i];
            }
            cr_expect_eq(seen, (1u << groups) - 1, "%s", machines[m].description);
        }
        wf_topology_destroy(topology);
    }
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
    cr_expect_eq(count, (unsigned)CPU_COUNT(&allowed));
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(wf_topology_pin(topology, i), 0);
        cr_assert_eq(sched_getaffinity(0, sizeof now, &now), 0);
        cr_expect_eq(CPU_COUNT(&now), 1);
        cr_expect(CPU_ISSET(cpu_of(topology, i), &now));
        cr_expect(CPU_ISSET(cpu_of(topology, i), &allowed));
    }
    wf_topology_release(topology);
    cr_expect_eq(wf_topology_cpu_count(topology), count);
    cr_expect_eq(wf_topology_distance(topology, 0, 0), WF_DISTANCE_CORE);
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
    cr_expect_eq(cpu_of(topology, 0), last);
    wf_topology_destroy(topology);
}

/* A worker that is let go stays where its memory is. */
Test(topology, the_cpus_of_a_node_are_added_to_a_set, .timeout = TIMEOUT_S)
{
    struct wf_topology *topology = make(SERVER);
    struct wf_os_affinity all, one;

    wf_os_affinity_clear(&all);
    cr_expect_eq(all.cpus[0] | all.cpus[1] | all.cpus[2] | all.cpus[3], 0);
    wf_topology_add_node(topology, 17, &all); /* the second core of the second node */
    wf_os_affinity_clear(&one);
    for (unsigned cpu = 32; cpu < 64; cpu++) {
        cr_expect_not(wf_os_affinity_equals(&all, &one), "CPU %u", cpu);
        wf_os_affinity_add(&one, cpu);
    }
    cr_expect(wf_os_affinity_equals(&all, &one));
    wf_os_affinity_add(&one, 100000); /* more than there can be */
    cr_expect(wf_os_affinity_equals(&all, &one));
    wf_topology_destroy(topology);
}
