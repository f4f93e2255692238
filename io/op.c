/* SPDX-License-Identifier: MIT */
#include "io/op.h"

#include "io/backend.h"
#include "runtime/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <weft/fiber.h>

/* Guessed: a thousand looks a second cost little beside a spin, and are soon enough for a peer that
 * was too slow to begin with. */
#define PAUSE WEFT_MILLISECOND

/* Guessed: attempts in vain that nobody minds, and those in which a lie may still be an accident.
 */
enum { VAIN_UNSEEN = 2, VAIN_MAX = 4 };

/* The kernel's ERESTARTSYS.  System calls never return it, but an open, a flush or a close in a
 * ring can, whose thread has met a signal. */
enum { INTERRUPTED_INSIDE = 512 };

/* Never takes the waiter out: the wake belongs to the completion, which is sure to come. */
static bool interrupt_op(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    wf_backend_cancel(wf_worker_poller(waiter->home), self, (struct wf_op *)waiter->place, reason);
    return false;
}

void wf_op_complete_slowly(struct wf_worker *self, struct wf_op *op)
{
    struct wf_closing *closing = op->closing;

    op->closing = NULL;
    if (closing != NULL && op->result == -ECANCELED && op->reason == -EBADF)
        op->result = -EBADF;
    if (op->done != NULL)
        op->done(self, op);
    else
        wf_wake_later(self, op->waiter, 0);
    if (closing != NULL)
        wf_closing_done(self, closing);
}

/* A thread of the kernel's met a signal, or what it took for one: nothing has been moved. */
static bool was_interrupted(const struct wf_op *op)
{
    return op->result == -EINTR || op->result == -INTERRUPTED_INSIDE;
}

/* As on epoll, not a connect, which goes on after a signal, nor a close, which has been done. */
static bool is_to_repeat(const struct wf_op *op)
{
    if (WF_LIKELY(op->result >= 0))
        return false;
    return op->result == WF_OP_TRY_AGAIN || (was_interrupted(op) && op->reason == 0 &&
                                             op->code != WF_OP_CONNECT && op->code != WF_OP_CLOSE);
}

static int32_t run(struct wf_worker *self, struct wf_op *op, wf_interrupt_fn *interrupt,
                   weft_time deadline)
{
    const struct wf_backend *backend = wf_worker_poller(self)->backend;

    op->reason = 0;
    do {
        if (backend->attempt(op, deadline))
            return op->result;
        self = wf_self(); /* the attempt may have suspended */
        op->waiter = wf_wait_begin(self, interrupt, op);
        wf_backend_start(self, op);
        if (WF_UNLIKELY(wf_wait_is_over(op->waiter)))
            wf_wait_take_wake(op->waiter);
        else
            self = wf_wait_end(self, deadline);
    } while (is_to_repeat(op));
    /* A wait in the kernel that a cancel interrupts can also end with EINTR. */
    if (op->reason != 0 && (op->result == -ECANCELED || was_interrupted(op)))
        return op->reason;
    return op->result == -INTERRUPTED_INSIDE ? -EINTR : op->result;
}

/* Where their number is limited: waits for its turn, also where it would not have to wait itself.
 */
static WF_COLD int32_t run_in_turn(weft_semaphore *permits, struct wf_op *op, weft_time turn,
                                   weft_time deadline)
{
    int32_t result;

    /* The descriptor may be closed meanwhile. */
    if (op->epoch == 0)
        op->epoch = wf_epoch_now(op->fd);
    result = weft_semaphore_acquire(permits, 1, turn);
    if (result != 0)
        return result;
    result = run(wf_self(), op, interrupt_op, deadline);
    weft_semaphore_release(permits, 1);
    return result;
}

/* `turn`: until when it waits for its turn. */
static inline int32_t run_until(struct wf_op *op, weft_time turn, weft_time deadline)
{
    weft_semaphore *permits;
    struct wf_worker *self = wf_self();
    int refusal = wf_self_refusal(self);

    if (self == NULL)
        return -EPERM;
    if (refusal != 0)
        return refusal;
    permits = wf_worker_operations(self);
    if (WF_UNLIKELY(permits != NULL))
        return run_in_turn(permits, op, turn, deadline);
    return run(self, op, interrupt_op, deadline);
}

int32_t wf_op_run(struct wf_op *op, weft_time deadline)
{
    return run_until(op, deadline, deadline);
}

int32_t wf_op_try(struct wf_op *op, weft_time deadline)
{
    return run_until(op, deadline, 0);
}

int32_t wf_op_run_to_end(struct wf_op *op)
{
    struct wf_worker *self = wf_self();

    return self == NULL ? -EPERM : run(self, op, NULL, WEFT_FOREVER);
}

int wf_op_pause(weft_time deadline)
{
    weft_time now = weft_now();

    if (now >= deadline)
        return -ETIMEDOUT;
    return weft_sleep_until(deadline - now < PAUSE ? deadline : now + PAUSE);
}

int wf_op_note_vain(struct wf_op *op, int events, weft_time deadline)
{
    if (++op->vain <= VAIN_UNSEEN)
        return 0;
    if (wf_readiness_now(op->fd, events) <= 0) {
        op->vain = 0;
        return 0;
    }
    if (op->vain < VAIN_MAX)
        return 0;
    op->vain = VAIN_MAX - 1; /* the next attempt in vain is one too many as well */
    return wf_op_pause(deadline);
}

/* True if it is a send that the kernel has refused for its own good only: it may wait there.  Asked
 * where there was no room: a send that finds some pays for no system call. */
static WF_COLD bool may_wait_in_ring(struct wf_op *op)
{
    socklen_t length = sizeof(int);
    int mode, type;

    if (op->is_stream || (op->code != WF_OP_SEND && op->code != WF_OP_SENDMSG))
        return false;
    mode = fcntl(op->fd, F_GETFL);
    op->is_stream = mode >= 0 && (mode & O_NONBLOCK) == 0 &&
                    getsockopt(op->fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
                    type == SOCK_STREAM;
    return op->is_stream;
}

int32_t wf_op_run_ready(struct wf_op *op, int events, weft_time deadline)
{
    bool was_told = false;
    int32_t result;

    while ((result = wf_op_run(op, deadline)) == -EAGAIN && !was_told) {
        if (may_wait_in_ring(op))
            continue;
        result = wf_op_note_vain(op, events, deadline);
        if (result != 0)
            return result;
        result = wf_op_poll(op->fd, events, op->epoch, deadline);
        if (result < 0)
            return result;
        /* It waits for queued errors alone.  A hang-up would end each wait for more, and so would
         * an error of the socket's own, which is in no queue and stays. */
        if (WF_UNLIKELY(events == 0 && (result & POLLERR) == 0))
            return -EAGAIN;
        was_told = events == 0;
    }
    return result;
}

int wf_op_hold(struct wf_op *hold)
{
    struct wf_worker *self = wf_self();
    struct wf_poller *poller;
    int error;

    if (self == NULL || wf_epoch_now(hold->fd) == 0)
        return 0;
    poller = wf_worker_poller(self);
    wf_lock_acquire(&poller->lock);
    error = wf_pending_add(poller, hold);
    wf_lock_release(&poller->lock);
    return error;
}

void wf_op_release(struct wf_op *hold)
{
    wf_pending_finish(wf_self(), hold);
}
