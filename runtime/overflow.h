/* SPDX-License-Identifier: MIT */
/*
 * The report on a stack that has overflowed: which fiber, where it was spawned, how large its stack
 * is, and how it came there.  (docs/adr/0017)
 *
 * A guard page raises SIGSEGV.  The handler looks whether the address lies in the guard of a stack,
 * says so, and lets the process die of the fault.  Where there is only a canary, the worker looks
 * at it at each switch away from the fiber.
 *
 * The handler can run at any moment and in any thread, so it takes no lock.  Runtimes are in a
 * list that it walks while it is counted; whoever takes one out waits until nobody is.
 *
 *   Edge   From                        To                          Promises
 *   OV.1   start: live seq_cst         judge: live seq_cst         the runtime's fields
 *   OV.2   judge: judging seq_cst      end: judging seq_cst        nobody looks at the runtime
 *                                                                  any more
 */
#ifndef WF_RUNTIME_OVERFLOW_H
#define WF_RUNTIME_OVERFLOW_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <weft/runtime.h>

#include <stdbool.h>

struct weft_fiber;
struct weft_runtime;

struct wf_overflow {
    WF_ATOMIC(struct weft_runtime *) next; /* the process's list of runtimes that report */
    bool is_listed;                        /* the starter */
};

/* True if a runtime so configured reports at all. */
bool wf_overflow_is_reported(const struct weft_config *config);

/* Caller: the starter, before the workers start, and after they have ended. */
void wf_overflow_start(struct weft_runtime *runtime);
void wf_overflow_end(struct weft_runtime *runtime);

/* In the child of a fork(): none of its parent's runtimes reports here. */
void wf_overflow_forget_parent(void);

/* Ends the process if the fiber has overwritten its canary.  Caller: the worker that has just
 * switched away from the fiber, whose stack has one. */
WF_COLD void wf_overflow_check(struct weft_runtime *runtime, const struct weft_fiber *fiber);

#endif
