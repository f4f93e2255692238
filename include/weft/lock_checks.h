/* SPDX-License-Identifier: MIT */
/*
 * Checks of how locks are used, for programs that are compiled without NDEBUG, or with
 * WEFT_LOCK_CHECKS defined as 1: each lock of a mutex or of a readers-writer lock is recorded with
 * its holder, up to its unlock.  What breaks a rule aborts (mutex.h, rwlock.h).  Locks of parts
 * that were compiled otherwise are not checked.
 *
 * Such programs are also told on standard error when locks are locked in an order that makes a
 * circle: one fiber waits for B while it holds A, and another, at any time, for A while it holds B.
 *
 *  - Readers do not wait for readers: where both have A for reading there is no circle if A prefers
 *    readers.  If it is fair, there is: a reader that comes waits behind a writer, and that one for
 *    the readers that were there before it.  The report says where it takes such a writer.  A fiber
 *    that locks a fair one for reading once more is a circle of one.
 *  - A deadline only ends such a wait after all that time, so it does not keep the report away; one
 *    that has passed does, since it does not wait, and so does weft_mutex_try_lock() and its like.
 *    But what was locked so is held while the next one is waited for.
 *  - A wait for a condition wants its mutex back, with all that the caller holds meanwhile.
 *  - Of what the caller holds, the 16 locks that it has taken last are looked at.
 *  - Recursive mutexes, keyed ones, semaphores and all other objects are left out.
 *
 * Locks are told apart by their addresses, so one that is freed should be destroyed before.  Of
 * several thousand locks what was seen long ago is forgotten.
 */
#ifndef WEFT_LOCK_CHECKS_H
#define WEFT_LOCK_CHECKS_H

#include "base.h"

#include <stdbool.h>

#ifndef WEFT_LOCK_CHECKS
#ifdef NDEBUG
#define WEFT_LOCK_CHECKS 0
#else
#define WEFT_LOCK_CHECKS 1
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Whether locks that are locked in a circle are reported, where they are checked: for programs that
 * know why theirs cannot meet.
 *
 * Returns   what it was before; true at the start of the process.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API bool weft_lock_report_order(bool reports);

#ifdef __cplusplus
}
#endif

#endif
