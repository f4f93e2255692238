/* SPDX-License-Identifier: MIT */
/*
 * The built-in scenarios of simulation: programs that draw what they do from the simulation's seed,
 * keep accounts of it, and compare them at the end.
 */
#ifndef WEFT_TEST_SCENARIO_H
#define WEFT_TEST_SCENARIO_H

#include <stdlib.h>
#include <weft.h>

/* Mistakes that a scenario makes on purpose, for tests that they are found. */
enum scenario_bug {
    BUG_NONE,
    BUG_LOST_UPDATE, /* counts without the lock */
    BUG_LOST_PERMIT, /* keeps a permit when it is cancelled meanwhile */
    BUG_LOCK_ORDER,  /* takes two locks in either order */
    BUG_LATE_RESET,  /* resets an event after it has looked, not before */
    BUG_COUNT,
    BUG_STALE_REPLY = BUG_COUNT, /* network: keeps a connection on which a reply may still come */
    BUG_NETWORK_COUNT,
    BUG_NO_SYNC = BUG_NETWORK_COUNT, /* disk: renames what is not certain yet */
    BUG_NO_FOLDER_SYNC,              /* believes a rename to be certain */
    BUG_SYNC_AGAIN,                  /* believes a sync that comes after one that failed */
    BUG_DISK_COUNT,
    BUG_LONG_RECORD = BUG_DISK_COUNT, /* pipe: writes what does not go in one piece */
    BUG_SHORT_WRITE,                  /* believes that a write has written all */
    BUG_PIPE_COUNT,
};

/* Where the simulated disk is. */
#define SCENARIO_DISK "/simulated"

struct scenario {
    const char *name;
    int (*main_fn)(void *); /* with an enum scenario_bug for its argument: scenario_arg() */
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

static inline void *scenario_arg(enum scenario_bug bug)
{
    return (void *)(intptr_t)bug;
}

/* NULL if there is none of that name. */
const struct scenario *scenario_find(const char *name);

int sync_scenario(void *arg);
int network_scenario(void *arg);
int disk_scenario(void *arg);
int pipe_scenario(void *arg);

/* A number below `limit` from the simulation's seed. */
static inline unsigned scenario_draw(unsigned limit)
{
    return (unsigned)(weft_sim_random() % limit);
}

#endif
