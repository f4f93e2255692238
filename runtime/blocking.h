/* SPDX-License-Identifier: MIT */
/* Calls on the pool for parts of the library that do not wait for one that lasts. */
#ifndef WF_RUNTIME_BLOCKING_H
#define WF_RUNTIME_BLOCKING_H

#include <weft/base.h>

/*
 * weft_blocking(), but that a deadline or a cancel also ends the wait for a call that has begun:
 * the thread goes on with it alone.  What `fn` returns is dropped.
 *
 * Returns 0 after the call, and then `arg` is the caller's again.  With a negative errno it is not:
 * `drop(arg)` has come by now, or comes on the thread once `fn` has returned.
 * Caller: a fiber.  `arg` lies on no stack.  `fn` and `drop` wake nobody: the finder of deadlocks
 * does not wait for them.
 */
int wf_blocking_leave(int (*fn)(void *), void *arg, void (*drop)(void *), weft_time deadline);

#endif
