/* SPDX-License-Identifier: MIT */
/* Calls that block their thread: made on a pool of threads, while a fiber waits. */
#ifndef WEFT_BLOCKING_H
#define WEFT_BLOCKING_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Call `fn(arg)` on a thread of the runtime's pool and wait for its end: for what has no other
 * form than a blocking one, such as getaddrinfo(3) or a database library.  Other fibers run
 * meanwhile.
 *
 * The pool starts its threads as they are needed, `blocking_threads` of struct weft_config at most,
 * and ends those that have been idle for some seconds.  Calls beyond that wait their turn, in their
 * order.  `fn` runs on a plain thread: it may not suspend, and thread-local variables are those
 * of whatever thread it happens to run on.
 *
 * A call that has begun is never left: the caller waits for its end, since `arg` may lie on the
 * caller's stack, and gets its result.
 *
 * Returns   what `fn` returned; a negative errno, with `fn` not called.  A function that may return
 *           one of these itself had better report by `arg`.
 * Deadline  absolute, for the begin of the call: one that passes earlier takes it out of the
 *           queue, and with one that has passed already nothing is called.
 * Context   fiber.  On a plain thread it calls `fn` at once, whatever the deadline.
 * Switches  yes.
 * Cancel    -ECANCELED, unless the call has begun: then its result.
 * Errors    -ETIMEDOUT, -ECANCELED, -EAGAIN (the pool has no thread, and none can be started).
 */
WEFT_API int weft_blocking(int (*fn)(void *), void *arg, weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
