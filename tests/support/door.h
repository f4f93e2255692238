/* SPDX-License-Identifier: MIT */
/* Listeners and clients under max_connections. */
#ifndef WEFT_TEST_DOOR_H
#define WEFT_TEST_DOOR_H

#include "fixture.h"
#include "net.h"
#include "random.h"

#include <stddef.h>

/* Only a turn that is lost takes this long. */
#define DOOR_PATIENCE (20 * WEFT_SECOND)

enum { DOOR_LIMIT_MAX = 3, DOOR_RACERS = 3 };

/* A listener and its address. */
struct door {
    int listener;
    struct sockaddr_in address;
};

struct door open_door(void);

/* A client that waits in the backlog. */
int knock(const struct door *door);

/* By weft_close(). */
void close_all(const int *fds, int count);

/* A fiber that accepts once at the `struct door` that is its argument. */
int accept_one(void *arg);

/* Caller: a fiber. */
struct weft_stats stats_now(void);

/* Until so many calls have found a limit reached, which the field at `waits` of struct weft_stats
 * counts, and so many operations are under way: those who wait have one each, for their descriptor.
 */
void await_blocked(size_t waits, uint64_t calls, uint64_t operations);

static inline void await_acceptors(uint64_t calls, uint64_t operations)
{
    await_blocked(offsetof(struct weft_stats, connection_waits), calls, operations);
}

/* Starts fibers, and cancels them all a few yields later; their results. */
void cancel_soon(struct random *random, int (*fn)(void *), void *arg, int results[DOOR_RACERS]);

/* run_config() of `fn`, and of `check` after it, which is given the limit. */
int run_checked(const struct weft_config *config, int (*fn)(void *), void *arg, void (*check)(int),
                int limit);

/* run_checked() with that limit of connections; asserts that there are as many turns afterwards. */
int run_limited(unsigned workers, uint32_t limit, int (*fn)(void *), void *arg);

/* Another runtime, for must_end(), with no spare workers: their threads, which come and stay when
 * the machine is busy, would be taken for a leak of the run beside it. */
weft_runtime *start_other(void);

#endif
