/* SPDX-License-Identifier: MIT */
/* A thread for each cut near the root, four pieces for each worker, and plain calls below: what can
 * be had without a scheduler. */
#include "program.h"

#include <pthread.h>
#include <stdlib.h>

static unsigned depth_max;

struct part {
    work_piece piece;
    work_result result;
    unsigned depth;
};

static void *divide(void *arg)
{
    struct part *part = arg;
    struct part low = {.depth = part->depth + 1}, high = {.depth = part->depth + 1};
    pthread_t thread;

    if (!work_cut(part->piece, &low.piece, &high.piece)) {
        part->result = work_do(part->piece);
        return NULL;
    }
    if (part->depth < depth_max && pthread_create(&thread, NULL, divide, &high) == 0) {
        divide(&low);
        pthread_join(thread, NULL);
    } else {
        divide(&low);
        divide(&high);
    }
    part->result = work_join(low.result, high.result);
    return NULL;
}

static work_result divide_all(work_piece piece)
{
    struct part all = {.piece = piece};

    divide(&all);
    return all.result;
}

static int choose_depth(unsigned workers, int (*fn)(void *), void *arg)
{
    for (depth_max = 0; workers > 1 && 1u << depth_max < 4 * workers; depth_max++)
        continue;
    return fn(arg);
}

WORKLOAD_MAIN("pthread", choose_depth)
