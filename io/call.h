/* SPDX-License-Identifier: MIT */
/* Calls on files that have no other form than a blocking one. */
#ifndef WF_IO_CALL_H
#define WF_IO_CALL_H

#include <weft/base.h>

/*
 * Calls `fn(arg)` on the blocking pool, or right here if the pool has no thread and can have none:
 * a file keeps the worker waiting for a device at most.  `fn` returns 0, and reports by `arg`.
 *
 * Returns 0, or -ETIMEDOUT or -ECANCELED with `fn` not called.
 */
int wf_call_file(int (*fn)(void *), void *arg, weft_time deadline);

#endif
