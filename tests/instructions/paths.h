/* SPDX-License-Identifier: MIT */
/* The paths that paths.c goes down, and what they need of it. */
#ifndef WEFT_TESTS_INSTRUCTIONS_PATHS_H
#define WEFT_TESTS_INSTRUCTIONS_PATHS_H

/* Makes the current path longer, if that was asked for.  Once for each operation, or for two. */
void plant(void);
_Noreturn void die(const char *what);

/* steals.c.  Runs `fn` with a runtime of two workers, of which the second stays in a fiber that
 * blocks its thread: what the caller's fiber steals from it, it steals alone.  0 or -errno. */
int with_a_victim(int (*fn)(void *));

/* Each steals `count` times.  Caller: `fn` above. */
void steal(unsigned count);
void steal_ready(unsigned count);
void steal_task(unsigned count);

#endif
