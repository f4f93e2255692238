/* SPDX-License-Identifier: MIT */
/*
 * Who holds which lock, for the checks of include/weft/lock_checks.h.  One table under one lock:
 * this is for finding mistakes, not for speed.
 */
#ifndef WF_SYNC_HELD_H
#define WF_SYNC_HELD_H

#include "sync/lock_order.h"

#include <stdbool.h>
#include <stdint.h>
#include <weft/base.h>

/* The fiber, or the plain thread, that calls.  A fiber's is no other's, a thread's can be that of
 * another that comes after it.  Never 0. */
uint64_t wf_held_self(void);

enum wf_held_mode { WF_HELD_NOT, WF_HELD_SHARED, WF_HELD_ALONE };

/* Records the caller as a holder of `object`, which it has locked at `site`, alone or beside
 * others: then wf_held_forget() must have been called since the object is there.  Returns false,
 * with nothing recorded, if there is no memory. */
bool wf_held_add(const void *object, const void *site, enum wf_held_mode mode);

/* Forgets who held what was at the address of `object` before. */
void wf_held_forget(const void *object);

/* Whether a lock call with this deadline waits.  One that does not is in no circle, one with a
 * deadline is, until then. */
bool wf_held_may_wait(weft_time deadline);

/* The caller is about to wait for `object`, at `site`: see lock_order.h. */
void wf_held_before(const void *object, const void *site, enum wf_order_mode mode);

/* How the caller is recorded as a holder. */
enum wf_held_mode wf_held_mine(const void *object);

/* The caller, which holds `object` alone, goes on beside others. */
void wf_held_share(const void *object);

/* How many hold `object`, by what it says itself. */
typedef uint64_t wf_held_count_fn(const void *object);

/* Takes the caller's record away.  Aborts, naming the function `what`, if there is none, and those
 * of others account for all that hold it.  `count` is NULL where only one can. */
void wf_held_remove(const void *object, const char *what, wf_held_count_fn *count);

#endif
