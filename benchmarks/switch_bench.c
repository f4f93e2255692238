/* SPDX-License-Identifier: MIT */
#include "weft_bench.h"

#include <weft.h>

struct turns {
    uint64_t batch;
    uint64_t repeats; /* times that a fiber ran although it had run last */
    int last;         /* who ran last */
};

struct player {
    struct turns *turns;
    int id;
};

static int yield_batch(void *arg)
{
    struct player *player = arg;
    struct turns *turns = player->turns;

    for (uint64_t i = 0; i < turns->batch; i++) {
        turns->repeats += turns->last == player->id;
        turns->last = player->id;
        weft_yield();
    }
    return 0;
}

/*
 * switch/yield
 *
 * Question  What does one trip through the scheduler cost when another fiber is always ready?
 * Method    two fibers yield b->batch times each on one worker; the time is per yield.
 * Includes  queueing the yielder, choosing the next, the switch, the scheduler's periodic looks at
 *           timers and I/O; a check that the two really take turns (about 1 ns).
 * Excludes  spawning them but for its share (two spawns per batch), other workers.
 * Distrust  nothing smaller than the check; a run in which they did not take turns fails.
 */
void bench_switch_yield(struct bench *b)
{
    struct turns turns = {.batch = b->batch};
    struct player players[2] = {{&turns, 1}, {&turns, 2}};
    weft_fiber *fibers[2];

    bench_start(b);
    for (int i = 0; i < 2; i++) {
        int rc = weft_spawn(&fibers[i], yield_batch, &players[i]);
        if (rc != 0) {
            bench_fail(b, "spawn: error %d", rc);
            return;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (weft_join(fibers[i], NULL, WEFT_FOREVER) != 0)
            bench_fail(b, "join failed");
    }
    bench_stop(b);

    /* The last turns of the one that ends last are alone. */
    if (turns.repeats > 2 + b->batch / 100)
        bench_fail(b, "%llu yields did not switch", (unsigned long long)turns.repeats);
}
