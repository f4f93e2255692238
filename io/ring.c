/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend: one ring per worker; implements runtime/poller.h and io/backend.h.
 *
 * Fibers only prepare submissions.  The worker gives them to the kernel in batches, together with
 * its wait when it has nothing to run: one system call for a whole batch.  DEFER_TASKRUN keeps the
 * kernel from interrupting the worker; completions come in only when the worker enters the ring.
 *
 * user_data is the address of the operation, with a generation in the upper 16 bits that no other
 * operation of the ring had lately: a late cancel finds nothing instead of its successor.  (User
 * addresses have 47 bits on x86-64: Linux, Documentation/arch/x86/x86_64/mm.rst.)
 */
#include "io/backend.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/poller.h"
#include "runtime/stats.h"

#include "arch/os.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>

enum {
    TAG_NONE = 0,  /* of a cancel request: nobody waits for its completion */
    TAG_EVENT = 1, /* of the read that wf_poller_interrupt() completes */
    ADDRESS_BITS = 48,
    CQ_PER_SQ = 4, /* operations outlive the batch that submitted them */
};

struct wf_poller {
    struct io_uring ring;
    struct wf_counters *counters;
    uint64_t generation;   /* of the next operation */
    uint64_t in_flight;    /* operations that the kernel has, or will have at the next submission */
    int event;             /* eventfd that ends a wait */
    uint64_t event_buffer; /* the kernel writes it */
    bool event_is_armed;
};

/* Best first.  What a kernel does not know it refuses with EINVAL. */
static const struct {
    unsigned flags;
    const char *name;
} setups[] = {
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
         IORING_SETUP_SUBMIT_ALL,
     "SINGLE_ISSUER DEFER_TASKRUN TASKRUN_FLAG SUBMIT_ALL"}, /* Linux 6.1 */
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
                 "sandbox hides it; run Linux 6.1 or later, or allow io_uring_setup, "
                 "io_uring_enter and io_uring_register in the sandbox's seccomp profile");
    else if (error == -ENOMEM)
        snprintf(text, size,
                 "io_uring_setup: no memory; raise the limit on locked memory (`ulimit -l`) or use "
                 "fewer ring_entries");
    else
        snprintf(text, size, "io_uring_setup: %s", strerror(-error));
}

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
    /* Spares a look-up in each enter; without it (Linux before 5.18) all works as well. */
    (void)io_uring_register_ring_fd(&poller->ring);
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

static void complete(struct wf_poller *poller, struct wf_worker *self,
                     const struct io_uring_cqe *cqe)
{
    struct wf_op *op = (void *)(uintptr_t)(cqe->user_data & ((UINT64_C(1) << ADDRESS_BITS) - 1));

    if (cqe->user_data == TAG_NONE)
        return;
    if (cqe->user_data == TAG_EVENT) {
        poller->event_is_armed = false;
        return;
    }
    WF_ASSERT(op->tag == cqe->user_data);
    poller->in_flight--;
    wf_count(&poller->counters->ops_completed, 1);
    op->result = cqe->res;
    wf_wake_later(self, op->waiter, 0);
}

static void reap(struct wf_poller *poller, struct wf_worker *self)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&poller->ring, head, cqe)
    {
        complete(poller, self, cqe);
        count++;
    }
    io_uring_cq_advance(&poller->ring, count);
    if (io_uring_cq_has_overflow(&poller->ring))
        wf_count(&poller->counters->cq_overflows, 1); /* the next enter brings them in */
    if (!poller->event_is_armed)
        arm_event(poller);
}

/* EINTR, ETIME: the wait ended.  EBUSY, EAGAIN: the kernel wants completions reaped, or memory,
 * before it takes more; what is prepared stays prepared. */
static void check_enter(int result)
{
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EBUSY && result != -EAGAIN)
        wf_panic("io_uring_enter: %s", strerror(-result));
}

static void enter_and_wait(struct wf_poller *poller, int64_t deadline)
{
    int64_t left = deadline - wf_os_now();
    struct __kernel_timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    struct io_uring_cqe *cqe;

    if (left <= 0) {
        check_enter(io_uring_submit_and_get_events(&poller->ring));
        return;
    }
    check_enter(io_uring_submit_and_wait_timeout(&poller->ring, &cqe, 1,
                                                 deadline == INT64_MAX ? NULL : &ts, NULL));
}

void wf_poller_poll(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    wf_count(&poller->counters->polls, 1);
    if (deadline == 0 || !poller->event_is_armed)
        check_enter(io_uring_submit_and_get_events(&poller->ring));
    else
        enter_and_wait(poller, deadline);
    reap(poller, self);
}

bool wf_poller_has_work(const struct wf_poller *poller)
{
    const struct io_uring *ring = &poller->ring;

    return io_uring_sq_ready(ring) > 0 || io_uring_cq_ready(ring) > 0 ||
           (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !=
               0;
}

/* A submission slot; submits when all are taken. */
static struct io_uring_sqe *take_slot(struct wf_poller *poller)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&poller->ring);

    while (sqe == NULL) {
        int submitted = io_uring_submit(&poller->ring);

        wf_count(&poller->counters->polls, 1);
        check_enter(submitted);
        /* A kernel that takes nothing wants completions out of the way, or memory for a moment. */
        if (submitted <= 0)
            reap(poller, wf_self());
        sqe = io_uring_get_sqe(&poller->ring);
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

void wf_backend_start(struct wf_poller *poller, struct wf_op *op)
{
    struct io_uring_sqe *sqe = take_slot(poller);

    WF_CHECK((uint64_t)(uintptr_t)op >> ADDRESS_BITS == 0);
    op->tag = (uint64_t)(uintptr_t)op | poller->generation++ << ADDRESS_BITS;
    prepare(sqe, op);
    io_uring_sqe_set_data64(sqe, op->tag);
    poller->in_flight++;
    wf_count(&poller->counters->ops_submitted, 1);
}

void wf_backend_cancel(struct wf_poller *poller, const struct wf_op *op)
{
    struct io_uring_sqe *sqe = take_slot(poller);

    io_uring_prep_cancel64(sqe, op->tag, 0);
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    wf_count(&poller->counters->ops_cancelled, 1);
}
