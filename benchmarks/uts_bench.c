/* SPDX-License-Identifier: MIT */
#include "harness/uts.h"
#include "weft_bench.h"

#include <weft.h>

struct visit {
    const struct uts_node *parent;
    const struct uts_tree *tree;
    unsigned index;
    unsigned depth;
};

WEFT_TASK(search, uint64_t, struct visit)

/* Returns the number of nodes of a subtree. */
static uint64_t search(weft_team team, struct visit visit)
{
    struct search_task tasks[UTS_CHILDREN_MAX];
    struct uts_node node = visit.parent != NULL ? uts_child(visit.parent, visit.index)
                                                : uts_root(visit.tree->seed);
    unsigned count = uts_child_count(visit.tree, &node, visit.depth);
    uint64_t nodes = 1;

    for (unsigned i = 0; i < count; i++)
        search_fork(&team, &tasks[i], (struct visit){&node, visit.tree, i, visit.depth + 1});
    for (unsigned i = count; i-- > 0;)
        nodes += search_join(&team, &tasks[i]);
    return nodes;
}

static void search_tree(struct bench *b)
{
    const struct uts_tree *tree = &uts_trees[b->spec->parameter];
    uint64_t nodes;

    bench_start(b);
    nodes = search_call((struct visit){NULL, tree, 0, 0});
    bench_stop(b);

    if (nodes != tree->nodes)
        bench_fail(b, "the tree has %llu nodes", (unsigned long long)nodes);
}

/*
 * forkjoin/uts/t1/workers=1 to 8, and the larger t1l
 *
 * Question  How well is work shared that nobody can divide beforehand?
 * Method    the trees T1 and T1L of the Unbalanced Tree Search benchmark: one task per node, which
 *           computes the node's SHA-1 digest from its parent's and forks its children.  The time of
 *           the whole search.
 * Includes  SHA-1.
 * Excludes  start and end of the runtime.
 * Distrust  a comparison with a program that has another SHA-1.  workers=2 on fewer than two free
 *           cores.  Any other count than 4,130,071 nodes, or 102,181,082, fails.
 */
void bench_forkjoin_uts(struct bench *b)
{
    search_tree(b);
}

void bench_forkjoin_uts_large(struct bench *b)
{
    search_tree(b);
    bench_report(b, "s", 0, bench_elapsed_s(b));
}

struct deep_visit {
    const struct uts_node *parent;
    unsigned index;
};

WEFT_TASK(explore, uint64_t, struct deep_visit)

/* Its frame has room for eight children only: the tree is deep. */
static uint64_t explore(weft_team team, struct deep_visit visit)
{
    struct explore_task tasks[UTS_T3_CHILDREN];
    struct uts_node node = uts_child(visit.parent, visit.index);
    unsigned count = uts_t3_child_count(&node);
    uint64_t nodes = 1;

    for (unsigned i = 0; i < count; i++)
        explore_fork(&team, &tasks[i], (struct deep_visit){&node, i});
    for (unsigned i = count; i-- > 0;)
        nodes += explore_join(&team, &tasks[i]);
    return nodes;
}

WEFT_TASK(explore_root, uint64_t, const struct uts_node *)

static uint64_t explore_root(weft_team team, const struct uts_node *root)
{
    struct explore_task tasks[UTS_T3_ROOT_CHILDREN];
    uint64_t nodes = 1;

    for (unsigned i = 0; i < UTS_T3_ROOT_CHILDREN; i++)
        explore_fork(&team, &tasks[i], (struct deep_visit){root, i});
    for (unsigned i = UTS_T3_ROOT_CHILDREN; i-- > 0;)
        nodes += explore_join(&team, &tasks[i]);
    return nodes;
}

/*
 * forkjoin/uts/t3/workers=1 to 8
 *
 * Question  How well is work shared where a subtree is a single node or most of the tree?
 * Method    the tree T3 of the same benchmark: binomial, 2,000 children below the root, then eight
 *           or none, 1,572 levels deep.  The fibers have stacks of 8 MiB of address space.
 * Includes  SHA-1.
 * Excludes  start and end of the runtime.
 * Distrust  as for t1.  Any other count than 4,112,897 nodes fails.
 */
void bench_forkjoin_uts_t3(struct bench *b)
{
    struct uts_node root = uts_root(UTS_T3_SEED);
    uint64_t nodes;

    bench_start(b);
    nodes = explore_root_call(&root);
    bench_stop(b);

    if (nodes != UTS_T3_NODES)
        bench_fail(b, "the tree has %llu nodes", (unsigned long long)nodes);
}
