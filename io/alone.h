/* SPDX-License-Identifier: MIT */
/*
 * What a fiber that is alone on its worker does at once instead of by way of the loop: which
 * operations, and how many in a row (docs/adr/0036).  For ring.c, under the poller's lock.
 */
#ifndef WF_IO_ALONE_H
#define WF_IO_ALONE_H

#include "io/attempt.h"
#include "io/luck.h"
#include "io/pages.h"

#include <poll.h>

enum {
    WF_ALONE_MAX = 16,           /* guessed: operations in a row before the fiber gives way */
    WF_ALONE_BYTES = 1 << 12,    /* guessed: so much to copy counts as one of them */
    WF_ALONE_SEND_MAX = 1 << 14, /* bytes: of more the kernel sends the rest by itself */
    WF_ALONE_FEW = 4             /* guessed: with so many under way there will be batches */
};

struct wf_alone {
    unsigned in_a_row;    /* since a fiber last gave way for it */
    int last_sent;        /* the descriptor, if a send was submitted last, or -1 */
    struct wf_luck names; /* of entering the kernel at once to open or close */
};

/* Whether a system call of its own may do it, whatever its descriptor is: what only begins. */
static inline bool wf_alone_may_call(const struct wf_op *op)
{
    return op->epoch == 0 && op->code <= WF_OP_POLL && op->code != WF_OP_ACCEPT &&
           op->code != WF_OP_CONNECT && (op->code != WF_OP_SEND || op->length <= WF_ALONE_SEND_MAX);
}

/* A server's fiber may be alone just now, and its message yet part of a batch: unless it is one of
 * a stream.  What has an offset is a file's, and nobody answers a poll. */
static inline bool wf_alone_is_conversation(const struct wf_alone *alone, const struct wf_op *op,
                                            uint64_t in_flight)
{
    bool is_message = op->code >= WF_OP_RECV || op->offset < 0;

    return is_message && op->code != WF_OP_POLL && in_flight >= WF_ALONE_FEW &&
           alone->last_sent != op->fd;
}

/* NULL: nothing is known of this descriptor. */
static inline struct wf_luck *wf_alone_luck(struct wf_pending *pending, const struct wf_op *op)
{
    struct wf_fd_ops *watch = wf_pages_find(pending, op->fd);

    if (watch == NULL)
        return NULL;
    return (wf_attempt_events(op) & POLLOUT) != 0 ? &watch->out : &watch->in;
}

/* Counts one that was done.  Returns true if it is time to give way. */
static inline bool wf_alone_count(struct wf_alone *alone, const struct wf_op *op)
{
    alone->in_a_row += 1 + (op->result > 0 ? (unsigned)op->result / WF_ALONE_BYTES : 0);
    if (alone->in_a_row < WF_ALONE_MAX)
        return false;
    alone->in_a_row = 0;
    return true;
}

/* Whether to enter the kernel for this one: what opens and closes mostly completes in the call, and
 * no other call can do it that may not have to wait. */
static inline bool wf_alone_may_enter(struct wf_alone *alone, const struct wf_op *op)
{
    if ((op->code != WF_OP_OPENAT && op->code != WF_OP_CLOSE) || op->waiter == NULL)
        return false;
    if (++alone->in_a_row < WF_ALONE_MAX)
        return wf_luck_try(&alone->names);
    alone->in_a_row = 0; /* the loop has its turn */
    return false;
}

#endif
