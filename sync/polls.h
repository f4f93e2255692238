/* SPDX-License-Identifier: MIT */
/*
 * The descriptors among the cases of a select.
 *
 * A select that waits has each of them polled (runtime/readiness.h).  The record of such a poll
 * lies in the weft_poll that the program gave, and is the backend's until it reports.  So a select
 * whose wait is over stops the polls that are left, and returns when the last of them has reported:
 * the kernel has let go of the descriptors by then.
 *
 * A report takes the claim of the select (wait_queue.h) under the lock of the polls, as for an
 * entry that is taken out of a queue; the select takes that lock once more before it returns.  All
 * else is under the lock too, so there is no model but that of claims
 * (tests/model/select_model.cpp).
 */
#ifndef WF_SYNC_POLLS_H
#define WF_SYNC_POLLS_H

#include "runtime/lock.h"
#include "runtime/readiness.h"
#include "sync/wait_queue.h"

struct wf_polls;

/* A weft_poll.  [L] under the lock of `polls` */
struct wf_poll {
    int32_t fd;                         /* the program's */
    int32_t events;                     /* the program's */
    WF_ATOMIC(struct wf_polls *) polls; /* of the select that waits for it; NULL: none does */
    struct wf_wait_entry *entry;        /* what the claim is taken for */
    int32_t result;                     /* [L] once it has reported */
    uint32_t has_reported;              /* [L] */
    struct wf_readiness readiness;
};

/* In the frame of the select. */
struct wf_polls {
    struct wf_lock lock;
    uint32_t pending;         /* [L] polls that have not reported */
    struct wf_waiter *waiter; /* of the select */
    struct wf_wait_claim *claim;
    struct wf_waiter *stopped; /* [L] the same waiter, once it waits for the last report */
};

/* The events that hold; -EAGAIN for none; another negative errno. */
int wf_poll_try(const struct wf_poll *poll);

void wf_polls_begin(struct wf_polls *polls, struct wf_wait_claim *claim, struct wf_waiter *waiter);

/* Takes the claim for `entry` and wakes the waiter when the descriptor is ready, unless something
 * else was first.  Caller: a fiber on `self`, between the begin and the end of its wait. */
void wf_polls_start(struct wf_worker *self, struct wf_polls *polls, struct wf_poll *poll,
                    struct wf_wait_entry *entry);

/* Asks for the end of a poll that was started.  Caller: the fiber, after its wait. */
void wf_polls_stop(struct wf_worker *self, struct wf_polls *polls, struct wf_poll *poll);

/* Waits until all have reported, whatever happens to the caller.  Switches. */
void wf_polls_await(struct wf_worker *self, struct wf_polls *polls);

/* What the poll reported; the program has it back.  Caller: after wf_polls_await(). */
int wf_polls_take(struct wf_poll *poll);

#endif
