/* SPDX-License-Identifier: MIT */
#include "program.h"

/* rayon/lib.rs */
void template_rayon_join(void (*run)(void *), void *low, void *high);
int template_rayon_install(unsigned workers, int (*run)(void *), void *arg);

struct part {
    work_piece piece;
    work_result result;
};

static void divide(void *arg)
{
    struct part *part = arg, low, high;

    if (!work_cut(part->piece, &low.piece, &high.piece)) {
        part->result = work_do(part->piece);
        return;
    }
    template_rayon_join(divide, &low, &high);
    part->result = work_join(low.result, high.result);
}

static work_result divide_all(work_piece piece)
{
    struct part all = {.piece = piece};

    divide(&all);
    return all.result;
}

WORKLOAD_MAIN("rayon", template_rayon_install)
