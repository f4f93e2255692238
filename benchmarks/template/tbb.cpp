/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

static work_result divide(work_piece piece)
{
    work_piece low;
    work_piece high;
    work_result second;
    if (!work_cut(piece, &low, &high))
        return work_do(piece);
    tbb::task_group group;
    group.run([&] { second = divide(high); });
    const work_result first = divide(low);
    group.wait();
    return work_join(first, second);
}

static work_result divide_all(work_piece piece)
{
    return divide(piece);
}

static int run_in_arena(unsigned workers, int (*fn)(void *), void *arg)
{
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, workers);
    tbb::task_arena arena(static_cast<int>(workers));
    return arena.execute([&] { return fn(arg); });
}

WORKLOAD_MAIN("tbb", run_in_arena)
