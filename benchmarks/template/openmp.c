/* SPDX-License-Identifier: MIT */
#include "program.h"

static work_result divide(work_piece piece)
{
    work_piece low, high;
    work_result first, second;

    if (!work_cut(piece, &low, &high))
        return work_do(piece);
#pragma omp task shared(second) firstprivate(high)
    second = divide(high);
    first = divide(low);
#pragma omp taskwait
    return work_join(first, second);
}

static work_result divide_all(work_piece piece)
{
    return divide(piece);
}

static int run_in_team(unsigned workers, int (*fn)(void *), void *arg)
{
    int result = 0;

#pragma omp parallel num_threads((int)workers)
#pragma omp single
    result = fn(arg);
    return result;
}

WORKLOAD_MAIN("openmp", run_in_team)
