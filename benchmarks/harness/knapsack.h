/* SPDX-License-Identifier: MIT */
/*
 * The rules of the knapsack benchmark, for weft and its C and C++ peers: branch and bound over
 * items in the order of their worth per weight.  A branch ends when even a fraction of the next
 * item could not bring it to what the best known filling has.  That is known beforehand here, so
 * that everybody searches the same tree whatever the order; a bound that is found on the way would
 * make another tree of each run.
 */
#ifndef WEFT_BENCH_KNAPSACK_H
#define WEFT_BENCH_KNAPSACK_H

#include <stdint.h>

enum {
    KNAPSACK_ITEMS = 40,
    KNAPSACK_CAPACITY = 1000,
    KNAPSACK_BOUND = 1440, /* a branch that cannot reach so much is left */
    KNAPSACK_BEST = 1470,
    KNAPSACK_NODES = 1932731,
};

static int knapsack_values[KNAPSACK_ITEMS], knapsack_weights[KNAPSACK_ITEMS];

/* What is decided are the first `item` ones. */
struct knapsack_node {
    int item, room, value;
};

struct knapsack_sum {
    int best;
    long nodes;
};

/* Returns the root. */
static inline struct knapsack_node knapsack_prepare(void)
{
    struct knapsack_node root = {0, KNAPSACK_CAPACITY, 0};
    uint32_t state = 1;

    for (int i = 0; i < KNAPSACK_ITEMS; i++) {
        int place = i, value, weight;

        state = state * 1664525u + 1013904223u;
        weight = (int)(20 + (state >> 16) % 60);
        state = state * 1664525u + 1013904223u;
        value = weight + (int)((state >> 16) % 30);
        for (;
             place > 0 && knapsack_values[place - 1] * weight < value * knapsack_weights[place - 1];
             place--) {
            knapsack_values[place] = knapsack_values[place - 1];
            knapsack_weights[place] = knapsack_weights[place - 1];
        }
        knapsack_values[place] = value;
        knapsack_weights[place] = weight;
    }
    return root;
}

/* Whether nothing more is to be decided below a node. */
static inline int knapsack_is_leaf(struct knapsack_node node)
{
    return node.item == KNAPSACK_ITEMS ||
           node.value + node.room * knapsack_values[node.item] / knapsack_weights[node.item] <
               KNAPSACK_BOUND;
}

static inline int knapsack_fits(struct knapsack_node node)
{
    return knapsack_weights[node.item] <= node.room;
}

static inline struct knapsack_node knapsack_with(struct knapsack_node node)
{
    struct knapsack_node next = {node.item + 1, node.room - knapsack_weights[node.item],
                                 node.value + knapsack_values[node.item]};

    return next;
}

static inline struct knapsack_node knapsack_without(struct knapsack_node node)
{
    struct knapsack_node next = {node.item + 1, node.room, node.value};

    return next;
}

static inline struct knapsack_sum knapsack_add(struct knapsack_sum one, struct knapsack_sum other)
{
    struct knapsack_sum sum = {one.best > other.best ? one.best : other.best,
                               one.nodes + other.nodes + 1};

    return sum;
}

static inline int knapsack_is_right(struct knapsack_sum sum)
{
    return sum.best == KNAPSACK_BEST && sum.nodes == KNAPSACK_NODES;
}

#endif
