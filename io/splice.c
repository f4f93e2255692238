/* SPDX-License-Identifier: MIT */
/*
 * Moving data within the kernel: attempts that do not block, and waits for readiness between them,
 * on either backend (docs/adr/0030).
 *
 * Pipes take SPLICE_F_NONBLOCK, which means nothing to sockets: these have to be in non-blocking
 * mode, if only for the length of the attempt.  Files have no readiness, and what is not in memory
 * blocks: with one of them concerned, the attempt is a call on the blocking pool; but a page of one
 * that is in memory is sent to a stream by a read and a send.  Both ends are
 * ready when it begins, so that what is neither file, pipe nor socket, such as a terminal, does not
 * hold a thread of the pool.
 */
#define _GNU_SOURCE 1

#include <weft/splice.h>

#include "arch/compiler.h"
#include "arch/sim.h"
#include "io/call.h"
#include "io/op.h"
#include "io/pending.h"
#include "io/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <weft/fiber.h>
#include <weft/io.h>

enum {
    /* bytes: half a millisecond or so, which a deadline then is late; the way to the pool and back
     * is a fiftieth of it */
    POOL_LENGTH_MAX = 1 << 22,
    ATTEMPTS_PER_YIELD = 32, /* guessed: some 50 us of system calls */
    COPY_MAX = 1 << 12,      /* bytes: they are on the stack of a fiber, which may be small */
};

enum kind { PIPE, SOCKET, OTHER };

struct move {
    int in, out;
    off_t *in_offset, *out_offset;
    size_t length;
    unsigned flags;
    enum kind in_kind, out_kind;
    ssize_t (*call)(const struct move *move); /* returns -1 with errno, as the system does */
    ssize_t result;
    struct wf_op in_hold, out_hold; /* the descriptors stay what they are meanwhile */
};

/* Below 0 if it is no socket. */
static int socket_type(int fd)
{
    int type;
    socklen_t length = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 ? type : -1;
}

/* Neither call asks a file system, which may be slow to answer. */
static enum kind kind_of(int fd)
{
    if (fcntl(fd, F_GETPIPE_SZ) >= 0)
        return PIPE;
    return socket_type(fd) >= 0 ? SOCKET : OTHER;
}

static ssize_t call_splice(const struct move *move)
{
    return splice(move->in, move->in_offset, move->out, move->out_offset, move->length,
                  move->flags | SPLICE_F_NONBLOCK);
}

static ssize_t call_tee(const struct move *move)
{
    return tee(move->in, move->out, move->length, move->flags | SPLICE_F_NONBLOCK);
}

static ssize_t call_sendfile(const struct move *move)
{
    return sendfile(move->out, move->in, move->in_offset, move->length);
}

/* Returns true if it was in blocking mode. */
static bool begin_nonblocking(int fd, enum kind kind)
{
    int mode = kind == SOCKET ? fcntl(fd, F_GETFL) : -1;

    return mode >= 0 && (mode & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, mode | O_NONBLOCK) == 0;
}

static void end_nonblocking(int fd)
{
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Not inlined: errno is a thread's, and the attempt may be made on another one. */
static WF_NOINLINE int attempt(void *arg)
{
    struct move *move = arg;
    bool in_was_blocking = begin_nonblocking(move->in, move->in_kind);
    bool out_was_blocking = begin_nonblocking(move->out, move->out_kind);

    do
        move->result = move->call(move);
    while (move->result < 0 && errno == EINTR);
    if (move->result < 0)
        move->result = -errno;
    if (in_was_blocking)
        end_nonblocking(move->in);
    if (out_was_blocking)
        end_nonblocking(move->out);
    return 0;
}

/* Sends a page of a file that is in memory to a stream.  Returns false, having moved nothing, if
 * that is not what is wanted, or not to be had without waiting.  Not inlined, as above. */
static WF_NOINLINE bool send_copy(struct move *move)
{
    char content[COPY_MAX];
    struct iovec part = {content, move->length};
    struct stat status;
    ssize_t n;

    if (move->call != call_sendfile || move->length > COPY_MAX || move->in_offset == NULL ||
        *move->in_offset < 0 || socket_type(move->out) != SOCK_STREAM ||
        fstat(move->in, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    n = preadv2(move->in, &part, 1, *move->in_offset, RWF_NOWAIT);
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return false;
    if (n > 0)
        n = send(move->out, content, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0)
        *move->in_offset += n;
    /* An error that a socket has told is gone: a second attempt would not find it. */
    move->result = n < 0 ? -errno : n;
    return true;
}

/* Once one of `events` holds, whether it had to wait for that; or a negative errno, why nobody can:
 * to go on then would be to try again and again.  What cannot be polled is left to the attempt,
 * which says what is wrong.  A close of either end ends the wait. */
static int await(const struct wf_op *hold, struct wf_op *other, int events, weft_time deadline)
{
    int32_t result = wf_op_events_now(hold->fd, events);

    if (result != 0)
        return result < 0 && result != -EPERM ? result : 0;
    result = wf_op_poll_holding(hold->fd, events, hold->epoch, other, deadline);
    return result < 0 && result != -EPERM ? result : 1;
}

static int await_both(struct move *move, weft_time deadline)
{
    int in = await(&move->in_hold, &move->out_hold, POLLIN, deadline), out;

    if (in < 0)
        return in;
    out = await(&move->out_hold, &move->in_hold, POLLOUT, deadline);
    return out < 0 ? out : in | out;
}

static bool is_being_closed(const struct wf_op *hold)
{
    return wf_epoch_now(hold->fd) != hold->epoch;
}

/* After an attempt that moved nothing.  Where both ends say that they are ready, and go on saying
 * so, it pauses: no wait would tell of a close, a cancel or a deadline then. */
static int await_next(struct move *move, weft_time deadline)
{
    int result = await_both(move, deadline);

    if (result < 0)
        return result;
    if (result > 0) {
        move->in_hold.vain = 0;
        return 0;
    }
    result = wf_op_note_vain(&move->in_hold, POLLIN, deadline);
    if (result == 0 && (is_being_closed(&move->in_hold) || is_being_closed(&move->out_hold)))
        result = -EBADF;
    return result;
}

static bool is_simulated(const struct move *move)
{
    return wf_sim_is_here() && (wf_sim_find(move->in) != NULL || wf_sim_find(move->out) != NULL);
}

/* Sets move->result; returns 0, or why there was no attempt. */
static int attempt_here_or_on_pool(struct move *move, bool needs_pool, weft_time deadline)
{
    int error;

    if (!needs_pool)
        return attempt(move);
    error = (move->flags & SPLICE_F_NONBLOCK) == 0 ? await_both(move, deadline) : 0;
    if (error < 0)
        return error;
    if (move->length > POOL_LENGTH_MAX)
        move->length = POOL_LENGTH_MAX;
    return wf_call_file(attempt, move, &move->in_hold, &move->out_hold, deadline);
}

/* True if the kernel moves nothing between ends of these kinds, and says so at once: there is
 * nothing to wait for. */
static bool is_refused(const struct move *move)
{
    if (move->call == call_sendfile)
        return move->in_kind != OTHER;
    if (move->call == call_tee)
        return move->in_kind != PIPE || move->out_kind != PIPE;
    return move->in_kind != PIPE && move->out_kind != PIPE;
}

static int move_by_attempts(struct move *move, weft_time deadline)
{
    bool needs_pool;
    int error;

    /* Asked once: while they are held they stay what they are. */
    move->in_kind = kind_of(move->in);
    move->out_kind = kind_of(move->out);
    /* sendfile(2) to a pipe is a splice, but for the flag that keeps it from blocking. */
    if (move->call == call_sendfile && move->out_kind == PIPE)
        move->call = call_splice;
    needs_pool = (move->in_kind == OTHER || move->out_kind == OTHER) && !is_refused(move);

    while ((error = attempt_here_or_on_pool(move, needs_pool, deadline)) == 0) {
        if (move->result != -EAGAIN || (move->flags & SPLICE_F_NONBLOCK) != 0)
            break;
        error = await_next(move, deadline);
        if (error != 0)
            break;
    }
    return error;
}

static ssize_t run_held(struct move *move, weft_time deadline)
{
    int error = send_copy(move) ? 0 : move_by_attempts(move, deadline);

    /* A fiber that never has to wait gives way now and then. */
    if (wf_self_random(wf_self()) % ATTEMPTS_PER_YIELD == 0)
        (void)weft_yield();
    return error != 0 ? error : move->result;
}

static struct wf_op hold_of(int fd)
{
    return (struct wf_op){.fd = fd, .epoch = wf_epoch_now(fd)};
}

static ssize_t run(struct move *move, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    ssize_t result = self == NULL ? -EPERM : wf_self_refusal(self);

    if (result != 0)
        return result;
    if (is_simulated(move))
        return -EOPNOTSUPP;
    move->in_hold = hold_of(move->in);
    move->out_hold = hold_of(move->out);
    result = wf_op_hold(&move->in_hold);
    if (result == 0)
        result = wf_op_hold(&move->out_hold);
    if (result == 0)
        result = run_held(move, deadline);
    wf_op_release(&move->out_hold);
    wf_op_release(&move->in_hold);
    return result;
}

ssize_t weft_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t len,
                    unsigned flags, weft_time deadline)
{
    struct move move = {.in = in,
                        .in_offset = in_offset,
                        .out = out,
                        .out_offset = out_offset,
                        .length = len,
                        .flags = flags,
                        .call = call_splice};

    return run(&move, deadline);
}

ssize_t weft_tee(int in, int out, size_t len, unsigned flags, weft_time deadline)
{
    struct move move = {.in = in, .out = out, .length = len, .flags = flags, .call = call_tee};

    return run(&move, deadline);
}

ssize_t weft_sendfile(int out, int in, off_t *offset, size_t len, weft_time deadline)
{
    struct move move = {
        .in = in, .in_offset = offset, .out = out, .length = len, .call = call_sendfile};

    return run(&move, deadline);
}
