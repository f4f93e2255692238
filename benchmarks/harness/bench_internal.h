/* SPDX-License-Identifier: MIT */
/* Between the two halves of the harness. */
#ifndef WEFT_BENCH_INTERNAL_H
#define WEFT_BENCH_INTERNAL_H

#include "harness/bench.h"

#include <stdbool.h>

enum { BENCH_SAMPLES_MAX = 1000 };

struct measurement {
    struct bench bench;
    unsigned wanted;   /* samples that no neighbour disturbed */
    unsigned taken;    /* all samples */
    bool is_probed;    /* whether `probes` has a meaning */
    double probe_best; /* the best ratio known so far, 0 if none is */
    double samples[BENCH_SAMPLES_MAX];
    double probes[BENCH_SAMPLES_MAX]; /* the worse of the ratios before and after each sample */
};

/* Takes the samples of m->bench.spec; a failure is left in m->bench.failure. */
void bench_measure(struct measurement *m);

#endif
