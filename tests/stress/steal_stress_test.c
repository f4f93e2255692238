/* SPDX-License-Identifier: MIT */
/* Uneven trees of fibers: all the work is found, none of it twice, and the workers share it. */
#include "../support/random.h"
#include "stress.h"

#include <stdatomic.h>

struct tree {
    uint64_t seed;
    uint64_t number; /* of this node */
    int depth;
    unsigned spin; /* how long each node computes */
    uint64_t sum;  /* of the numbers below, itself included */
    uint64_t nodes;
};

enum { DEPTH = 9, CHILDREN_MAX = 4 };

static unsigned child_count(const struct tree *node)
{
    struct random random = random_stream(node->seed, node->number);

    if (node->depth >= DEPTH)
        return 0;
    /* Few at the root's side, none or many elsewhere: subtrees differ a thousandfold. */
    return node->depth < 3 ? 3 : random_below(&random, CHILDREN_MAX + 1);
}

static void make_child(const struct tree *node, unsigned index, struct tree *child)
{
    *child = (struct tree){.seed = node->seed,
                           .number = node->number * (CHILDREN_MAX + 1) + index + 1,
                           .depth = node->depth + 1,
                           .spin = node->spin};
}

/* Recursion without fibers: what the sum must be. */
static void walk_alone(struct tree *node)
{
    unsigned count = child_count(node);

    node->sum = node->number;
    node->nodes = 1;
    for (unsigned i = 0; i < count; i++) {
        struct tree child;
        make_child(node, i, &child);
        walk_alone(&child);
        node->sum += child.sum;
        node->nodes += child.nodes;
    }
}

static int walk(void *arg)
{
    struct tree *node = arg;
    struct tree children[CHILDREN_MAX];
    weft_fiber *fibers[CHILDREN_MAX];
    unsigned count = child_count(node);
    struct random random = random_stream(node->seed, node->number);
    volatile uint64_t sink = 0;

    node->sum = node->number;
    node->nodes = 1;
    for (unsigned i = 0; i < count; i++) {
        make_child(node, i, &children[i]);
        fibers[i] = must_spawn(walk, &children[i]);
    }
    for (unsigned i = 0; i < node->spin; i++)
        sink = sink + random_next(&random);
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(must_join(fibers[i]), 0);
        node->sum += children[i].sum;
        node->nodes += children[i].nodes;
    }
    return 0;
}

/* Each fiber's result reaches its parent exactly once, whoever ran it. */
WORKER_TEST(steal_stress, uneven_trees_add_up, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("steal_stress");
    weft_time end = stress_end();
    uint64_t round = 0;

    do {
        struct tree alone = {.seed = seed + round, .number = 1, .spin = 50};
        struct tree shared = alone;
        struct weft_config config = {.workers = *workers, .stack_size_kib = 32};
        walk_alone(&alone);
        if (TEST_IS_TSAN && alone.nodes > TEST_FIBERS_ALIVE_MAX)
            continue;
        cr_assert_eq(run_config(&config, walk, &shared), 0);
        cr_assert_eq(shared.nodes, alone.nodes);
        cr_assert_eq(shared.sum, alone.sum);
        cr_assert_eq(run_stats().fibers_spawned, alone.nodes);
    } while (++round, weft_now() < end);
}

/* A program with more work than one worker can do is spread over several: without it the other
 * cores stay idle, and only a benchmark would tell. */
WORKER_TEST(steal_stress, long_computations_are_shared, STRESS_TIMEOUT_S)
{
    struct tree tree = {.seed = 7, .number = 1, .spin = TEST_IS_SANITIZED ? 50000 : 200000};
    /* Without spares, which steal for one worker too. */
    struct weft_config config = {.workers = *workers, .stack_size_kib = 32, .monitor = 3};
    struct tree alone = tree;

    walk_alone(&alone);
    cr_assert_gt(alone.nodes, 300, "the tree is too small to say anything");
    cr_expect_eq(run_config(&config, walk, &tree), 0);
    cr_expect_eq(tree.sum, alone.sum);
    if (*workers > 1)
        cr_expect_gt(run_stats().steals, 0);
    else
        cr_expect_eq(run_stats().steals, 0);
}
