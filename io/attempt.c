/* SPDX-License-Identifier: MIT */
/*
 * How the epoll backend does an operation: by the system call itself, which must not block.  So
 * does a fiber that is alone on its ring (ring.c), where that takes no more than one call.
 *
 * A descriptor may be in blocking mode, and its mode is not ours to change: it belongs to the open
 * file, which other processes can share.  Sockets take MSG_DONTWAIT, and what reads and writes
 * takes RWF_NOWAIT where the kernel supports that for its kind (sockets; regular files; pipes from
 * Linux 6.4 on).  What is left is called only after poll(2) has said that it is ready; should
 * somebody else be faster in between, the call holds the worker until there is data again, as any
 * blocking call does (docs/limits.md).  Two calls know no such flag, accept(2) and connect(2): a
 * listening socket is put into non-blocking mode for good, a socket that connects for the length of
 * the call.
 *
 * What has no readiness, files above all, is done by a call on the blocking pool.
 */
#include "io/attempt.h"

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "io/call.h"
#include "io/parts.h"
#include "io/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/fiber.h>

enum {
    DRAINED_MAX = 1 << 16,
    TRANSFER_MAX = INT32_MAX & ~0xfff, /* bytes that one call moves, as in the kernel */
};

uint32_t wf_attempt_events(const struct wf_op *op)
{
    switch (op->code) {
    case WF_OP_POLL:
        return (uint32_t)op->flags;
    case WF_OP_RECV:
    case WF_OP_RECVMSG:
        return (uint32_t)wf_op_input_event(op->flags);
    case WF_OP_READ:
    case WF_OP_READV:
    case WF_OP_ACCEPT:
        return POLLIN;
    case WF_OP_WRITE:
    case WF_OP_WRITEV:
    case WF_OP_SEND:
    case WF_OP_SENDMSG:
    case WF_OP_CONNECT:
        return POLLOUT;
    case WF_OP_OPENAT:
    case WF_OP_FSYNC:
    case WF_OP_CLOSE:
        break;
    }
    abort(); /* these never wait */
}

/* Not inlined, here and below, where errno is read: its address must not be kept over a switch. */
static WF_NOINLINE int32_t result_of(ssize_t n)
{
    return n < 0 ? -errno : (int32_t)n;
}

static bool is_nonblocking(int fd)
{
    int mode = fcntl(fd, F_GETFL);

    return mode >= 0 && (mode & O_NONBLOCK) != 0;
}

static bool is_read(const struct wf_op *op)
{
    return op->code == WF_OP_READ || op->code == WF_OP_READV;
}

/* Without RWF_NOWAIT among the flags it may block.  With an offset of -1 it is the file's own. */
static int32_t transfer(const struct wf_op *op, const struct wf_parts *parts, int64_t offset,
                        int flags)
{
    int count = parts->count <= INT_MAX ? (int)parts->count : -1;

    if (is_read(op))
        return result_of(preadv2(op->fd, parts->at, count, offset, flags));
    return result_of(pwritev2(op->fd, parts->at, count, offset, flags));
}

static int32_t transfer_all(const struct wf_op *op, int flags)
{
    struct wf_parts parts;

    wf_parts_set(&parts, op);
    return transfer(op, &parts, op->offset, flags);
}

static bool is_file(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

/* True if it came to its end before all had been moved that one call can. */
static bool is_short(const struct wf_op *op)
{
    struct wf_parts parts;

    wf_parts_set(&parts, op);
    return op->result > 0 && op->result < TRANSFER_MAX &&
           (size_t)op->result < wf_parts_total(&parts);
}

static int run_transfer(void *arg)
{
    struct wf_op *op = arg;

    op->result = transfer_all(op, 0);
    return 0;
}

/* Goes on where a transfer has stopped.  Returns false if there may be more to be had. */
static bool go_on(struct wf_op *op, struct wf_parts *parts, int flags)
{
    int64_t offset = op->offset >= 0 ? op->offset + op->result : -1;
    int32_t result;

    wf_parts_shorten(parts, (size_t)(TRANSFER_MAX - op->result));
    result = transfer(op, parts, offset, flags);
    if (result > 0) /* what was moved counts, whatever comes then */
        op->result += result;
    if ((flags & RWF_NOWAIT) == 0)
        return result < 0 || (size_t)result < wf_parts_total(parts);
    return result <= 0 && result != -EAGAIN;
}

/* The rest of a transfer of which a part has been done.  Returns false if it would have to wait. */
static bool move_rest(struct wf_op *op, int flags)
{
    struct wf_parts all, rest;
    size_t done = (size_t)op->result;

    wf_parts_set(&all, op);
    while (all.count > 0 && done >= all.at->iov_len) {
        done -= all.at->iov_len;
        all.at++;
        all.count--;
    }
    if (all.count == 0)
        return true;
    rest = (struct wf_parts){.one = {(char *)all.at->iov_base + done, all.at->iov_len - done},
                             .count = 1};
    rest.at = &rest.one;
    all.at++;
    all.count--;
    return go_on(op, &rest, flags) ||
           ((flags & RWF_NOWAIT) == 0 && (all.count == 0 || go_on(op, &all, flags)));
}

static int run_rest(void *arg)
{
    while (is_short(arg) && !move_rest(arg, 0)) /* as a rule once: see wf_parts_shorten() */
        ;
    return 0;
}

static int run_open(void *arg)
{
    struct wf_op *op = arg;

    op->result = result_of(openat(op->fd, op->buffer, op->flags, (mode_t)op->length));
    return 0;
}

static int run_sync(void *arg)
{
    struct wf_op *op = arg;

    op->result = result_of(op->flags != 0 ? fdatasync(op->fd) : fsync(op->fd));
    return 0;
}

/* Calls `fn(op)` on the pool; the descriptor stays what it is meanwhile.  Always true, as the
 * result of an attempt. */
static bool call(struct wf_op *op, int (*fn)(void *), weft_time deadline)
{
    bool is_held = op->watch == NULL;
    int error;

    if (op->epoch == 0)
        op->epoch = wf_epoch_now(op->fd);
    error = is_held ? wf_op_hold(op) : 0;
    if (error == 0)
        error = wf_call_file(fn, op, op, NULL, deadline);
    if (is_held)
        wf_op_release(op);
    if (error != 0) /* it was not called */
        op->result = error;
    return true;
}

/* RWF_NOWAIT means nothing to this kind of descriptor. */
static bool transfer_when_ready(struct wf_op *op, weft_time deadline)
{
    struct wf_parts parts;

    if (op->cannot_wait || is_file(op->fd))
        return call(op, run_transfer, deadline);
    wf_parts_set(&parts, op);
    if (!is_nonblocking(op->fd)) {
        op->result = wf_op_events_now(op->fd, is_read(op) ? POLLIN : POLLOUT);
        if (op->result <= 0)
            return op->result < 0;
        /* Ready for writing is ready for so much, and no more (pipe(7)).  A terminal promises less
         * (docs/limits.md). */
        if (!is_read(op))
            wf_parts_shorten(&parts, PIPE_BUF);
    }
    op->result = transfer(op, &parts, op->offset, 0);
    return op->result != -EAGAIN;
}

/* A part of a file can be in memory while the rest is not: that is no short read.  Nor is it the
 * end of the file, at which a second call would find nothing.  Where the deadline comes first, what
 * has been moved is all.  `epoch` is from before the first part: the rest is of the same file, or
 * nobody's. */
static WF_COLD void move_rest_of_file(struct wf_op *op, uint32_t epoch, weft_time deadline)
{
    bool is_held = op->watch == NULL;
    int32_t done;

    if (is_held && op->epoch == 0)
        op->epoch = epoch;
    if (is_held && wf_op_hold(op) != 0)
        return; /* what was moved before the close counts */
    if (!move_rest(op, RWF_NOWAIT)) {
        done = op->result;
        (void)call(op, run_rest, deadline);
        if (op->result < 0)
            op->result = done;
    }
    if (is_held)
        wf_op_release(op);
}

/* -EAGAIN: it would wait; -EOPNOTSUPP or -ENOSYS: nobody can say. */
static void transfer_now(struct wf_op *op, weft_time deadline)
{
    uint32_t epoch = wf_epoch_now(op->fd);

    op->result = transfer_all(op, RWF_NOWAIT);
    if (op->result == -ESPIPE && op->offset >= 0) {
        op->offset = -1; /* pipes and sockets have no offsets (weft/io.h) */
        op->result = transfer_all(op, RWF_NOWAIT);
    }
    if (is_short(op) && is_file(op->fd))
        move_rest_of_file(op, epoch, deadline);
}

static bool attempt_transfer(struct wf_op *op, weft_time deadline)
{
    if (op->cannot_wait)
        return call(op, run_transfer, deadline);
    transfer_now(op, deadline);
    if (op->result == -EOPNOTSUPP || op->result == -ENOSYS)
        return transfer_when_ready(op, deadline);
    return op->result != -EAGAIN;
}

/* What send(2) and its like do. */
static bool attempt_message(struct wf_op *op)
{
    int flags = op->flags | MSG_DONTWAIT;

    if (op->code == WF_OP_RECV)
        op->result = result_of(recv(op->fd, op->buffer, wf_op_length(op), flags));
    else if (op->code == WF_OP_SEND)
        op->result = result_of(send(op->fd, op->buffer, wf_op_length(op), flags));
    else if (op->code == WF_OP_RECVMSG)
        op->result = result_of(recvmsg(op->fd, op->buffer, flags));
    else
        op->result = result_of(sendmsg(op->fd, op->buffer, flags));
    /* Errors that are queued are waited for by the caller (wf_op_run_ready()), who knows what has
     * ended the wait. */
    return op->result != -EAGAIN || (op->flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) != 0;
}

static bool is_listening(int fd)
{
    int listens = 0;
    socklen_t length = sizeof listens;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0;
}

static bool attempt_accept(struct wf_op *op)
{
    int mode = fcntl(op->fd, F_GETFL);
    bool is_blocking = mode >= 0 && (mode & O_NONBLOCK) == 0;

    if (is_blocking)
        (void)fcntl(op->fd, F_SETFL, mode | O_NONBLOCK);
    op->result = result_of(accept4(op->fd, NULL, NULL, op->flags));
    if (is_blocking && !is_listening(op->fd)) /* it was no listener to change for good */
        (void)fcntl(op->fd, F_SETFL, mode);
    return op->result != -EAGAIN;
}

/* -EINPROGRESS tells the caller to wait for the outcome, and -EAGAIN to try again (socket.c). */
static void attempt_connect(struct wf_op *op)
{
    int mode = fcntl(op->fd, F_GETFL);

    if (mode >= 0 && (mode & O_NONBLOCK) == 0)
        (void)fcntl(op->fd, F_SETFL, mode | O_NONBLOCK);
    op->result = result_of(connect(op->fd, op->buffer, (socklen_t)op->length));
    if (mode >= 0 && (mode & O_NONBLOCK) == 0)
        (void)fcntl(op->fd, F_SETFL, mode);
}

/*
 * One bit for each descriptor: the last receive took all that there was.  The next one then waits
 * before it tries, which spares a call that would most likely be in vain.  Only a hint, since
 * others may receive, and the number may mean another socket by now: a wait that need not have been
 * costs two system calls and nothing else.
 */
static WF_ATOMIC(bool) drained[DRAINED_MAX];

static bool is_drained(int fd)
{
    /* relaxed: a hint. */
    return fd >= 0 && fd < DRAINED_MAX && atomic_load_explicit(&drained[fd], memory_order_relaxed);
}

static void note_received(int fd, bool took_all)
{
    /* relaxed: a hint. */
    if (fd < DRAINED_MAX && is_drained(fd) != took_all)
        atomic_store_explicit(&drained[fd], took_all, memory_order_relaxed);
}

/* What comes beside the data that there is to read. */
static bool is_apart(const struct wf_op *op)
{
    return (op->flags & (MSG_OOB | MSG_ERRQUEUE)) != 0;
}

/* With a deadline that has passed it is the attempt that counts, and of urgent data the attempt
 * says whether there is any to wait for. */
static bool should_wait_first(const struct wf_op *op, weft_time deadline)
{
    return !op->has_waited && (op->flags & MSG_DONTWAIT) == 0 && !is_apart(op) &&
           is_drained(op->fd) && (deadline == WEFT_FOREVER || weft_now() < deadline);
}

static bool attempt_receive(struct wf_op *op, weft_time deadline)
{
    bool is_done;

    if (should_wait_first(op, deadline))
        return false;
    is_done = attempt_message(op);
    if (op->result > 0 && !is_apart(op))
        note_received(op->fd, (size_t)op->result < wf_op_length(op));
    return is_done;
}

static bool attempt(struct wf_op *op, weft_time deadline)
{
    switch (op->code) {
    case WF_OP_READ:
    case WF_OP_WRITE:
    case WF_OP_READV:
    case WF_OP_WRITEV:
        return attempt_transfer(op, deadline);
    case WF_OP_RECV:
        return attempt_receive(op, deadline);
    case WF_OP_SEND:
    case WF_OP_RECVMSG:
    case WF_OP_SENDMSG:
        return attempt_message(op);
    case WF_OP_ACCEPT:
        return attempt_accept(op);
    case WF_OP_CONNECT:
        attempt_connect(op);
        return true;
    case WF_OP_POLL:
        op->result = wf_op_events_now(op->fd, op->flags);
        return op->result != 0;
    case WF_OP_OPENAT:
        return call(op, run_open, deadline);
    case WF_OP_FSYNC:
        return call(op, run_sync, deadline);
    case WF_OP_CLOSE:
        op->result = result_of(close(op->fd));
        return true;
    }
    abort();
}

bool wf_attempt(struct wf_op *op, weft_time deadline)
{
    bool is_done;

    /* Not a connect, which goes on after a signal, nor a close, which has been done. */
    do
        is_done = attempt(op, deadline);
    while (is_done && op->result == -EINTR && op->code != WF_OP_CONNECT && op->code != WF_OP_CLOSE);
    return is_done;
}

static bool attempt_now(struct wf_op *op, weft_time deadline)
{
    switch (op->code) {
    case WF_OP_READ:
    case WF_OP_WRITE:
    case WF_OP_READV:
    case WF_OP_WRITEV:
        transfer_now(op, deadline);
        return op->result != -EAGAIN && op->result != -EOPNOTSUPP && op->result != -ENOSYS;
    case WF_OP_RECV:
    case WF_OP_RECVMSG:
        /* The call would give up with what is there. */
        return (op->flags & MSG_WAITALL) == 0 && attempt_message(op);
    case WF_OP_SEND:
    case WF_OP_SENDMSG:
        return attempt_message(op);
    case WF_OP_POLL:
        op->result = wf_op_events_now(op->fd, op->flags);
        return op->result != 0;
    case WF_OP_ACCEPT:
    case WF_OP_CONNECT:
    case WF_OP_OPENAT:
    case WF_OP_FSYNC:
    case WF_OP_CLOSE:
        break;
    }
    return false;
}

bool wf_attempt_now(struct wf_op *op, weft_time deadline)
{
    return attempt_now(op, deadline) && op->result != -EINTR;
}
