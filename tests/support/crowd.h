/* SPDX-License-Identifier: MIT */
/* Fibers and plain threads that do the same at once. */
#ifndef WEFT_TEST_CROWD_H
#define WEFT_TEST_CROWD_H

/* Calls `fn(arg)` in so many fibers and so many threads, and returns when all have returned.  In a
 * thread weft_self() is NULL.  Caller: a fiber. */
void run_in_crowd(int fibers, int threads, void (*fn)(void *arg), void *arg);

#endif
