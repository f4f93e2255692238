/* SPDX-License-Identifier: MIT */
/* Calls on files that have no other form than a blocking one. */
#ifndef WF_IO_CALL_H
#define WF_IO_CALL_H

#include <weft/base.h>

struct wf_op;

/*
 * Calls `fn(arg)` on the blocking pool, or right here if the pool has no thread and can have none:
 * a file keeps the worker waiting for a device at most.  `fn` returns 0, and reports by `arg`.
 *
 * `hold`, `other`: of the descriptors that it is for (op.h), with their epochs; NULL: of none.
 *
 * Returns 0, or -ETIMEDOUT, -ECANCELED or, once somebody closes a descriptor, -EBADF, with `fn` not
 * called.
 */
int wf_call_file(int (*fn)(void *), void *arg, const struct wf_op *hold, const struct wf_op *other,
                 weft_time deadline);

#endif
