/* SPDX-License-Identifier: MIT */
/* On which CPUs the threads of the test may run. */
#ifndef WEFT_TEST_AFFINITY_H
#define WEFT_TEST_AFFINITY_H

#include <sched.h>

/* The only CPU of the calling thread, or -1. */
int only_cpu(void);

/* As `taskset -a -p` does it, but twice: what the monitor decides about a worker while it has not
 * been moved itself counts no more after the second time. */
void move_all_threads(const cpu_set_t *set);

#endif
