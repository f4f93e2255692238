/* SPDX-License-Identifier: MIT */
/*
 * For ring.c: the set-up of a ring (ring_setup.c), what it asks of the kernel, real or simulated
 * (ring_kernel.c), and what an operation is in its queue.
 */
#ifndef WF_IO_RING_H
#define WF_IO_RING_H

#include "io/alone.h"
#include "io/backend.h"
#include "io/op.h"

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes a ring with the best flags that the kernel knows; tries each system call and looks for each
 * operation that is going to be needed.  0 or -errno; if it `says_why`, after a line that says what
 * to do about it. */
int wf_ring_open(struct io_uring *ring, uint32_t entries, bool says_why);

void wf_ring_close(struct io_uring *ring);

/* Whether the kernel goes on by itself with a send for all of which there was no room
 * (MSG_WAITALL), and always tells how much it has sent then: Linux 6.1, as this one's operations
 * tell.  Earlier ones could send a part and report an error. */
bool wf_ring_resumes_sends(struct io_uring *ring);

/* See wf_backend.describe. */
int wf_ring_describe(char *line, size_t size);

struct wf_sim_ring;

struct ring {
    struct wf_poller poller; /* its lock is that of all that follows, system calls excepted */
    struct io_uring uring;
    struct wf_counters *counters; /* those of the ring: whoever has the lock writes them */
    uint64_t generation;          /* of the next operation */
    uint64_t in_flight;           /* operations prepared and not yet reaped */
    int event;                    /* eventfd that ends a wait */
    bool resumes_sends;           /* MSG_WAITALL means what it says */
    int registered;               /* the ring's number among the owner's registered rings, or -1 */
    uint64_t event_buffer;        /* the kernel writes it */
    uint32_t entries;             /* immutable: that the submission queue is to have */
    bool is_open;                 /* `uring` is there */
    bool is_refused;              /* the owner's: it was not to be had when last asked for */
    bool is_closing;
    unsigned visitors;     /* threads in the kernel with it, or on their way */
    bool event_is_armed;   /* false: an interrupt has come; the owner does not wait */
    bool owner_waits;      /* rule 2 */
    struct wf_alone alone; /* what lone fibers have done at once */

    struct wf_sim_ring *simulated; /* NULL: it is the kernel's, or not open */
    WF_ATOMIC(uint32_t) signal;    /* in a simulation, what the event counts */
};

/* The event that ends a wait, made with the ring and closed with it.  0, or -errno after a line. */
int wf_ring_make_event(struct ring *ring);
void wf_ring_close_event(struct ring *ring);

/* Signals the event; and waits for that, while the ring is not open. */
void wf_ring_signal(struct ring *ring);
void wf_ring_await_signal(struct ring *ring);

/* Sets ring->uring up, and gives it back.  0, or -errno; the first refusal in a row says why. */
int wf_ring_connect(struct ring *ring);
void wf_ring_disconnect(struct ring *ring);

/*
 * Submits up to `count` published entries and lets the kernel bring in completions.
 *
 * Returns how many it took, or -errno; EINTR, ETIME: the wait ended; EBUSY, EAGAIN: the kernel
 * wants completions reaped, or memory, before it takes more.  Caller does not have the lock.
 */
int wf_ring_enter(struct ring *ring, bool is_owner, unsigned count,
                  const struct __kernel_timespec *timeout, bool waits);

/* wf_attempt_now() with that kernel. */
bool wf_ring_attempt(const struct ring *ring, struct wf_op *op, weft_time deadline);

/*
 * The flags of a send in the ring.
 *
 * A ring that waits for room for a Unix datagram sends an empty one in the end (seen on Linux
 * 6.18): the first attempt has used the content up.  So where there is no room a send is refused
 * until its socket is known for a stream (wf_op_run_ready()).  What is long and to be sent whole is
 * hardly a datagram: the ring goes on with it by itself.
 */
static inline int wf_send_flags(const struct wf_op *op)
{
    bool is_long = (op->flags & MSG_WAITALL) != 0 && op->length > WF_ALONE_SEND_MAX;

    return op->is_stream || is_long ? op->flags : op->flags | MSG_DONTWAIT;
}

static inline void wf_prepare(struct io_uring_sqe *sqe, const struct wf_op *op)
{
    unsigned length = op->length < INT32_MAX ? (unsigned)op->length : INT32_MAX;

    switch (op->code) {
    case WF_OP_READ:
        io_uring_prep_read(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_WRITE:
        io_uring_prep_write(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_READV:
        io_uring_prep_readv(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_WRITEV:
        io_uring_prep_writev(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_RECV:
        io_uring_prep_recv(sqe, op->fd, op->buffer, length, op->flags);
        break;
    case WF_OP_SEND:
        io_uring_prep_send(sqe, op->fd, op->buffer, length, wf_send_flags(op));
        break;
    case WF_OP_RECVMSG:
        io_uring_prep_recvmsg(sqe, op->fd, op->buffer, (unsigned)op->flags);
        break;
    case WF_OP_SENDMSG:
        io_uring_prep_sendmsg(sqe, op->fd, op->buffer, (unsigned)wf_send_flags(op));
        break;
    case WF_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, op->flags);
        break;
    case WF_OP_CONNECT:
        io_uring_prep_connect(sqe, op->fd, op->buffer, (socklen_t)op->length);
        break;
    case WF_OP_POLL:
        /* It wakes for no POLLPRI, but for POLLRDBAND, which a socket's wakes always come with; and
         * unasked for POLLRDHUP, beside the errors and the hang-up that poll(2) tells of, too. */
        io_uring_prep_poll_add(sqe, op->fd,
                               (unsigned)op->flags |
                                   ((op->flags & POLLPRI) != 0 ? (unsigned)POLLRDBAND : 0));
        break;
    case WF_OP_OPENAT:
        io_uring_prep_openat(sqe, op->fd, op->buffer, op->flags, (mode_t)op->length);
        break;
    case WF_OP_FSYNC:
        io_uring_prep_fsync(sqe, op->fd, op->flags != 0 ? IORING_FSYNC_DATASYNC : 0);
        break;
    case WF_OP_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    }
}

#endif
