/* SPDX-License-Identifier: MIT */
/*
 * Who holds which mutex, for the checked locks of include/weft/mutex.h.  One table under one lock:
 * this is for finding mistakes, not for speed.
 */
#ifndef WF_SYNC_HELD_H
#define WF_SYNC_HELD_H

#include <stdbool.h>
#include <stdint.h>

/* The fiber, or the plain thread, that calls: unique among those that are alive.  Never 0. */
uint64_t wf_held_self(void);

/* Records the caller as the holder of `object`, which it has locked at `site`.  Returns false, with
 * nothing recorded, if there is no memory. */
bool wf_held_add(const void *object, const void *site);

/* The caller is about to wait for `object`, at `site`: see lock_order.h. */
void wf_held_before(const void *object, const void *site);

/* True if the caller is recorded as the holder. */
bool wf_held_is_mine(const void *object);

/* Takes the record away.  Aborts, naming the function `what`, if it speaks of another. */
void wf_held_remove(const void *object, const char *what);

#endif
