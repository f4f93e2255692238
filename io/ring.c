/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend: one ring per worker; implements runtime/poller.h and io/backend.h.
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
 * user_data is the address of the operation, with a generation in the upper 16 bits that no other
 * operation of the ring had lately: a late cancel finds nothing instead of its successor.  (User
 * addresses have 47 bits on x86-64: Linux, Documentation/arch/x86/x86_64/mm.rst.)
 */
#include "io/backend.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "runtime/poller.h"
#include "runtime/stats.h"

#include "arch/os.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    TAG_NONE = 0,  /* of a cancel request: nobody waits for its completion */
    TAG_EVENT = 1, /* of the read that wf_poller_interrupt() completes */
    ADDRESS_BITS = 48,
    CQ_PER_SQ = 4, /* operations outlive the batch that submitted them */
    REAP_BATCH = 64,
};

struct wf_poller {
    struct wf_lock lock; /* of all that follows, system calls on the ring excepted */
    struct io_uring ring;
    struct wf_counters *counters; /* those of the ring: whoever has the lock writes them */
    uint64_t generation;          /* of the next operation */
    uint64_t in_flight;           /* operations prepared and not yet reaped */
    int event;                    /* eventfd that ends a wait */
    int registered;               /* the ring's number among the owner's registered rings, or -1 */
    uint64_t event_buffer;        /* the kernel writes it */
    bool event_is_armed;          /* false: an interrupt has come; the owner does not wait */
    bool owner_waits;             /* rule 2 */
};

/* Best first.  What a kernel does not know it refuses with EINVAL. */
static const struct {
    unsigned flags;
    const char *name;
} setups[] = {
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
     "COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL"}, /* Linux 5.19 */
    {0, "plain"},
};

/* Without these an operation could be lost, or a wait not be bounded. */
#define FEATURES_NEEDED (IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG)

static int set_up(struct io_uring *ring, uint32_t entries, const char **name)
{
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof setups / sizeof setups[0] && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setups[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = entries * CQ_PER_SQ,
        };

        error = io_uring_queue_init_params(entries, ring, &params);
        *name = setups[i].name;
    }
    if (error == 0 && (ring->features & FEATURES_NEEDED) != FEATURES_NEEDED) {
        io_uring_queue_exit(ring);
        return -ENOSYS;
    }
    return error;
}

/* io_uring_disabled as the administrator set it, or -1. */
static int read_disabled(void)
{
    int value = -1;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");

    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

static void explain(int error, char *text, size_t size)
{
    int disabled = read_disabled();

    if (error == -EPERM && disabled > 0)
        snprintf(text, size,
                 "io_uring is refused: kernel.io_uring_disabled is %d; allow it with "
                 "`sysctl -w kernel.io_uring_disabled=0`",
                 disabled);
    else if (error == -EPERM || error == -EACCES)
        snprintf(
            text, size,
            "io_uring is refused: a sandbox blocks the system call io_uring_setup (the default "
            "seccomp profiles of container engines do); allow io_uring_setup, io_uring_enter "
            "and io_uring_register in its profile");
    else if (error == -ENOSYS)
        snprintf(text, size,
                 "io_uring is not there: the kernel is older than 5.11 or built without it, or a "
                 "sandbox hides it; run Linux 5.19 or later, or allow io_uring_setup, "
                 "io_uring_enter and io_uring_register in the sandbox's seccomp profile");
    else if (error == -ENOMEM)
        snprintf(text, size,
                 "io_uring_setup: no memory; raise the limit on locked memory (`ulimit -l`) or use "
                 "fewer ring_entries");
    else
        snprintf(text, size, "io_uring_setup: %s", strerror(-error));
}

/* Entry i of the submission queue is slot i, for good.  liburing would see to that in the calls
 * that publish and enter in one, which rule 1 forbids. */
static void set_up_indices(struct io_uring_sq *sq)
{
    for (unsigned i = 0; i < sq->ring_entries; i++)
        sq->array[i] = i;
}

/* Caller: the owner, with the lock.  Were it another thread's read, that thread would have to enter
 * the kernel before this one wakes. */
static void arm_event(struct wf_poller *poller)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&poller->ring);

    /* A full queue is tried again at the next poll, before any wait. */
    poller->event_is_armed = sqe != NULL;
    if (sqe == NULL)
        return;
    io_uring_prep_read(sqe, poller->event, &poller->event_buffer, sizeof poller->event_buffer, 0);
    io_uring_sqe_set_data64(sqe, TAG_EVENT);
}

int wf_poller_create(struct wf_poller **result, uint32_t entries, struct wf_counters *counters)
{
    struct wf_poller *poller = wf_alloc(sizeof *poller);
    const char *name;
    int error;

    if (poller == NULL)
        return -ENOMEM;
    poller->counters = counters;
    error = set_up(&poller->ring, entries, &name);
    if (error != 0) {
        char text[320];

        explain(error, text, sizeof text);
        wf_complain("%s", text);
        wf_free(poller);
        return error;
    }
    poller->event = wf_os_event_create();
    if (poller->event < 0) {
        error = poller->event;
        wf_complain("eventfd: %s", strerror(-error));
        io_uring_queue_exit(&poller->ring);
        wf_free(poller);
        return error;
    }
    set_up_indices(&poller->ring.sq);
    /* Spares the owner a look-up in each enter; without it (Linux before 5.18) all works as well.
     */
    poller->registered = io_uring_register_ring_fd(&poller->ring) == 1 ? poller->ring.enter_ring_fd
                                                                       : -1;
    arm_event(poller);
    *result = poller;
    return 0;
}

void wf_poller_destroy(struct wf_poller *poller)
{
    WF_ASSERT(poller->in_flight == 0);
    io_uring_queue_exit(&poller->ring);
    wf_os_close(poller->event);
    wf_free(poller);
}

int wf_poller_describe(char *line, size_t size)
{
    struct io_uring ring;
    const char *name;
    int error = set_up(&ring, 8, &name);

    if (error != 0) {
        explain(error, line, size);
        return error;
    }
    snprintf(line, size, "io_uring, one ring per worker, %s", name);
    io_uring_queue_exit(&ring);
    return 0;
}

void wf_poller_interrupt(struct wf_poller *poller)
{
    wf_os_event_signal(poller->event);
}

/* Publishes what is prepared.  Returns how many entries the kernel has not taken yet.  Caller has
 * the lock. */
static unsigned publish(struct wf_poller *poller)
{
    struct io_uring_sq *sq = &poller->ring.sq;

    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    }
    return io_uring_sq_ready(&poller->ring);
}

/* Submits up to `count` published entries and lets the kernel bring in completions.  Returns how
 * many it took, or -errno; EINTR, ETIME: the wait ended; EBUSY, EAGAIN: the kernel wants
 * completions reaped, or memory, before it takes more.  Caller does not have the lock. */
static int enter(struct wf_poller *poller, struct wf_worker *self, unsigned count,
                 const struct __kernel_timespec *timeout, bool waits)
{
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8,
                                         .ts = (uint64_t)(uintptr_t)timeout};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    int fd = poller->ring.ring_fd, result;

    if (poller->registered >= 0 && wf_worker_poller(self) == poller) {
        flags |= IORING_ENTER_REGISTERED_RING;
        fd = poller->registered;
    }
    result = io_uring_enter2((unsigned)fd, count, waits ? 1 : 0, flags, (sigset_t *)&arg,
                             sizeof arg);
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EBUSY && result != -EAGAIN)
        wf_panic("io_uring_enter: %s", strerror(-result));
    return result;
}

static int enter_until(struct wf_poller *poller, struct wf_worker *self, unsigned count,
                       int64_t deadline)
{
    int64_t left = deadline - wf_os_now();
    struct __kernel_timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};

    return enter(poller, self, count, deadline == INT64_MAX ? NULL : &ts, left > 0);
}

/* Takes completions out of the ring.  Returns the operations among them.  Caller has the lock. */
static unsigned take_completed(struct wf_poller *poller, struct wf_op *ops[REAP_BATCH])
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0, count = 0;

    io_uring_for_each_cqe(&poller->ring, head, cqe)
    {
        if (count == REAP_BATCH)
            break;
        seen++;
        if (cqe->user_data == TAG_EVENT)
            poller->event_is_armed = false;
        if (cqe->user_data == TAG_EVENT || cqe->user_data == TAG_NONE)
            continue;
        ops[count] = (void *)(uintptr_t)(cqe->user_data & ((UINT64_C(1) << ADDRESS_BITS) - 1));
        WF_ASSERT(ops[count]->tag == cqe->user_data);
        ops[count++]->result = cqe->res;
    }
    io_uring_cq_advance(&poller->ring, seen);
    poller->in_flight -= count;
    wf_count(&poller->counters->ops_completed, count);
    return count;
}

/* Wakes whom completions are for; the lock is free meanwhile.  Returns how many.  Caller has the
 * lock. */
static unsigned reap(struct wf_poller *poller, struct wf_worker *self)
{
    struct wf_op *ops[REAP_BATCH];
    unsigned count, total = 0;

    if (poller->owner_waits)
        return 0;
    do {
        count = take_completed(poller, ops);
        wf_lock_release(&poller->lock);
        for (unsigned i = 0; i < count; i++)
            wf_wake_later(self, ops[i]->waiter, 0);
        wf_lock_acquire(&poller->lock);
        total += count;
    } while (count == REAP_BATCH && !poller->owner_waits);
    return total;
}

/* True if the kernel has something that only comes in when the ring is entered. */
static bool kernel_has_more(struct wf_poller *poller)
{
    unsigned flags = IO_URING_READ_ONCE(*poller->ring.sq.kflags);

    if ((flags & IORING_SQ_CQ_OVERFLOW) != 0)
        wf_count(&poller->counters->cq_overflows, 1);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

unsigned wf_poller_poll(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    bool is_owner = wf_worker_poller(self) == poller;
    unsigned count, woken;
    bool waits;

    wf_lock_acquire(&poller->lock);
    waits = deadline != 0 && poller->event_is_armed && io_uring_cq_ready(&poller->ring) == 0;
    count = publish(poller);
    if (waits || count > 0 || kernel_has_more(poller)) {
        wf_count(&poller->counters->polls, 1);
        if (waits)
            poller->owner_waits = true;
        wf_lock_release(&poller->lock);
        if (waits)
            (void)enter_until(poller, self, count, deadline);
        else
            (void)enter(poller, self, count, NULL, false);
        wf_lock_acquire(&poller->lock);
        if (waits)
            poller->owner_waits = false;
    }
    woken = reap(poller, self);
    if (is_owner && !poller->event_is_armed)
        arm_event(poller);
    wf_lock_release(&poller->lock);
    return woken;
}

bool wf_poller_needs_service(struct wf_poller *poller)
{
    bool needs;

    wf_lock_acquire(&poller->lock);
    needs = io_uring_sq_ready(&poller->ring) > 0 || io_uring_cq_ready(&poller->ring) > 0 ||
            io_uring_cq_has_overflow(&poller->ring);
    wf_lock_release(&poller->lock);
    return needs;
}

void wf_poller_submit(struct wf_poller *poller, struct wf_worker *self)
{
    unsigned count;

    wf_lock_acquire(&poller->lock);
    count = publish(poller);
    if (count > 0)
        wf_count(&poller->counters->polls, 1);
    wf_lock_release(&poller->lock);
    if (count > 0)
        (void)enter(poller, self, count, NULL, false);
}
/* A submission slot; submits when all are taken.  Caller has the lock, which may be free for a
 * while before this returns. */
static struct io_uring_sqe *take_slot(struct wf_poller *poller, struct wf_worker *self)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&poller->ring)) == NULL) {
        unsigned count;
        int submitted;

        /* What a thread submits, the kernel cancels when the thread ends: left to a worker. */
        if (self == NULL) {
            wf_lock_release(&poller->lock);
            wf_poller_interrupt(poller);
            wf_os_yield();
            wf_lock_acquire(&poller->lock);
            continue;
        }
        count = publish(poller);
        wf_count(&poller->counters->polls, 1);
        wf_lock_release(&poller->lock);
        submitted = enter(poller, self, count, NULL, false);
        wf_lock_acquire(&poller->lock);
        /* A kernel that takes nothing wants completions out of the way, or memory for a moment. */
        if (submitted <= 0)
            (void)reap(poller, self);
    }
    return sqe;
}

static void prepare(struct io_uring_sqe *sqe, const struct wf_op *op)
{
    unsigned length = op->length < INT32_MAX ? (unsigned)op->length : INT32_MAX;

    switch (op->code) {
    case WF_OP_READ:
        io_uring_prep_read(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_WRITE:
        io_uring_prep_write(sqe, op->fd, op->buffer, length, (uint64_t)op->offset);
        break;
    case WF_OP_RECV:
        io_uring_prep_recv(sqe, op->fd, op->buffer, length, op->flags);
        break;
    case WF_OP_SEND:
        io_uring_prep_send(sqe, op->fd, op->buffer, length, op->flags);
        break;
    case WF_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, op->flags);
        break;
    case WF_OP_CONNECT:
        io_uring_prep_connect(sqe, op->fd, op->buffer, (socklen_t)op->length);
        break;
    case WF_OP_POLL:
        io_uring_prep_poll_add(sqe, op->fd, (unsigned)op->flags);
        break;
    case WF_OP_OPENAT:
        io_uring_prep_openat(sqe, op->fd, op->buffer, op->flags, (mode_t)op->length);
        break;
    case WF_OP_FSYNC:
        io_uring_prep_fsync(sqe, op->fd, 0);
        break;
    case WF_OP_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    }
}

void wf_backend_start(struct wf_worker *self, struct wf_op *op)
{
    struct wf_poller *poller = wf_worker_poller(self);
    struct io_uring_sqe *sqe;

    WF_CHECK((uint64_t)(uintptr_t)op >> ADDRESS_BITS == 0);
    wf_lock_acquire(&poller->lock);
    sqe = take_slot(poller, self);
    op->tag = (uint64_t)(uintptr_t)op | poller->generation++ << ADDRESS_BITS;
    prepare(sqe, op);
    io_uring_sqe_set_data64(sqe, op->tag);
    poller->in_flight++;
    wf_count(&poller->counters->ops_submitted, 1);
    wf_lock_release(&poller->lock);
}

void wf_backend_cancel(struct wf_poller *poller, struct wf_worker *self, const struct wf_op *op)
{
    struct io_uring_sqe *sqe;

    wf_lock_acquire(&poller->lock);
    sqe = take_slot(poller, self);
    io_uring_prep_cancel64(sqe, op->tag, 0);
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    wf_count(&poller->counters->ops_cancelled, 1);
    wf_lock_release(&poller->lock);
}
