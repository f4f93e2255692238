/* SPDX-License-Identifier: MIT */
/* runtime/stack.c on machines with several groups of workers, which hwloc makes up. */
#include "runtime/stack.h"

#include "arch/topology.h"
#include "fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 120, RECORD = 200, GROUPS = 8, SPILLED = 32, MANY = 100 };

/* 2 packages of 4 NUMA nodes: groups 0 to 3 are in the first. */
#define SERVER "Package:2 Group:4 [NUMANode] L3:1 Core:16 PU:2"

struct machine {
    struct wf_topology *topology;
    struct wf_stack_depot depot;
    struct wf_stack_cache caches[GROUPS]; /* one worker in each group */
};

static void set_up(struct machine *machine)
{
    memset(machine, 0, sizeof *machine);
    cr_assert_eq(wf_topology_create_synthetic(&machine->topology, SERVER, NULL), 0);
    cr_assert_eq(wf_topology_group_count(machine->topology), GROUPS);
    cr_assert_eq(wf_stack_depot_init(&machine->depot, RECORD, WF_GUARD_CANARY, GROUPS,
                                     wf_topology_group_order(machine->topology)),
                 0);
    for (uint32_t i = 0; i < GROUPS; i++)
        machine->caches[i].group = i;
}

static void tear_down(struct machine *machine)
{
    wf_stack_depot_destroy(&machine->depot);
    wf_topology_destroy(machine->topology);
}

static struct wf_stack *take(struct machine *machine, uint32_t group)
{
    struct wf_stack *stack = wf_stack_alloc(&machine->depot, &machine->caches[group], 0);

    cr_assert_not_null(stack);
    return stack;
}

static void give(struct machine *machine, uint32_t group, struct wf_stack *stack)
{
    wf_stack_free(&machine->depot, &machine->caches[group], stack);
}

/* Leaves stacks of both groups in the depot, beside what the two caches keep. */
static void leave_surplus(struct machine *machine, uint32_t first, uint32_t second)
{
    struct wf_stack *stacks[2][MANY];

    /* All are taken before any is given back: else the second would take those of the first. */
    for (int i = 0; i < MANY; i++) {
        stacks[0][i] = take(machine, first);
        stacks[1][i] = take(machine, second);
    }
    for (int i = 0; i < MANY; i++) {
        give(machine, first, stacks[0][i]);
        give(machine, second, stacks[1][i]);
    }
}

static uint32_t free_in(struct machine *machine, uint32_t group)
{
    return wf_shelf_count(&machine->depot.groups[group].shelves[0]);
}

/* A page lies in the memory of the node that touches it first: neighbours in one slab that go to
 * different nodes would be fine, a slab whose stacks wander would not. */
Test(stack_group, each_group_carves_its_own_slabs, .timeout = TIMEOUT_S)
{
    struct machine machine;
    char *low[GROUPS], *high[GROUPS];

    set_up(&machine);
    for (int i = 0; i < 8; i++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            struct wf_stack *stack = take(&machine, group);

            cr_assert_eq(stack->group, group);
            low[group] = i == 0 || stack->base < low[group] ? stack->base : low[group];
            high[group] = i == 0 || stack->base > high[group] ? stack->base : high[group];
        }
    }
    for (uint32_t a = 0; a < GROUPS; a++)
        for (uint32_t b = 0; b < a; b++)
            cr_expect(high[a] < low[b] || high[b] < low[a], "groups %u and %u", b, a);
    tear_down(&machine);
}

/* What was stolen and ended elsewhere goes home when it leaves the cache there. */
Test(stack_group, surplus_goes_back_to_the_group_that_carved_it, .timeout = TIMEOUT_S)
{
    struct wf_stack *stacks[MANY];
    struct machine machine;
    uint64_t carved;

    set_up(&machine);
    for (int i = 0; i < MANY; i++)
        stacks[i] = take(&machine, 3);
    for (int i = 0; i < MANY; i++)
        give(&machine, 6, stacks[i]);
    cr_expect_gt(free_in(&machine, 3), 0);
    cr_expect_eq(free_in(&machine, 6), 0);
    carved = machine.depot.carved;
    for (uint32_t left = free_in(&machine, 3) + machine.caches[3].count[0]; left > 0; left--)
        cr_assert_eq(take(&machine, 3)->group, 3);
    cr_expect_eq(machine.depot.carved, carved, "the spilled ones come before new ones");
    tear_down(&machine);
}

/* Free stacks anywhere come before new memory, near ones before far ones. */
Test(stack_group, an_empty_group_takes_from_the_nearest_first, .timeout = TIMEOUT_S)
{
    struct machine machine;
    uint32_t near, far;
    uint64_t carved;

    set_up(&machine);
    leave_surplus(&machine, 5, 2); /* another package, the same package */
    near = free_in(&machine, 2);
    far = free_in(&machine, 5);
    cr_assert(near >= SPILLED && far >= SPILLED);
    carved = machine.depot.carved;
    for (uint32_t i = 0; i < near; i++)
        cr_assert_eq(take(&machine, 0)->group, 2, "stack %u", i);
    for (uint32_t i = 0; i < far; i++)
        cr_assert_eq(take(&machine, 0)->group, 5, "stack %u", i);
    cr_expect_eq(machine.depot.carved, carved);
    cr_expect_eq(take(&machine, 0)->group, 0, "then its own");
    cr_expect_gt(machine.depot.carved, carved);
    tear_down(&machine);
}

/* Its own free stacks come before a neighbour's. */
Test(stack_group, a_group_takes_its_own_first, .timeout = TIMEOUT_S)
{
    struct machine machine;
    uint32_t own;

    set_up(&machine);
    leave_surplus(&machine, 1, 0);
    own = free_in(&machine, 0) + machine.caches[0].count[0];
    cr_assert_geq(free_in(&machine, 1), SPILLED);
    for (uint32_t i = 0; i < own; i++)
        cr_assert_eq(take(&machine, 0)->group, 0, "stack %u", i);
    cr_expect_eq(take(&machine, 0)->group, 1);
    tear_down(&machine);
}

struct trader {
    struct machine *machine;
    _Atomic(struct wf_stack *) *market;
    uint32_t group;
    pthread_t thread;
};

enum { STALLS = 64, ROUNDS = 20000 };

/* Takes stacks, leaves them where others find them, and gives back what it finds: as a fiber that
 * is spawned here and ends there. */
static void *trade(void *arg)
{
    struct trader *self = arg;
    struct wf_stack_depot *depot = &self->machine->depot;
    struct wf_stack_cache *cache = &self->machine->caches[self->group];
    unsigned random = self->group + 1;

    for (int i = 0; i < ROUNDS; i++) {
        struct wf_stack *stack = wf_stack_alloc(depot, cache, 0);

        CHECK(stack != NULL);
        /* Nobody else has it: ThreadSanitizer watches this word. */
        ((uint64_t *)(void *)stack)[-1] = self->group;
        random = random * 1664525 + 1013904223;
        stack = atomic_exchange(&self->market[random / 65536 % STALLS], stack);
        if (stack != NULL)
            wf_stack_free(depot, cache, stack);
    }
    return NULL;
}

static void count_visit(struct wf_stack *stack, void *arg)
{
    (void)stack;
    ++*(uint64_t *)arg;
}

/* Each stack on the list is there once: a list that forgot its end would not come to it. */
static uint64_t count_list(const struct wf_stack *stack, uint64_t at_most)
{
    uint64_t count = 0;

    for (; stack != NULL && count <= at_most; stack = stack->next)
        count++;
    return count;
}

/* However stacks wander between groups, each is in one place: none lost, none doubled. */
Test(stack_group, stacks_are_conserved, .timeout = TIMEOUT_S)
{
    static _Atomic(struct wf_stack *) market[STALLS];
    struct trader traders[GROUPS];
    struct machine machine;
    uint64_t held = 0, free = 0, visited = 0;

    set_up(&machine);
    for (uint32_t i = 0; i < GROUPS; i++) {
        traders[i] = (struct trader){.machine = &machine, .market = market, .group = i};
        cr_assert_eq(pthread_create(&traders[i].thread, NULL, trade, &traders[i]), 0);
    }
    for (uint32_t i = 0; i < GROUPS; i++)
        cr_assert_eq(pthread_join(traders[i].thread, NULL), 0);
    for (uint32_t i = 0; i < STALLS; i++)
        held += market[i] != NULL;
    for (uint32_t i = 0; i < GROUPS; i++) {
        uint64_t cached = count_list(machine.caches[i].free[0], machine.depot.carved);

        cr_expect_eq(cached, machine.caches[i].count[0]);
        held += cached;
        free += free_in(&machine, i);
    }
    wf_stack_visit(&machine.depot, count_visit, &visited);
    cr_expect_eq(visited, held);
    cr_expect_eq(held + free, machine.depot.carved);
    tear_down(&machine);
}
