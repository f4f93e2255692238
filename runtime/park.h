/* SPDX-License-Identifier: MIT */
/*
 * Who sleeps, who searches, and who may be woken.  Knows nothing of fibers or of how a worker
 * sleeps.
 *
 * The hazard is the lost wake: a producer publishes work and sees nobody asleep, while the last
 * worker looks, sees no work, and falls asleep.  Each side therefore writes its own word first and
 * reads the other's second, all with seq_cst, so at least one of them sees the other's write.
 * (tests/model/park_model.cpp has the orders, tests/spin/park.pml the protocol with more workers.)
 *
 * Two more rules keep the counts true: whoever changes a worker's state from SLEEPING changes the
 * counts that go with it; and a count goes up before the state says so, and down after, so that
 * it is too high for a moment but never below zero.
 *
 *   Edge   From                         To                         Promises
 *   PK.1   announce: sleeping seq_cst   all_asleep: seq_cst        with IJ.1: a push and a sleep
 *                                                                  do not both go unseen
 *   PK.2   announce: state seq_cst      notify: state seq_cst      with RT.1: the end of the run
 *                                                                  and a sleep do not
 *   PK.3   notify: state seq_cst        retract: state seq_cst     what the notifier published
 */
#ifndef WF_RUNTIME_PARK_H
#define WF_RUNTIME_PARK_H

#include "arch/atomic.h"
#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum wf_parker_state {
    WF_PARKER_AWAKE,
    WF_PARKER_SLEEPING, /* asleep, or about to be and looking for work once more */
    WF_PARKER_NOTIFIED, /* woken, but does not know it yet; counts as searching */
};

/* One per worker. */
struct wf_parker {
    WF_CACHE_ALIGNED WF_ATOMIC(uint32_t) state; /* enum wf_parker_state */
};

/* One per runtime. */
struct wf_park {
    uint32_t worker_count;                          /* immutable */
    WF_CACHE_ALIGNED WF_ATOMIC(uint32_t) sleeping;  /* workers in state SLEEPING */
    WF_CACHE_ALIGNED WF_ATOMIC(uint32_t) searching; /* workers looking for work to steal */
};

/* Caller: a worker that found nothing.  It must look for work once more before it sleeps. */
void wf_park_announce(struct wf_park *park, struct wf_parker *parker);

/* Caller: the worker that announced.  Returns true if it was notified: it is searching then and
 * must call wf_park_end_search(). */
bool wf_park_retract(struct wf_park *park, struct wf_parker *parker);

/* Turns a sleeping worker into a notified one.  Caller: anyone, after publishing the work.  Returns
 * false if it was not asleep; else the caller must interrupt its sleep. */
bool wf_park_notify(struct wf_park *park, struct wf_parker *parker);

/* Caller: anyone who has published work with a seq_cst operation.  Returns true if no worker is
 * awake to find it. */
bool wf_park_all_asleep(struct wf_park *park);

/* True if a helper could be woken and none is under way.  A hint. */
bool wf_park_wants_helper(struct wf_park *park);

/* Caller: an awake worker.  Returns false if half of the workers search already. */
bool wf_park_begin_search(struct wf_park *park);
void wf_park_end_search(struct wf_park *park);

#endif
