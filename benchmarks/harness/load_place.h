/* SPDX-License-Identifier: MIT */
/* On which CPUs a load generator runs. */
#ifndef WEFT_BENCH_LOAD_PLACE_H
#define WEFT_BENCH_LOAD_PLACE_H

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Those that the driver has set aside, numbers with commas in BENCH_LOAD_CPUS.  Without it those of
 * the process that started us, which are its main thread's: a worker may be pinned to one. */
static inline void load_place(void)
{
    const char *text = getenv("BENCH_LOAD_CPUS");
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    while (text && *text) {
        char *end;
        unsigned long cpu = strtoul(text, &end, 10);

        if (end == text || cpu >= CPU_SETSIZE)
            break;
        CPU_SET(cpu, &cpus);
        text = *end == ',' ? end + 1 : end;
    }
    if (CPU_COUNT(&cpus) > 0 || sched_getaffinity(getppid(), sizeof cpus, &cpus) == 0)
        (void)sched_setaffinity(0, sizeof cpus, &cpus);
}

#endif
