/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend: one ring per worker.  What it asks of the kernel is in ring_kernel.c.
 *
 * Fibers only prepare submissions.  The worker gives them to the kernel in batches, together with
 * its wait when it has nothing to run: one system call for a whole batch.  COOP_TASKRUN keeps the
 * kernel from interrupting the worker for a completion: it comes in when the worker next enters the
 * kernel, if only for a timer tick.
 *
 * Any worker may submit to a ring and reap from it, so that nothing waits behind a worker that
 * computes (docs/adr/0007).  Two rules make that safe:
 *
 *   1. Both queues are touched under the poller's lock, which is never held across a system call:
 *      prepare and publish under it, enter without it, reap under it.  The kernel has its own lock:
 *      of two threads that enter, one finds less to submit than it meant to, and so does not wait.
 *   2. While the owner waits, or is on its way into the wait, it alone reaps.  Another thread could
 *      take the completion that is to end the wait before the wait has begun.
 *
 * A fiber that is alone on its worker has no batch to share, and spares itself the way through the
 * loop: it tries the system call, or enters the kernel for its one operation (alone.h).
 *
 * user_data is the address of the operation, with a generation in the upper 16 bits that no other
 * operation of the ring had lately: a late cancel finds nothing instead of its successor.  (User
 * addresses have 47 bits on x86-64, and 48 at most on the others: docs/ports.md.)
 */
#include "io/ring.h"

#include "io/alone.h"
#include "io/backend.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "runtime/poller.h"
#include "runtime/stats.h"

#include "arch/os.h"

#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>

enum {
    TAG_NONE = 0,  /* of a cancel request: nobody waits for its completion */
    TAG_EVENT = 1, /* of the read that wf_poller_interrupt() completes */
    ADDRESS_BITS = 48,
    REAP_BATCH = 64
};

static struct ring *ring_of(struct wf_poller *poller)
{
    return WF_CONTAINER_OF(poller, struct ring, poller);
}

/* Caller: the owner, with the lock.  Were it another thread's read, that thread would have to enter
 * the kernel before this one wakes. */
static void arm_event(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    /* A full queue is tried again at the next poll, before any wait. */
    ring->event_is_armed = sqe != NULL;
    if (sqe == NULL)
        return;
    io_uring_prep_read(sqe, ring->event, &ring->event_buffer, sizeof ring->event_buffer, 0);
    io_uring_sqe_set_data64(sqe, TAG_EVENT);
}

static int create_ring(struct wf_poller **poller, uint32_t entries, struct wf_counters *counters)
{
    struct ring *ring = wf_alloc(sizeof *ring);
    int error;

    if (ring == NULL)
        return -ENOMEM;
    ring->counters = counters;
    ring->alone.last_sent = -1;
    ring->entries = entries;
    error = wf_ring_make_event(ring);
    if (error == 0)
        *poller = &ring->poller;
    else
        wf_free(ring);
    return error;
}

/* Nobody else looks at it before it is open. */
static int open_ring(struct wf_poller *poller)
{
    struct ring *ring = ring_of(poller);
    int error = wf_ring_connect(ring);

    if (error != 0)
        return error;
    wf_lock_acquire(&ring->poller.lock);
    ring->is_open = true;
    arm_event(ring);
    wf_lock_release(&ring->poller.lock);
    return 0;
}

static void destroy_ring(struct wf_poller *poller)
{
    struct ring *ring = ring_of(poller);

    WF_ASSERT(ring->in_flight == 0);
    if (ring->is_open)
        wf_ring_disconnect(ring);
    wf_ring_close_event(ring);
    wf_free(ring);
}

static void interrupt_wait(struct wf_poller *poller)
{
    wf_ring_signal(ring_of(poller));
}

/* Publishes what is prepared.  Returns how many entries the kernel has not taken yet.  Caller has
 * the lock. */
static unsigned publish(struct ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;

    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    }
    return io_uring_sq_ready(&ring->uring);
}

static int enter(struct ring *ring, struct wf_worker *self, unsigned count,
                 const struct __kernel_timespec *timeout, bool waits)
{
    return wf_ring_enter(ring, wf_worker_poller(self) == &ring->poller, count, timeout, waits);
}

/* Counts why a call to enter() came to nothing.  Caller has the lock. */
static void note(struct ring *ring, int result)
{
    if (result == -EBUSY || result == -EAGAIN)
        wf_count(&ring->counters->io_refusals, 1);
    else if (result == -EINTR)
        wf_count(&ring->counters->io_interrupts, 1);
}

/* Submits and waits for nothing.  Caller has the lock, which is free meanwhile. */
static int enter_to_submit(struct ring *ring, struct wf_worker *self, unsigned count)
{
    int result;

    wf_count(&ring->counters->polls, 1);
    ring->visitors++;
    wf_lock_release(&ring->poller.lock);
    result = enter(ring, self, count, NULL, false);
    wf_lock_acquire(&ring->poller.lock);
    ring->visitors--;
    note(ring, result);
    return result;
}

static int enter_until(struct ring *ring, struct wf_worker *self, unsigned count, int64_t deadline)
{
    int64_t left = deadline - wf_os_now();
    struct __kernel_timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};

    return enter(ring, self, count, deadline == INT64_MAX ? NULL : &ts, left > 0);
}

/* Takes completions out of the ring.  Returns the operations among them.  Caller has the lock. */
static unsigned take_completed(struct ring *ring, struct wf_op *ops[REAP_BATCH])
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0, count = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (count == REAP_BATCH)
            break;
        seen++;
        if (cqe->user_data == TAG_EVENT)
            ring->event_is_armed = false;
        if (cqe->user_data == TAG_NONE && cqe->res == -ENOENT)
            wf_count(&ring->counters->late_cancels, 1);
        if (cqe->user_data == TAG_EVENT || cqe->user_data == TAG_NONE)
            continue;
        ops[count] = (void *)(uintptr_t)(cqe->user_data & ((UINT64_C(1) << ADDRESS_BITS) - 1));
        WF_ASSERT(ops[count]->tag == cqe->user_data);
        ops[count]->result = cqe->res;
        wf_pending_remove(ops[count++]);
    }
    io_uring_cq_advance(&ring->uring, seen);
    ring->in_flight -= count;
    wf_count(&ring->counters->ops_completed, count);
    return count;
}

/* Wakes whom completions are for; the lock is free meanwhile.  Returns how many.  Caller has the
 * lock. */
static unsigned reap(struct ring *ring, struct wf_worker *self)
{
    struct wf_op *ops[REAP_BATCH];
    unsigned count, total = 0;

    if (ring->owner_waits)
        return 0;
    do {
        count = take_completed(ring, ops);
        wf_lock_release(&ring->poller.lock);
        for (unsigned i = 0; i < count; i++)
            wf_op_complete(self, ops[i]);
        wf_lock_acquire(&ring->poller.lock);
        total += count;
    } while (count == REAP_BATCH && !ring->owner_waits);
    return total;
}

/* True if the kernel has something that only comes in when the ring is entered. */
static bool kernel_has_more(struct ring *ring)
{
    unsigned flags = IO_URING_READ_ONCE(*ring->uring.sq.kflags);

    if ((flags & IORING_SQ_CQ_OVERFLOW) != 0)
        wf_count(&ring->counters->cq_overflows, 1);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static unsigned poll_ring(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    struct ring *ring = ring_of(poller);
    bool is_owner = wf_worker_poller(self) == &ring->poller;
    unsigned count, woken;
    int result;
    bool waits;

    wf_lock_acquire(&ring->poller.lock);
    if (!ring->is_open) {
        wf_lock_release(&ring->poller.lock);
        if (deadline != 0)
            wf_ring_await_signal(ring);
        return 0;
    }
    waits = deadline != 0 && ring->event_is_armed && io_uring_cq_ready(&ring->uring) == 0;
    count = publish(ring);
    if (waits || count > 0 || kernel_has_more(ring)) {
        wf_count(&ring->counters->polls, 1);
        if (waits)
            ring->owner_waits = true;
        ring->visitors++;
        wf_lock_release(&ring->poller.lock);
        result = waits ? enter_until(ring, self, count, deadline)
                       : enter(ring, self, count, NULL, false);
        wf_lock_acquire(&ring->poller.lock);
        ring->visitors--;
        note(ring, result);
        if (waits)
            ring->owner_waits = false;
    }
    woken = reap(ring, self);
    if (is_owner && !ring->event_is_armed && !ring->is_closing)
        arm_event(ring);
    wf_lock_release(&ring->poller.lock);
    return woken;
}

/* The kernel ends what is left in a ring some time after that has been closed.  So the read of the
 * event completes first: it could take what is to end the next wait. */
static bool close_ring(struct wf_poller *poller, struct wf_worker *self)
{
    struct ring *ring = ring_of(poller);
    bool is_closed;

    wf_lock_acquire(&ring->poller.lock);
    ring->is_closing = ring->in_flight == 0;
    while (ring->is_closing && ring->event_is_armed) {
        wf_lock_release(&ring->poller.lock);
        interrupt_wait(poller);
        (void)poll_ring(poller, self, INT64_MAX);
        wf_lock_acquire(&ring->poller.lock);
    }
    is_closed = ring->is_closing && ring->in_flight == 0 && ring->visitors == 0 &&
                io_uring_sq_ready(&ring->uring) == 0 && io_uring_cq_ready(&ring->uring) == 0;
    ring->is_closing = false;
    ring->is_open = !is_closed;
    if (ring->is_open && !ring->event_is_armed)
        arm_event(ring);
    wf_lock_release(&ring->poller.lock);
    if (is_closed)
        wf_ring_disconnect(ring);
    return is_closed;
}

static bool ring_needs_service(struct wf_poller *poller)
{
    struct ring *ring = ring_of(poller);
    bool needs;

    wf_lock_acquire(&ring->poller.lock);
    needs = ring->is_open &&
            (io_uring_sq_ready(&ring->uring) > 0 || io_uring_cq_ready(&ring->uring) > 0 ||
             io_uring_cq_has_overflow(&ring->uring));
    wf_lock_release(&ring->poller.lock);
    return needs;
}

static void submit(struct wf_poller *poller, struct wf_worker *self)
{
    struct ring *ring = ring_of(poller);
    unsigned count, left = 0;

    wf_lock_acquire(&ring->poller.lock);
    count = ring->is_open ? publish(ring) : 0;
    if (count > 0 && enter_to_submit(ring, self, count) != (int)count)
        left = io_uring_sq_ready(&ring->uring);
    wf_lock_release(&ring->poller.lock);
    /* What the kernel refuses at the moment the owner tries again, which may sleep. */
    if (left > 0)
        interrupt_wait(poller);
}

/* A submission slot; submits when all are taken.  Caller has the lock, which may be free for a
 * while before this returns. */
static struct io_uring_sqe *take_slot(struct ring *ring, struct wf_worker *self)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&ring->uring)) == NULL) {
        int submitted;

        /* What a thread submits, the kernel cancels when the thread ends: left to a worker. */
        if (self == NULL) {
            wf_lock_release(&ring->poller.lock);
            interrupt_wait(&ring->poller);
            wf_backend_await_others(wf_self());
            wf_lock_acquire(&ring->poller.lock);
            continue;
        }
        wf_count(&ring->counters->sq_full, 1);
        submitted = enter_to_submit(ring, self, publish(ring));
        /* A kernel that takes nothing wants completions out of the way, or memory for a moment. */
        if (submitted <= 0)
            (void)reap(ring, self);
    }
    return sqe;
}

/* True if there is no batch to join and nothing to reap.  Caller has the lock. */
static bool is_idle(struct ring *ring)
{
    return io_uring_sq_ready(&ring->uring) == 0 && io_uring_cq_ready(&ring->uring) == 0;
}

static bool may_attempt(struct ring *ring, const struct wf_op *op)
{
    struct wf_luck *luck;
    bool may;

    wf_lock_acquire(&ring->poller.lock);
    luck = wf_alone_luck(&ring->poller.pending, op);
    may = luck != NULL && is_idle(ring) &&
          !wf_alone_is_conversation(&ring->alone, op, ring->in_flight) && wf_luck_try(luck);
    wf_lock_release(&ring->poller.lock);
    return may;
}

/* Returns true if it is time to give way. */
static bool note_attempt(struct ring *ring, const struct wf_op *op, bool is_done)
{
    struct wf_luck *luck;
    bool is_time = false;

    wf_lock_acquire(&ring->poller.lock);
    luck = wf_alone_luck(&ring->poller.pending, op);
    if (luck != NULL)
        wf_luck_note(luck, is_done);
    if (is_done) {
        wf_count(&ring->counters->ops_submitted, 1);
        wf_count(&ring->counters->ops_completed, 1);
        is_time = wf_alone_count(&ring->alone, op);
    }
    wf_lock_release(&ring->poller.lock);
    return is_time;
}

static bool attempt(struct wf_op *op, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct ring *ring = ring_of(wf_worker_poller(self));
    bool is_done;

    if (!wf_alone_may_call(op) || !wf_self_is_alone(self) || !may_attempt(ring, op))
        return false;
    is_done = wf_ring_attempt(ring, op, deadline);
    self = wf_self(); /* it may have suspended */
    if (note_attempt(ring_of(wf_worker_poller(self)), op, is_done))
        wf_self_give_way(self);
    return is_done;
}

/* The operation may be over, and its fiber have been told, when this returns. */
static void enter_at_once(struct ring *ring, struct wf_worker *self, struct wf_waiter *waiter)
{
    (void)poll_ring(&ring->poller, self, 0);
    wf_lock_acquire(&ring->poller.lock);
    wf_luck_note(&ring->alone.names, wf_wait_is_over(waiter));
    wf_lock_release(&ring->poller.lock);
}

/* What cannot be queued now is queued after a submission. */
static void start(struct wf_worker *self, struct wf_op *op)
{
    struct ring *ring = ring_of(wf_worker_poller(self));
    struct wf_waiter *waiter = op->waiter;
    struct io_uring_sqe *sqe;
    bool is_alone;
    int error;

    WF_CHECK((uint64_t)(uintptr_t)op >> ADDRESS_BITS == 0);
    if (op->code == WF_OP_SEND && !ring->resumes_sends)
        op->flags &= ~MSG_WAITALL;
    wf_lock_acquire(&ring->poller.lock);
    is_alone = wf_self_is_alone(self) && is_idle(ring) && wf_alone_may_enter(&ring->alone, op);
    sqe = take_slot(ring, self);
    error = wf_pending_add(&ring->poller, op);
    if (WF_LIKELY(error == 0)) {
        op->tag = (uint64_t)(uintptr_t)op | ring->generation++ << ADDRESS_BITS;
        wf_prepare(sqe, op);
        io_uring_sqe_set_data64(sqe, op->tag);
        ring->in_flight++;
        ring->alone.last_sent = op->code == WF_OP_SEND ? op->fd : -1;
        wf_count(&ring->counters->ops_submitted, 1);
    } else {
        io_uring_prep_nop(sqe); /* the slot is taken */
        io_uring_sqe_set_data64(sqe, TAG_NONE);
    }
    wf_lock_release(&ring->poller.lock);
    if (is_alone && error == 0)
        enter_at_once(ring, self, waiter);
    if (WF_LIKELY(error == 0))
        return;
    op->result = error;
    wf_op_complete(self, op);
}

/* It completes as ever. */
static bool stop(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op)
{
    struct ring *ring = ring_of(poller);
    uint64_t tag = op->tag;
    struct io_uring_sqe *sqe;

    if (tag == TAG_NONE) /* its fiber only holds the descriptor */
        return false;
    sqe = take_slot(ring, self);
    io_uring_prep_cancel64(sqe, tag, 0);
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    wf_count(&ring->counters->ops_cancelled, 1);
    return false;
}

static bool can_stop(struct wf_poller *poller, const struct wf_op *op)
{
    return op->tag == TAG_NONE || io_uring_sq_space_left(&ring_of(poller)->uring) > 0;
}

const struct wf_backend wf_backend_ring = {
    .name = "io_uring",
    .create = create_ring,
    .open = open_ring,
    .close = close_ring,
    .destroy = destroy_ring,
    .poll = poll_ring,
    .submit = submit,
    .needs_service = ring_needs_service,
    .interrupt = interrupt_wait,
    .describe = wf_ring_describe,
    .attempt = attempt,
    .start = start,
    .stop = stop,
    .can_stop = can_stop,
};
