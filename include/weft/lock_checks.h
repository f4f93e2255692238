/* SPDX-License-Identifier: MIT */
/*
 * Checks of how locks are used, for programs that are compiled without NDEBUG, or with
 * WEFT_LOCK_CHECKS defined as 1: each lock of a mutex is recorded with its holder, up to its
 * unlock.  What breaks a rule aborts (mutex.h).  Locks of parts that were compiled otherwise are
 * not checked.
 *
 * Such programs are also told on standard error when mutexes are locked in an order that makes a
 * circle: one fiber waits for B while it holds A, and another, at any time, for A while it holds B.
 * A deadline only ends such a wait after all that time, so it does not keep the report away; one
 * that has passed does, since it does not wait.  Mutexes are told apart by their addresses, so one
 * that is freed should be destroyed before.  Of several thousand mutexes what was seen long ago is
 * forgotten.
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
