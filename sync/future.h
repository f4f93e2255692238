/* SPDX-License-Identifier: MIT */
/*
 * A future and a group of futures.
 *
 * Who completes a future takes its awaiters out under its lock and wakes them after that.  The
 * result goes to an awaiter through its own frame, so that it need not look at the future again,
 * which may be gone by then.  A future that is in a group tells the group under its own lock: the
 * locks of futures come before those of groups.
 *
 * There is no model of its own: every field is under a lock, and the races between wakers,
 * deadlines and cancels are those of the wait queue, which has one.
 *
 * The fiber behind a future can end while somebody cancels it, who must not hold a lock in that, as
 * the cancel takes the locks of whatever the fiber waits for.  So cancellers are counted, and the
 * fiber waits for them before it ends.
 */
#ifndef WF_SYNC_FUTURE_H
#define WF_SYNC_FUTURE_H

#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <weft/fiber.h>
#include <weft/future.h>

enum wf_future_state {
    WF_FUTURE_PENDING, /* as WEFT_FUTURE_INIT leaves it: anyone may set it */
    WF_FUTURE_SPAWNED, /* a fiber will */
    WF_FUTURE_DONE,
    WF_FUTURE_CLOSED,
};

/* [L] under `lock`   [I] immutable once spawned   [G] under the lock of the group   [U] the group's
 * user */
struct wf_future {
    struct wf_lock lock;
    uint32_t state;                  /* [L] enum wf_future_state */
    int32_t result;                  /* [L] */
    uint32_t cancellers;             /* [L] who has `fiber` in hand */
    void *value;                     /* [L] */
    struct wf_wait_queue awaiters;   /* [L] */
    weft_fiber *fiber;               /* [L] behind it; NULL: none, or it has not begun */
    bool has_fiber;                  /* [L] one that has not ended, or not begun */
    bool is_cancelled;               /* [L] before it had a result */
    bool is_read;                    /* [L] */
    struct wf_future_group *group;   /* [L] NULL: none, or it has been told */
    struct wf_future *next_complete; /* [G] */
    struct wf_future *next;          /* [U] in the group */
    struct wf_future **link;         /* [U] what points to it; NULL: it is in none */
    int (*fn)(void *);               /* [I] */
    void *arg;                       /* [I] */
    char name[WEFT_FIBER_NAME_MAX];  /* [L] of the fiber */
};

/* In the frame of whoever awaits, also of a select. */
struct wf_awaiter {
    struct wf_wait_entry wait;
    int32_t *result; /* whoever takes the entry out writes there */
};

struct wf_future_group {
    struct wf_lock lock;
    struct wf_wait_queue waiting; /* [L] */
    struct wf_future *complete;   /* [L] a list in the order of completion */
    struct wf_future *last;       /* [L] its last one */
    struct wf_future *members;    /* [U] */
};

/* The result, if it is there: 0, or -EAGAIN.  Caller holds the lock. */
int wf_future_take(struct wf_future *future, int32_t *result);

#endif
