/* SPDX-License-Identifier: MIT */
/*
 * Finding a program that waits for itself: every fiber waits, and there is nothing left that could
 * wake one.
 *
 * What could is a timer, an operation that is under way, a call on the pool, and any thread that is
 * not the runtime's own.  The last is why this is certain only where there are no such threads but
 * the one in weft_wait(): the kernel's list of threads is counted, without those in which the
 * kernel itself carries operations out.  So a program with threads of its own is never suspected
 * while it has them, and one without them never wrongly.
 */
#ifndef WF_RUNTIME_DEADLOCK_H
#define WF_RUNTIME_DEADLOCK_H

#include <stdbool.h>

struct weft_runtime;

/*
 * Reports such a deadlock, and ends the runtime by cancelling its fibers.
 *
 * Returns true if there is none only because of threads that are not the runtime's: when they end
 * nobody says so, and only another look can tell.
 *
 * Caller: the monitor, when all workers have been asleep for a while, and after it has said that it
 * sleeps too.
 */
bool wf_deadlock_look(struct weft_runtime *runtime);

#endif
