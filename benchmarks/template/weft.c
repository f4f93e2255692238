/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <weft.h>

WEFT_TASK(divide, work_result, work_piece)

static work_result divide(weft_team team, work_piece piece)
{
    struct divide_task task;
    work_piece low, high;
    work_result result;

    if (!work_cut(piece, &low, &high))
        return work_do(piece);
    divide_fork(&team, &task, high);
    result = divide(team, low);
    return work_join(result, divide_join(&team, &task));
}

static work_result divide_all(work_piece piece)
{
    return divide_call(piece);
}

static int run_in_weft(unsigned workers, int (*fn)(void *), void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    config.workers = workers;
    config.stall_report_ms = UINT32_MAX; /* work may compute for seconds */
    return weft_run(&config, fn, arg);
}

WORKLOAD_MAIN("weft", run_in_weft)
