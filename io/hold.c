/* SPDX-License-Identifier: MIT */
/*
 * A wait for one descriptor by a fiber that holds another one (op.h).
 *
 * Whoever closes what is held has to end the wait.  So the hold goes into the lists of the poller
 * that has the wait, and names it: one lock covers both.
 */
#define _GNU_SOURCE 1

#include "io/backend.h"
#include "io/op.h"

#include <errno.h>
#include <poll.h>

/* Never takes the waiter out: see interrupt_op() in op.c. */
static bool interrupt_poll(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    wf_backend_cancel(wf_worker_poller(waiter->home), self, (struct wf_op *)waiter->place, reason);
    return false;
}

/* Lets a close of what is held end `op`, which that poller has.  Returns 0, or -EBADF: it has been
 * closed, or is about to be. */
static int tie(struct wf_poller *poller, struct wf_op *hold, struct wf_op *op)
{
    int error;

    if (hold->epoch == 0)
        return 0;
    wf_op_release(hold);
    wf_lock_acquire(&poller->lock);
    error = wf_pending_add(poller, hold);
    hold->awaited = op;
    hold->has_awaited = error == 0;
    wf_lock_release(&poller->lock);
    return error;
}

/* From here on nobody looks at what was waited for.  The descriptor is still held. */
static void untie(struct wf_op *hold)
{
    if (!hold->has_awaited)
        return;
    wf_lock_acquire(&hold->poller->lock);
    hold->has_awaited = false;
    wf_lock_release(&hold->poller->lock);
}

static int32_t wait_once(struct wf_op *op, struct wf_op *hold, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_poller *poller = wf_worker_poller(self);
    int error = wf_self_refusal(self);

    if (error != 0)
        return error;
    op->waiter = wf_wait_begin(self, interrupt_poll, op);
    wf_backend_start(self, op);
    error = tie(poller, hold, op);
    if (error != 0)
        wf_backend_cancel(poller, self, op, error);
    (void)!wf_wait_end(self, deadline);
    untie(hold);
    return op->result == -ECANCELED && op->reason != 0 ? op->reason : op->result;
}

int wf_op_poll_holding(int fd, int events, uint32_t epoch, struct wf_op *hold, weft_time deadline)
{
    int32_t result;

    do {
        struct wf_op op = {.code = WF_OP_POLL, .fd = fd, .flags = events, .epoch = epoch};

        result = wait_once(&op, hold, deadline);
        if (result == WF_OP_TRY_AGAIN)
            result = 0;
        else if (result > 0)
            result = wf_op_events_confirmed(&op);
        /* As in wf_op_poll(). */
        if (result == POLLRDHUP && (events & (POLLRDHUP | POLLPRI)) == 0)
            result = wf_op_pause(deadline);
    } while (result == 0);
    return result;
}
