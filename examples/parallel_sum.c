/* SPDX-License-Identifier: MIT */
/* Adds up a million numbers, one fiber per slice. */
#include <inttypes.h>
#include <stdio.h>
#include <weft.h>

enum { NUMBER_COUNT = 1000000, SLICE_COUNT = 16, SLICE_LENGTH = NUMBER_COUNT / SLICE_COUNT };

static uint32_t numbers[NUMBER_COUNT];

struct slice {
    const uint32_t *first;
    uint64_t sum;
};

static int add_up(void *arg)
{
    struct slice *slice = arg;

    for (int i = 0; i < SLICE_LENGTH; i++)
        slice->sum += slice->first[i];
    return 0;
}

static int app(void *arg)
{
    struct slice slices[SLICE_COUNT];
    weft_fiber *fibers[SLICE_COUNT];
    uint64_t *total = arg;
    int spawned = 0;
    int error = 0;

    for (; spawned < SLICE_COUNT && error == 0; spawned += error == 0) {
        slices[spawned] = (struct slice){&numbers[spawned * SLICE_LENGTH], 0};
        error = weft_spawn(&fibers[spawned], add_up, &slices[spawned]);
    }
    /* The slices are on this fiber's stack: it may not leave before the last of them is done. */
    for (int i = 0; i < spawned; i++) {
        while (weft_join(fibers[i], NULL, WEFT_FOREVER) < 0)
            weft_yield();
        *total += slices[i].sum;
    }
    return error;
}

int main(void)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < NUMBER_COUNT; i++)
        numbers[i] = i;
    if (weft_run(NULL, app, &total) < 0)
        return 1;
    printf("the sum is %" PRIu64 "\n", total);
    return total != UINT64_C(499999500000);
}
