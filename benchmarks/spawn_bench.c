/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <weft.h>

static int count_one(void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

/*
 * spawn/join_empty/workers=1, workers=2
 *
 * Question  What does one spawn and join of an empty fiber cost?  With two workers: what does the
 *           presence of a thief add when there is never more than one fiber to steal?
 * Method    b->batch pairs, one after the other.
 * Includes  stack cache hit, first switch in, last switch out, join, taking the result.
 * Excludes  page faults and stack mapping (the calibration batches pay them).
 * Distrust  workers=2 on a machine that has only one free core.  A run in which some fiber did not
 *           run fails.
 */
void bench_spawn_join_empty(struct bench *b)
{
    uint64_t ran = 0;
    uint64_t errors = 0;

    bench_start(b);
    for (uint64_t i = 0; i < b->batch; i++) {
        weft_fiber *fiber;

        if (weft_spawn(&fiber, count_one, &ran) != 0) {
            errors++;
            break;
        }
        errors += weft_join(fiber, NULL, WEFT_FOREVER) != 0;
    }
    bench_stop(b);

    if (errors != 0)
        bench_fail(b, "spawn or join failed");
    if (ran != b->batch)
        bench_fail(b, "some fibers did not run");
}

enum { SKYNET_LEAVES = 1000000, SKYNET_CHILDREN = 10 };

struct skynet {
    uint64_t first; /* number of the first leaf below this node */
    uint64_t size;  /* leaves below it */
    uint64_t sum;   /* of their numbers: the result */
};

static int run_skynet(void *arg)
{
    struct skynet *node = arg;
    struct skynet children[SKYNET_CHILDREN];
    weft_fiber *fibers[SKYNET_CHILDREN];
    uint64_t size = node->size / SKYNET_CHILDREN;
    int spawned = 0;
    int failure = 0;

    node->sum = node->first;
    if (node->size == 1)
        return 0;

    node->sum = 0;
    while (spawned < SKYNET_CHILDREN && failure == 0) {
        children[spawned] = (struct skynet){node->first + (uint64_t)spawned * size, size, 0};
        failure = weft_spawn(&fibers[spawned], run_skynet, &children[spawned]);
        spawned += failure == 0;
    }
    for (int i = 0; i < spawned; i++) {
        int result = 0;
        int rc = weft_join(fibers[i], &result, WEFT_FOREVER);

        if (failure == 0)
            failure = rc != 0 ? rc : result;
        node->sum += children[i].sum;
    }
    return failure;
}

/*
 * spawn/skynet/workers=1 to 8
 *
 * Question  How fast does a tree of fibers unfold and fold, and does a second worker help?
 * Method    each fiber spawns ten, down to 1,000,000 leaves, and adds up their results: 1,111,111
 *           fibers in all.  The time of the whole tree.
 * Includes  spawn, join, stealing, the first touch of stacks that no earlier tree has used.
 * Excludes  start and end of the runtime, and a first tree, whose stacks are cold.
 * Distrust  workers=2 on fewer than two free cores.  A wrong sum fails.
 */
void bench_spawn_skynet(struct bench *b)
{
    struct skynet root = {0, SKYNET_LEAVES, 0};
    weft_fiber *fiber;
    int result = 0;

    bench_start(b);
    if (weft_spawn(&fiber, run_skynet, &root) != 0) {
        bench_fail(b, "spawn failed");
        return;
    }
    if (weft_join(fiber, &result, WEFT_FOREVER) != 0 || result != 0)
        bench_fail(b, "a fiber failed: error %d", result);
    bench_stop(b);

    if (root.sum != (uint64_t)SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2)
        bench_fail(b, "the sum is wrong: %llu", (unsigned long long)root.sum);
}
