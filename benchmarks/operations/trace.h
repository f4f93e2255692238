/* SPDX-License-Identifier: MIT */
/* Counts system calls, of all threads of a child: what strace(1) would count. */
#ifndef WEFT_BENCH_TRACE_H
#define WEFT_BENCH_TRACE_H

#include <stdint.h>

enum { TRACE_PHASES = 3 };

/*
 * Runs `fn(arg)` in a child, and counts the system calls that its threads begin between
 * trace_mark(phase) and trace_mark(-1), for each phase.  Processes that the child starts do not
 * count.
 *
 * Returns 0 if `fn` did; a negative errno if nothing could be counted; else what `fn` returned,
 * which is positive.  Caller: a process with one thread and no children.
 */
int trace_calls(int (*fn)(void *arg), void *arg, uint64_t calls[TRACE_PHASES]);

/* For `fn`: what follows is of that phase; -1: of none. */
void trace_mark(int phase);

#endif
