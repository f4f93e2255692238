/* SPDX-License-Identifier: MIT */
#include "program.h"

/* go/divide.go */
void template_go_divide(work_piece *piece, work_result *result);
void template_go_set_workers(unsigned workers);

static work_result divide_all(work_piece piece)
{
    work_result result;

    template_go_divide(&piece, &result);
    return result;
}

static int run_in_go(unsigned workers, int (*fn)(void *), void *arg)
{
    template_go_set_workers(workers);
    return fn(arg);
}

WORKLOAD_MAIN("go", run_in_go)
