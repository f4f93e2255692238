/* SPDX-License-Identifier: MIT */
/* Whether a neighbour slows this processor down; docs/benchmarking.md#disturbance explains. */
#ifndef WEFT_BENCH_PROBE_H
#define WEFT_BENCH_PROBE_H

/*
 * Takes about 100 us on each CPU that the process may run on, one after the other, and returns
 * the worst ratio of throughput time to latency time; 0 if no thread could be started.  About 1
 * means nothing by itself: the ratio of an undisturbed CPU belongs to the processor's model.
 */
double bench_probe(void);

#endif
