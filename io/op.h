/* SPDX-License-Identifier: MIT */
/*
 * One I/O operation, in the frame of the fiber that waits for it.
 *
 * The backend owns the operation and its buffers from wf_backend_start() until it completes it. The
 * fiber cannot leave its wait before that: a deadline or a cancel only asks the backend to hurry,
 * so nothing that the kernel may still write to ever goes out of scope.
 */
#ifndef WF_IO_OP_H
#define WF_IO_OP_H

#include "runtime/wait.h"

#include <weft/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wf_opcode {
    WF_OP_READ,    /* fd, buffer, length, offset (-1: the file's own) */
    WF_OP_WRITE,   /* fd, buffer, length, offset */
    WF_OP_READV,   /* fd, buffer: struct iovec, length of that array, offset */
    WF_OP_WRITEV,  /* fd, buffer: struct iovec, length of that array, offset */
    WF_OP_RECV,    /* fd, buffer, length, flags */
    WF_OP_SEND,    /* fd, buffer, length, flags */
    WF_OP_RECVMSG, /* fd, buffer: struct msghdr, flags */
    WF_OP_SENDMSG, /* fd, buffer: struct msghdr, flags */
    WF_OP_ACCEPT,  /* fd, flags */
    WF_OP_CONNECT, /* fd, buffer: address, length */
    WF_OP_POLL,    /* fd, flags: events */
    WF_OP_OPENAT,  /* fd: folder, buffer: path, flags, length: mode */
    WF_OP_FSYNC,   /* fd, flags: whether data alone is enough */
    WF_OP_CLOSE,   /* fd */
};

/* The result of an operation that only waited for its descriptor: it can be attempted now. */
enum { WF_OP_TRY_AGAIN = INT32_MIN };

struct wf_op {
    enum wf_opcode code;
    int fd;
    void *buffer; /* also of operations that only read it */
    size_t length;
    int64_t offset;
    int flags;

    struct wf_waiter *waiter;                               /* whom to wake */
    void (*done)(struct wf_worker *self, struct wf_op *op); /* NULL: wakes the waiter */
    uint64_t tag;              /* io_uring: names this operation to the kernel */
    struct wf_op *next, *prev; /* epoll: links among those that wait for the same descriptor */
    bool is_listed;            /* epoll: it is one of them */
    bool has_waited;           /* epoll: it has been attempted, or waited instead */
    bool cannot_wait;          /* epoll: the descriptor has no readiness to wait for */
    int reason;                /* 0, or why the kernel was asked to stop: -ETIMEDOUT, -ECANCELED */
    int32_t result;            /* the backend's, once complete */
};

/* Caller: a backend that has completed the operation, with no lock.  The record may be gone then.
 */
static inline void wf_op_complete(struct wf_worker *self, struct wf_op *op)
{
    if (WF_UNLIKELY(op->done != NULL))
        op->done(self, op);
    else
        wf_wake_later(self, op->waiter, 0);
}

/* The events of poll(2) that hold for `fd`, 0 for none; a negative errno. */
int32_t wf_op_events_now(int fd, int events);

/*
 * Starts the operation and waits for its end.
 *
 * Returns what the kernel reports, with its -ECANCELED replaced by the reason; -EPERM on a plain
 * thread; -ECANCELED, with nothing started, in a cancelled fiber.
 */
int32_t wf_op_run(struct wf_op *op, weft_time deadline);

/* The same, but it can be neither cancelled nor timed out. */
int32_t wf_op_run_to_end(struct wf_op *op);

/* wf_op_run() for a transfer on a descriptor that may be in non-blocking mode: where the kernel
 * says -EAGAIN, waits for `events` and tries again. */
int32_t wf_op_run_ready(struct wf_op *op, int events, weft_time deadline);

#endif
