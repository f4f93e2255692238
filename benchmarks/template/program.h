/* SPDX-License-Identifier: MIT */
/* What the programs of this folder share: WORKLOAD names the file with the work, and each program
 * defines `divide`, which does a piece, and how it is hosted. */
#ifndef WEFT_BENCH_TEMPLATE_PROGRAM_H
#define WEFT_BENCH_TEMPLATE_PROGRAM_H

#include "harness/bench.h"
#include "harness/by_workers.h"

#include WORKLOAD

static work_result divide_all(work_piece piece);

static void run_workload(struct bench *b)
{
    work_piece all = work_all();
    work_result result;

    bench_start(b);
    result = divide_all(all);
    bench_stop(b);
    if (!work_is_right(result))
        bench_fail(b, "the result is wrong");
}

#define WORKLOAD_MAIN(impl, host)                                                 \
    static const struct bench_case cases[] = {                                    \
        BENCH_BY_WORKERS(WORK_NAME, run_workload, host),                          \
    };                                                                            \
    int main(int argc, char **argv)                                               \
    {                                                                             \
        return bench_main(argc, argv, impl, cases, sizeof cases / sizeof *cases); \
    }

#endif
