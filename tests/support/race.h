/* SPDX-License-Identifier: MIT */
/*
 * Fibers and plain threads that use one object all at once, in rounds: some fibers are cancelled at
 * any moment, in some rounds there are threads too, and after each round what the object is left
 * with is looked at.
 */
#ifndef WEFT_TEST_RACE_H
#define WEFT_TEST_RACE_H

#include "random.h"

#include <stdbool.h>
#include <weft.h>

enum { RACE_FIBERS = 12, RACE_THREADS = 2, RACERS_MAX = RACE_FIBERS + RACE_THREADS };

struct race {
    const char *name; /* what its seed is printed with */
    void (*begin)(int racers);
    /* One of them. */
    int (*take_turns)(struct random *random, bool is_fiber);
    /* In a fiber, when all have returned `results`. */
    void (*end)(const int *results, int racers);
};

/* One round after the other until `end`, in a runtime with so many workers. */
void run_races(const struct race *race, unsigned workers, weft_time end);

/* In a fiber or thread: never, or within a fifth of a millisecond. */
weft_time race_deadline(struct random *random);

/* Now and then another fiber's turn, with the object in use. */
void race_pause(struct random *random, bool is_fiber);

#endif
