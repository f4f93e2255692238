/* SPDX-License-Identifier: MIT */
/*
 * The arenas of jemalloc that runtime objects lie in.  One serves all; where pinned workers are on
 * several NUMA nodes, each of these nodes has one more, with the objects that its workers make.
 * docs/adr/0034 says why.
 *
 * Arenas stay until the process ends: a later runtime finds them again.
 */
#ifndef WF_RUNTIME_ARENA_H
#define WF_RUNTIME_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* The arena that serves all.  0; -ENOTSUP without jemalloc, -ENOMEM. */
int wf_arena_shared(unsigned *arena);

/* The arena of a node, by the operating system's number.  What it gets from the system is bound to
 * the node, if `is_real`: a topology that was made up has nodes that are not there.  0 or -ENOMEM.
 * Caller: one that has called wf_arena_shared(). */
int wf_arena_of_node(unsigned node, bool is_real, unsigned *arena);

/* "arena 11, bound to the node", or why it is not.  Caller: as above. */
void wf_arena_describe(unsigned node, bool is_real, char *text, size_t size);

/* Forgets who is about to make one.  Caller: the child of a fork(). */
void wf_arena_forget_parent(void);

#endif
