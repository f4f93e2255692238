/* SPDX-License-Identifier: MIT */
/* See pending.h for the rules and the edges. */
#include "io/pending.h"

#include "arch/os.h"
#include "io/backend.h"
#include "io/pages.h"
#include "runtime/check.h"

#include <errno.h>

enum { EPOCH_BIAS = 2 }; /* so that none is 0; it leaves what is odd odd */

#ifdef WF_MODEL
static WF_ATOMIC(uint32_t) * epochs; /* the model makes them anew for each execution */
#else
/* On pages of its own; those that nobody touches cost nothing. */
static _Alignas(1 << 12) WF_ATOMIC(uint32_t) epochs[WF_EPOCHS];
#endif

static WF_ATOMIC(uint32_t) * epoch_of(int fd)
{
    return fd >= 0 && fd < WF_EPOCHS ? &epochs[fd] : NULL;
}

void wf_epochs_forget(void)
{
    wf_os_discard(epochs, sizeof epochs[0] * WF_EPOCHS);
}

uint32_t wf_epoch_now(int fd)
{
    WF_ATOMIC(uint32_t) *epoch = epoch_of(fd);

    /* relaxed: a value to compare; may_go_on() asks for the latest. */
    return epoch == NULL ? 0 : atomic_load_explicit(epoch, memory_order_relaxed) + EPOCH_BIAS;
}

bool wf_epoch_begin(int fd)
{
    WF_ATOMIC(uint32_t) *epoch = epoch_of(fd);

    /* CL.1 acq_rel: we see what those have listed that did not see us. */
    return epoch == NULL || (atomic_fetch_or_explicit(epoch, 1, memory_order_acq_rel) & 1) == 0;
}

void wf_epoch_end(int fd)
{
    WF_ATOMIC(uint32_t) *epoch = epoch_of(fd);

    /* CL.1 acq_rel: those who go on see that it was closed. */
    if (epoch != NULL)
        (void)atomic_fetch_add_explicit(epoch, 1, memory_order_acq_rel);
}

/* True if the call, part of which was done at op->epoch, may go on.  Caller has listed it. */
static bool may_go_on(const struct wf_op *op)
{
    WF_ATOMIC(uint32_t) *epoch = epoch_of(op->fd);
    uint32_t now;

    WF_ASSERT(epoch != NULL);
    /* CL.1 acq_rel: whoever changes it after us sees that it is listed.  Not a load: all are links
     * of one chain of changes. */
    now = atomic_fetch_add_explicit(epoch, 0, memory_order_acq_rel) + EPOCH_BIAS;
    return (op->epoch & 1) == 0 && now == op->epoch;
}

struct wf_fd_ops *wf_pending_watch(struct wf_poller *poller, int fd)
{
    struct wf_fd_ops *watch = wf_pages_find(&poller->pending, fd);

    return WF_LIKELY(watch != NULL) ? watch : wf_pages_make(&poller->pending, fd);
}

static struct wf_op *first_of(struct wf_fd_ops *watch)
{
    /* CL.4 acquire: those who have left have done with the descriptor. */
    return atomic_load_explicit(&watch->first, memory_order_acquire);
}

bool wf_pending_is_any(struct wf_poller *poller, int fd)
{
    struct wf_fd_ops *watch = wf_pages_find(&poller->pending, fd);

    if (WF_LIKELY(watch == NULL || first_of(watch) == NULL))
        watch = &poller->pending.others;
    return first_of(watch) != NULL;
}

static void set_first(struct wf_fd_ops *watch, struct wf_op *op)
{
    /* CL.4 release: whoever has just left has done with the descriptor.  All else the lock
     * publishes. */
    atomic_store_explicit(&watch->first, op, memory_order_release);
}

static void append(struct wf_fd_ops *watch, struct wf_op *op)
{
    op->after = NULL;
    op->before = watch->last;
    if (watch->last == NULL)
        set_first(watch, op);
    else
        watch->last->after = op;
    watch->last = op;
}

static void take_out(struct wf_op *op)
{
    if (op->before == NULL)
        set_first(op->watch, op->after);
    else
        op->before->after = op->after;
    if (op->after == NULL)
        op->watch->last = op->before;
    else
        op->after->before = op->before;
}

int wf_pending_add(struct wf_poller *poller, struct wf_op *op)
{
    struct wf_fd_ops *watch;

    WF_ASSERT(op->watch == NULL);
    if (op->fd < 0 || op->code == WF_OP_CLOSE)
        return 0;
    watch = wf_pages_find(&poller->pending, op->fd);
    if (WF_UNLIKELY(watch == NULL))
        watch = wf_pages_make(&poller->pending, op->fd);
    if (WF_UNLIKELY(watch == NULL)) {
        if (!wf_pages_is_open(op->fd))
            return -EBADF;
        watch = &poller->pending.others;
    }
    append(watch, op);
    op->watch = watch;
    op->poller = poller;
    if (WF_LIKELY(op->epoch == 0) || may_go_on(op))
        return 0;
    wf_pending_remove(op);
    return -EBADF;
}

void wf_pending_remove(struct wf_op *op)
{
    if (op->watch == NULL)
        return;
    take_out(op);
    op->watch = NULL;
    /* What failed may be tried again. */
    if (op->result < 0 && op->epoch == 0)
        op->epoch = wf_epoch_now(op->fd);
}

struct wf_closing *wf_pending_leave(struct wf_op *op)
{
    struct wf_closing *closing = op->closing;

    wf_pending_remove(op);
    op->closing = NULL;
    return closing;
}

void wf_pending_finish(struct wf_worker *self, struct wf_op *op)
{
    struct wf_poller *poller = op->poller;
    struct wf_closing *closing;

    if (op->watch == NULL)
        return;
    wf_lock_acquire(&poller->lock);
    closing = wf_pending_leave(op);
    wf_lock_release(&poller->lock);
    if (closing != NULL)
        wf_closing_done(self, closing);
}

void wf_pending_move_last(struct wf_op *op)
{
    take_out(op);
    append(op->watch, op);
}

void wf_closing_done(struct wf_worker *self, struct wf_closing *closing)
{
    struct wf_waiter *waiter = closing->waiter;

    /* CL.3 acq_rel: we have done with the descriptor; the last one sees what the others did. */
    if (atomic_fetch_sub_explicit(&closing->pending, 1, memory_order_acq_rel) == 1)
        wf_wake_later(self, waiter, 0);
}
