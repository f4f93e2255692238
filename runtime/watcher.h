/* SPDX-License-Identifier: MIT */
/*
 * How the monitor sleeps while nothing happens.  Knows nothing of fibers.
 *
 * The hazard is a monitor that sleeps for good while a worker runs: a fiber that computes would
 * then go unseen.  The monitor says that it sleeps and then looks whether any worker is awake; a
 * worker says that it is awake and then looks whether the monitor sleeps; all with seq_cst, so at
 * least one of them sees the other's write.
 *
 *   Edge   From                        To                         Promises
 *   MN.1   doze: state seq_cst         rouse: state seq_cst       with PK.3: no worker is awake
 *                                                                 while the monitor sleeps for good
 */
#ifndef WF_RUNTIME_WATCHER_H
#define WF_RUNTIME_WATCHER_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/park.h"

#include <stdbool.h>
#include <stdint.h>

enum wf_watcher_state {
    WF_WATCHER_AWAKE,
    WF_WATCHER_NAPPING, /* until its next tick */
    WF_WATCHER_DOZING,  /* until it is roused */
};

struct wf_watcher {
    WF_CACHE_ALIGNED WF_ATOMIC(uint32_t) state; /* enum above */
};

/* Caller: the monitor.  It must look at each worker before it sleeps. */
static inline void wf_watcher_doze(struct wf_watcher *watcher)
{
    /* MN.1 seq_cst: before the look at the workers. */
    atomic_store_explicit(&watcher->state, WF_WATCHER_DOZING, memory_order_seq_cst);
}

/* True unless the worker is awake.  One that was notified and does not know it yet will wake the
 * monitor when it does.  Caller: the monitor, after it has announced its sleep. */
static inline bool wf_watcher_sees_asleep(struct wf_parker *parker)
{
    /* PK.3 seq_cst: after our announcement. */
    return atomic_load_explicit(&parker->state, memory_order_seq_cst) != WF_PARKER_AWAKE;
}

/* Caller: a worker that has retracted its own sleep.  True if the monitor dozes: the caller must
 * call wf_watcher_end_sleep(). */
static inline bool wf_watcher_is_dozing(struct wf_watcher *watcher)
{
    /* MN.1 seq_cst: after the caller's retraction. */
    return atomic_load_explicit(&watcher->state, memory_order_seq_cst) == WF_WATCHER_DOZING;
}

/* Returns true if the monitor slept: the caller must wake the word.  Caller: anyone. */
static inline bool wf_watcher_end_sleep(struct wf_watcher *watcher)
{
    /* relaxed: the word itself is all that the monitor waits for. */
    return atomic_exchange_explicit(&watcher->state, WF_WATCHER_AWAKE, memory_order_relaxed) !=
           WF_WATCHER_AWAKE;
}

#endif
