/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct crowd {
    void (*fn)(void *arg);
    void *arg;
    _Atomic(int) ended;
};

static int run_in_fiber(void *arg)
{
    struct crowd *crowd = arg;

    crowd->fn(crowd->arg);
    (void)atomic_fetch_add(&crowd->ended, 1);
    return 0;
}

static void *run_in_thread(void *arg)
{
    (void)run_in_fiber(arg);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
void run_in_crowd(int fibers, int threads, void (*fn)(void *arg), void *arg)
{
    struct crowd crowd = {.fn = fn, .arg = arg};
    weft_fiber **handles = malloc((size_t)fibers * sizeof(weft_fiber *));
    pthread_t *numbers = malloc((size_t)threads * sizeof *numbers);

    CHECK(handles != NULL && numbers != NULL);
    for (int i = 0; i < threads; i++)
        CHECK_EQ(pthread_create(&numbers[i], NULL, run_in_thread, &crowd), 0);
    for (int i = 0; i < fibers; i++)
        handles[i] = must_spawn(run_in_fiber, &crowd);
    while (atomic_load(&crowd.ended) < fibers + threads)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < fibers; i++)
        CHECK_EQ(must_join(handles[i]), 0);
    for (int i = 0; i < threads; i++)
        CHECK_EQ(pthread_join(numbers[i], NULL), 0);
    free(handles);
    free(numbers);
}
