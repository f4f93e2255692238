/* SPDX-License-Identifier: MIT */
/*
 * What a simulated ring (sim_ring.c) does with submissions: operations, and cancels of them.
 *
 * What lies between two points is atomic, so there are no locks here, and no function that is a
 * point may be called while a list is taken apart.
 *
 * A descriptor that the simulation does not know is the kernel's.  Operations on it are done by
 * system calls that do not wait; where one would have to, it is tried again as virtual time passes.
 */
#define _GNU_SOURCE 1

#include "io/sim.h"

#include "arch/sim.h"
#include "io/attempt.h"
#include "io/sim_disk.h"
#include "io/sim_ring.h"
#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/sim.h>

enum {
    LATE_MAX_NS = 5000000, /* by which a completion is late that is, or a cancel */
    OUTSIDE_NS = 1000000,  /* between two looks at a descriptor of the kernel's */
};

static uint64_t poller_run; /* the run that `poller_count` is of */
static uint32_t poller_count;

void wf_sim_attach(void)
{
    wf_sim_net_begin();
    if (poller_run != wf_sim_run_number())
        poller_count = 0;
    poller_run = wf_sim_run_number();
    poller_count++;
}

void wf_sim_detach(void)
{
    if (--poller_count == 0)
        wf_sim_net_end();
}

static struct wf_sim_request *request_of(struct wf_op *op)
{
    return WF_CONTAINER_OF(op, struct wf_sim_request, op);
}

/* An event: it is complete.  Cancels that wait for this have their answer right behind it. */
static void arrive(void *arg)
{
    struct wf_sim_request *request = arg, *answer = request->answers;

    wf_sim_trace("arrive", (uint64_t)request->op.code, 0);
    wf_sim_ring_unlist(request);
    wf_sim_ring_put(request);
    while ((request = answer) != NULL) {
        answer = request->next;
        wf_sim_trace("answer", (uint64_t)-request->op.result, 0);
        wf_sim_ring_put(request);
    }
}

static void complete_after(struct wf_sim_request *request, int64_t delay)
{
    request->state = WF_SIM_DECIDED;
    if (wf_sim_fault(WEFT_SIM_LATE))
        delay += wf_sim_fault_draw(WEFT_SIM_LATE, LATE_MAX_NS);
    if (!wf_sim_at(wf_sim_time() + delay, arrive, request))
        arrive(request);
}

static int64_t draw_delay(void)
{
    return 1 + wf_sim_draw(WF_SIM_NETWORK, 2000);
}

void wf_sim_complete(struct wf_op *op)
{
    complete_after(request_of(op), draw_delay());
}

/* The submission's operation. */
static void read_submission(struct wf_op *op, const struct io_uring_sqe *sqe)
{
    static const enum wf_opcode codes[IORING_OP_LAST] = {
        [IORING_OP_READ] = WF_OP_READ,       [IORING_OP_WRITE] = WF_OP_WRITE,
        [IORING_OP_READV] = WF_OP_READV,     [IORING_OP_WRITEV] = WF_OP_WRITEV,
        [IORING_OP_RECV] = WF_OP_RECV,       [IORING_OP_SEND] = WF_OP_SEND,
        [IORING_OP_RECVMSG] = WF_OP_RECVMSG, [IORING_OP_SENDMSG] = WF_OP_SENDMSG,
        [IORING_OP_ACCEPT] = WF_OP_ACCEPT,   [IORING_OP_CONNECT] = WF_OP_CONNECT,
        [IORING_OP_POLL_ADD] = WF_OP_POLL,   [IORING_OP_OPENAT] = WF_OP_OPENAT,
        [IORING_OP_FSYNC] = WF_OP_FSYNC,     [IORING_OP_CLOSE] = WF_OP_CLOSE,
    };

    *op = (struct wf_op){.code = codes[sqe->opcode],
                         .fd = sqe->fd,
                         .buffer = (void *)(uintptr_t)sqe->addr,
                         .length = sqe->len,
                         .offset = (int64_t)sqe->off,
                         .flags = (int)sqe->msg_flags}; /* a union of all kinds of flags */
    if (sqe->opcode == IORING_OP_CONNECT)
        op->length = (size_t)sqe->off;
    else if (sqe->opcode == IORING_OP_POLL_ADD)
        op->flags = (int)sqe->poll32_events;
}

static int32_t result_of(ssize_t n)
{
    return n < 0 ? -errno : (int32_t)n;
}

/* What never waits, or not for long: true, with its result. */
static bool do_outside_at_once(struct wf_op *op)
{
    if (op->code == WF_OP_OPENAT)
        op->result = result_of(openat(op->fd, op->buffer, op->flags, (mode_t)op->length));
    else if (op->code == WF_OP_FSYNC)
        op->result = result_of(op->flags != 0 ? fdatasync(op->fd) : fsync(op->fd));
    else if (op->code == WF_OP_CLOSE)
        op->result = result_of(close(op->fd));
    else
        return false;
    return true;
}

/* On a descriptor that is ready. */
static int32_t transfer_outside(const struct wf_op *op)
{
    struct iovec one = {op->buffer, op->length};
    bool is_vector = op->code == WF_OP_READV || op->code == WF_OP_WRITEV;
    const struct iovec *parts = is_vector ? op->buffer : &one;
    int count = is_vector ? (int)op->length : 1, flags = op->flags | MSG_DONTWAIT;

    switch (op->code) {
    case WF_OP_RECV:
        return result_of(recv(op->fd, op->buffer, op->length, flags & ~MSG_WAITALL));
    case WF_OP_SEND:
        return result_of(send(op->fd, op->buffer, op->length, flags));
    case WF_OP_RECVMSG:
        return result_of(recvmsg(op->fd, op->buffer, flags & ~MSG_WAITALL));
    case WF_OP_SENDMSG:
        return result_of(sendmsg(op->fd, op->buffer, flags));
    case WF_OP_ACCEPT:
        return result_of(accept4(op->fd, NULL, NULL, op->flags));
    case WF_OP_READ:
    case WF_OP_READV:
        return result_of(preadv2(op->fd, parts, count, op->offset, 0));
    default:
        return result_of(pwritev2(op->fd, parts, count, op->offset, 0));
    }
}

/* Whether the program wants to be told that it would have to wait. */
static bool may_not_wait(const struct wf_op *op)
{
    bool has_flags = op->code >= WF_OP_RECV && op->code <= WF_OP_SENDMSG;
    int mode = fcntl(op->fd, F_GETFL);

    return (mode >= 0 && (mode & O_NONBLOCK) != 0) ||
           (has_flags && (op->flags & MSG_DONTWAIT) != 0);
}

/* Where nobody accepts at the moment it would wait: it is told so instead. */
static int32_t connect_outside(const struct wf_op *op)
{
    int mode = fcntl(op->fd, F_GETFL);
    int32_t result;

    if (mode < 0 || fcntl(op->fd, F_SETFL, mode | O_NONBLOCK) != 0)
        return -errno;
    result = result_of(connect(op->fd, op->buffer, (socklen_t)op->length));
    return fcntl(op->fd, F_SETFL, mode) == 0 ? result : -errno;
}

/* Returns false if it has to wait. */
static bool do_outside(struct wf_op *op)
{
    int32_t events;

    if (do_outside_at_once(op))
        return true;
    events = wf_op_events_now(op->fd, (int)wf_attempt_events(op));
    op->result = events;
    if (events < 0 || (op->code == WF_OP_POLL && events != 0))
        return true;
    if (op->code == WF_OP_CONNECT)
        op->result = connect_outside(op);
    else
        op->result = events != 0 ? transfer_outside(op) : -EAGAIN;
    return op->result != -EAGAIN || (op->code != WF_OP_POLL && may_not_wait(op));
}

/* An event: is there still nothing to be done with a descriptor of the kernel's? */
static void look_outside(void *arg)
{
    struct wf_sim_request *request = arg;

    if (request->is_stopped)
        request->op.result = -ECANCELED;
    else if (!do_outside(&request->op)) {
        if (wf_sim_at(wf_sim_time() + OUTSIDE_NS, look_outside, request))
            return;
        request->op.result = -ENOMEM;
    }
    arrive(request);
}

/* Returns true if it was on the simulated disk. */
static bool open_simulated(struct wf_op *op)
{
    wf_sim_path path;
    int found = wf_sim_disk_resolve(op->fd, op->buffer, path);

    op->result = found;
    if (found > 0)
        op->result = wf_sim_file_open(path, op->flags, (mode_t)op->length);
    return found != 0;
}

static void begin_operation(struct wf_sim_request *request)
{
    struct wf_op *op = &request->op;
    struct wf_sim_socket *at;

    wf_sim_ring_list(request);
    op->result = op->code == WF_OP_OPENAT ? 0 : wf_sim_adopt(op);
    at = op->code == WF_OP_OPENAT ? NULL : wf_sim_find(op->fd);
    request->is_outside = at == NULL;
    if (op->result != 0 || (op->code == WF_OP_OPENAT && open_simulated(op))) {
        wf_sim_complete(op);
    } else if (at == NULL) {
        look_outside(request);
    } else if (at->kind == WF_SIM_FILE && op->code == WF_OP_FSYNC) {
        request->state = WF_SIM_BUSY;
        wf_sim_file_sync(at, op);
    } else if (wf_sim_try(at, op)) {
        wf_sim_complete(op);
    } else {
        wf_sim_wait(at, op);
    }
}

/* Ends one that waits.  What waits outside finds that when it looks next. */
static void end_wait(struct wf_sim_request *target)
{
    if (target->is_outside) {
        target->is_stopped = true;
        return;
    }
    wf_sim_unwait(wf_sim_find(target->op.fd), &target->op);
    target->op.result = -ECANCELED;
    wf_sim_complete(&target->op);
}

static void answer(struct wf_sim_request *cancel)
{
    wf_sim_trace("answer", (uint64_t)-cancel->op.result, 0);
    wf_sim_ring_put(cancel);
}

/* An event: one that was in progress is interrupted at last, if it has not come to its end. */
static void interrupt_arrives(void *arg)
{
    struct wf_sim_request *cancel = arg, *target = wf_sim_ring_find(cancel->ring, cancel->target);

    if (target != NULL && target->state == WF_SIM_WAITS)
        end_wait(target);
    wf_sim_request_free(cancel);
}

/*
 * The answer comes before the completion of its target.  If that waits, the cancel has either ended
 * it, or has found it in progress (-EALREADY): then it goes on for a while, and may succeed.
 * Returns false if there is no memory.
 */
static bool answer_first(struct wf_sim_request *cancel, struct wf_sim_request *target)
{
    int64_t at = wf_sim_time() + 1 + wf_sim_fault_draw(WEFT_SIM_CANCEL_FIRST, LATE_MAX_NS);
    struct wf_sim_request *later;

    if (target->state == WF_SIM_WAITS && wf_sim_fault_draw(WEFT_SIM_CANCEL_FIRST, 4) != 0) {
        later = wf_sim_request_create(cancel->ring, 0);
        if (later == NULL)
            return false;
        later->target = cancel->target;
        if (!wf_sim_at(at, interrupt_arrives, later)) {
            wf_sim_request_free(later);
            return false;
        }
        cancel->op.result = -EALREADY;
    } else if (target->state == WF_SIM_WAITS) {
        end_wait(target);
    }
    answer(cancel);
    return true;
}

/* An event: a cancel gets to its target. */
static void cancel_arrives(void *arg)
{
    static const int32_t results[] = {
        [WF_SIM_WAITS] = 0, [WF_SIM_BUSY] = -EALREADY, [WF_SIM_DECIDED] = -ENOENT};
    struct wf_sim_request *cancel = arg, *target = wf_sim_ring_find(cancel->ring, cancel->target);

    wf_sim_trace("cancel", target != NULL ? (uint64_t)target->op.code : 0, target != NULL);
    cancel->op.result = target != NULL ? results[target->state] : -ENOENT;
    if (target == NULL || (wf_sim_fault(WEFT_SIM_CANCEL_FIRST) && answer_first(cancel, target))) {
        if (target == NULL)
            answer(cancel);
        return;
    }
    cancel->next = target->answers;
    target->answers = cancel;
    if (target->state == WF_SIM_WAITS)
        end_wait(target);
}

static void begin_cancel(struct wf_sim_request *cancel, uint64_t target)
{
    int64_t at = wf_sim_time() + 1;

    cancel->target = target;
    if (wf_sim_fault(WEFT_SIM_LATE_CANCEL) &&
        wf_sim_at(at + wf_sim_fault_draw(WEFT_SIM_LATE_CANCEL, LATE_MAX_NS), cancel_arrives,
                  cancel))
        return;
    cancel_arrives(cancel);
}

bool wf_sim_begin(struct wf_sim_ring *ring, const struct io_uring_sqe *sqe)
{
    struct wf_sim_request *request = wf_sim_request_create(ring, sqe->user_data);

    if (request == NULL)
        return false;
    if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
        begin_cancel(request, sqe->addr);
    } else if (sqe->opcode == IORING_OP_NOP) {
        wf_sim_ring_put(request);
    } else {
        read_submission(&request->op, sqe);
        begin_operation(request);
    }
    return true;
}

/* Now and then there is nothing to be had at once, as of a file that is not in memory. */
bool wf_sim_ring_attempt(struct wf_op *op, weft_time deadline)
{
    struct wf_sim_socket *at;

    wf_sim_point();
    op->result = wf_sim_adopt(op);
    if (op->result != 0)
        return true;
    at = wf_sim_find(op->fd);
    if (at == NULL)
        return wf_attempt_now(op, deadline);
    return wf_sim_draw(WF_SIM_NETWORK, 4) != 0 && wf_sim_try(at, op);
}
