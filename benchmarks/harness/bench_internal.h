/* SPDX-License-Identifier: MIT */
/* Between the two halves of the harness. */
#ifndef WEFT_BENCH_INTERNAL_H
#define WEFT_BENCH_INTERNAL_H

#include "harness/bench.h"

enum { BENCH_SAMPLES_MAX = 1000 };

struct measurement {
    struct bench bench;
    unsigned wanted; /* samples */
    unsigned taken;
    double samples[BENCH_SAMPLES_MAX];
};

/* Takes the samples of m->bench.spec; a failure is left in m->bench.failure. */
void bench_measure(struct measurement *m);

#endif
