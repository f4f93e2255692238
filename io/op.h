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

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct wf_closing;
struct wf_poller;
struct wf_fd_ops;

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
    union {
        void *buffer;          /* also of operations that only read it */
        struct wf_op *awaited; /* of a hold with has_awaited: what a close of `fd` ends as well */
    };
    size_t length;
    int64_t offset;
    int flags;

    struct wf_waiter *waiter;                               /* whom to wake */
    void (*done)(struct wf_worker *self, struct wf_op *op); /* NULL: wakes the waiter */
    uint64_t tag;              /* io_uring: names this operation to the kernel */
    struct wf_op *next, *prev; /* the backend's */
    bool is_listed;            /* the backend's: it waits */
    bool has_waited;           /* epoll: it has been attempted, or waited instead */
    bool cannot_wait;          /* epoll: the descriptor has no readiness to wait for */
    bool is_stream;            /* io_uring: a send that may wait in the ring (ring.h) */
    bool has_awaited;          /* of a hold, under the lock of `poller`: which has `awaited`, too */
    uint8_t vain;              /* attempts in vain, one after another: see wf_op_note_vain() */
    int32_t result;            /* the backend's, once complete */

    /* Under the lock of `poller`; see pending.h. */
    struct wf_poller *poller;     /* in whose list it is */
    struct wf_fd_ops *watch;      /* the list; NULL: in none */
    struct wf_op *after, *before; /* links of the list */
    struct wf_closing *closing;   /* who closes the descriptor, and waits for us; NULL: nobody */
    int reason; /* 0, or why it was asked to stop: -ETIMEDOUT, -ECANCELED, -EBADF (closed) */
    uint32_t
        epoch; /* of the descriptor when the call began of which this is a part; 0: it begins */
};

WF_COLD void wf_op_complete_slowly(struct wf_worker *self, struct wf_op *op);

/* Caller: a backend that has completed the operation, which is in no list any more, with no lock.
 * The record may be gone then. */
static inline void wf_op_complete(struct wf_worker *self, struct wf_op *op)
{
    if (WF_UNLIKELY(op->done != NULL || op->closing != NULL))
        wf_op_complete_slowly(self, op);
    else
        wf_wake_later(self, op->waiter, 0);
}

/* What a receive with these flags waits for: urgent data comes beside what there is to read, and
 * errors that are queued are told by POLLERR, which comes unasked. */
static inline int wf_op_input_event(int flags)
{
    if (WF_UNLIKELY((flags & MSG_ERRQUEUE) != 0))
        return 0;
    return (flags & MSG_OOB) != 0 ? POLLPRI : POLLIN;
}

/* The folder from which a path leads: none, if it leads from the root.  The number is nobody's
 * matter then, and need not be that of an open file (openat(2)). */
static inline int wf_op_folder(int dir_fd, const char *path)
{
    return path != NULL && path[0] == '/' ? AT_FDCWD : dir_fd;
}

/* The events of poll(2) that hold for `fd`, 0 for none; a negative errno. */
int32_t wf_op_events_now(int fd, int events);

/* The result of a poll, or 0 if none of its events holds: a ring takes all that arrives at a socket
 * for urgent data, where that is waited for (ring.h). */
int32_t wf_op_events_confirmed(const struct wf_op *op);

/*
 * Starts the operation and waits for its end.
 *
 * Returns what the kernel reports, with its -ECANCELED replaced by the reason; -EPERM on a plain
 * thread; -ECANCELED, with nothing started, in a cancelled fiber.
 */
int32_t wf_op_run(struct wf_op *op, weft_time deadline);

/* wf_op_run() that waits for its turn only, where operations have turns: -ETIMEDOUT where it would
 * have to wait for more. */
int32_t wf_op_try(struct wf_op *op, weft_time deadline);

/* wf_op_run() that can be neither cancelled nor timed out. */
int32_t wf_op_run_to_end(struct wf_op *op);

/* weft_poll_fd(), weft_read() and weft_writev() as parts of a call that began at that epoch of the
 * descriptor (pending.h); 0: this is its first. */
int wf_op_poll(int fd, int events, uint32_t epoch, weft_time deadline);
ssize_t wf_op_read(int fd, void *buf, size_t len, uint32_t epoch, weft_time deadline);
ssize_t wf_op_writev(int fd, const struct iovec *parts, int count, uint32_t epoch,
                     weft_time deadline);

/*
 * After an attempt that found nothing, before the next wait for `events`.
 *
 * Some descriptors say that they are ready, and are not: a datagram socket has room of its own
 * while its receiver has none, and an error in the queue of a socket is no data.  Each wait then
 * ends at once, and the fiber would do nothing but try.  So from the fourth attempt on, if the
 * descriptor is ready after two in a row, this sleeps for a while.  Where somebody else was faster
 * each time the descriptor is not ready any more, and nobody sleeps.
 *
 * Returns 0, or why the call is over.
 */
int wf_op_note_vain(struct wf_op *op, int events, weft_time deadline);

/* Sleeps until it is time to look again at what cannot be waited for.  0; -ETIMEDOUT where the
 * deadline has passed already; -ECANCELED. */
WF_COLD int wf_op_pause(weft_time deadline);

/* wf_op_run() for a transfer on a descriptor that may be in non-blocking mode: where the kernel
 * says -EAGAIN, waits for `events` and tries again.  A send to a stream in blocking mode waits in
 * the ring instead. */
int32_t wf_op_run_ready(struct wf_op *op, int events, weft_time deadline);

/*
 * The calls on a descriptor that has to stay the same one throughout, for code that makes them
 * itself: an operation of `fd` that the backend never hears of.  weft_close() waits for the end.
 *
 * Returns 0; -EBADF if the descriptor has been closed since hold->epoch, where that is not 0.
 * Caller: a fiber, which while it holds the descriptor waits for it with its epoch only, so that
 * the wait ends, too, or for another one by wf_op_poll_holding().  A plain thread holds nothing,
 * and nobody a number without epochs.
 */
int wf_op_hold(struct wf_op *hold);
void wf_op_release(struct wf_op *hold);

/*
 * wf_op_poll() for a fiber that holds another descriptor meanwhile, with its epoch: -EBADF as soon
 * as either is closed.  It takes no turn where operations have turns, for which a close of what is
 * held would have to wait.
 */
int wf_op_poll_holding(int fd, int events, uint32_t epoch, struct wf_op *hold, weft_time deadline);

#endif
