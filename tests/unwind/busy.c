/* SPDX-License-Identifier: MIT */
/* What tests/unwind/perf.py samples: a fiber that computes, a few calls deep. */
#include <stdint.h>
#include <weft.h>

/* Some hundred milliseconds of processor time, whatever else the machine does. */
#define ROUNDS 1000
#define STEPS 1000000

static volatile uint64_t sink;

int busy_fiber(void *arg);
void busy_outer(void);
void busy_inner(void);

void busy_inner(void)
{
    uint64_t sum = 0;

    for (int round = 0; round < ROUNDS; round++) {
        /* A function that calls none may do without a frame. */
        sink = sum + (uint64_t)weft_now();
        for (int i = 0; i < STEPS; i++)
            __asm__ volatile("" : "+r"(sum) : "r"(i));
    }
}

void busy_outer(void)
{
    busy_inner();
    sink++;
}

int busy_fiber(void *arg)
{
    (void)arg;
    /* It has been away, and comes back by the switch. */
    (void)weft_yield();
    busy_outer();
    sink++;
    return 0;
}

int main(void)
{
    return weft_run(NULL, busy_fiber, NULL) < 0;
}
