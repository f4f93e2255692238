/* SPDX-License-Identifier: MIT */
/* Many regions at once, of uneven trees whose leaves block, in fibers that are cancelled. */
#include "../support/random.h"
#include "stress.h"

#include <errno.h>

enum { DEPTH = 8, CHILDREN_MAX = 4, REGIONS = 12, CANCEL_EVERY = 3 };

struct node {
    uint64_t seed;
    uint64_t number;
    int depth;
};

static unsigned child_count(struct node node)
{
    struct random random = random_stream(node.seed, node.number);

    if (node.depth >= DEPTH)
        return 0;
    return node.depth < 2 ? 3 : random_below(&random, CHILDREN_MAX + 1);
}

static struct node child_of(struct node node, unsigned index)
{
    return (struct node){node.seed, node.number * (CHILDREN_MAX + 1) + index + 1, node.depth + 1};
}

/* Recursion without tasks: what the sum must be. */
static uint64_t sum_alone(struct node node)
{
    uint64_t sum = node.number;

    for (unsigned i = child_count(node); i-- > 0;)
        sum += sum_alone(child_of(node, i));
    return sum;
}

/* One of sixteen nodes sleeps and one yields; a cancelled fiber is refused both. */
static void block(struct node node)
{
    struct random random = random_stream(node.seed ^ 1, node.number);
    unsigned choice = random_below(&random, 16);

    if (choice == 0) {
        int rc = weft_sleep(WEFT_MILLISECOND / 10);
        CHECK(rc == 0 || rc == -ECANCELED);
    } else if (choice == 1) {
        int rc = weft_yield();
        CHECK(rc == 0 || rc == -ECANCELED);
    }
}

WEFT_TASK(sum_up, uint64_t, struct node)

static uint64_t sum_up(weft_team team, struct node node)
{
    struct sum_up_task tasks[CHILDREN_MAX];
    unsigned count = child_count(node);
    uint64_t sum = node.number;

    for (unsigned i = 0; i < count; i++)
        sum_up_fork(&team, &tasks[i], child_of(node, i));
    block(node);
    while (count-- > 0)
        sum += sum_up_join(&team, &tasks[count]);
    return sum;
}

struct region {
    struct node root;
    uint64_t sum;
};

static int run_region(void *arg)
{
    struct region *region = arg;

    region->sum = sum_up_call(region->root);
    return 0;
}

static int run_regions(void *arg)
{
    struct region regions[REGIONS];
    weft_fiber *fibers[REGIONS];
    uint64_t seed = *(uint64_t *)arg;
    struct random random = random_stream(seed, 0);

    for (unsigned i = 0; i < REGIONS; i++) {
        regions[i] = (struct region){{seed + i, 1, 0}, 0};
        fibers[i] = must_spawn(run_region, &regions[i]);
    }
    for (unsigned i = 0; i < REGIONS; i += CANCEL_EVERY) {
        if (random_below(&random, 2) == 0)
            CHECK_EQ(weft_sleep(random_below(&random, 500) * WEFT_MILLISECOND / 1000), 0);
        weft_cancel(fibers[i]);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        CHECK_EQ(must_join(fibers[i]), 0);
        CHECK(regions[i].sum == sum_alone(regions[i].root));
    }
    return 0;
}

static void run_until_the_end(const struct weft_config *config, uint64_t seed)
{
    weft_time end = stress_end();

    do {
        cr_assert_eq(run_config(config, run_regions, &seed), 0);
        seed += REGIONS;
    } while (weft_now() < end);
}

/* A cancelled region's tasks still run, each once, and every join still waits for its task: else a
 * sum is wrong, or a thief writes to a frame that is gone. */
WORKER_TEST(task_stress, regions_add_up_while_leaves_block_and_fibers_are_cancelled,
            STRESS_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers};

    run_until_the_end(&config, random_seed("task_stress"));
}
