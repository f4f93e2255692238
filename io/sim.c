/* SPDX-License-Identifier: MIT */
/*
 * The simulated backend.  It runs under a simulation only (arch/sim.h), on one real thread: what
 * lies between two points is atomic, so there are no locks here, and no function that is a point
 * may be called while a list is taken apart.
 *
 * A descriptor that the simulation does not know is the kernel's.  Operations on it are done by
 * system calls that do not wait; where one would have to, it is tried again as virtual time passes.
 */
#include "io/sim.h"

#include "arch/sim.h"
#include "io/attempt.h"
#include "io/backend.h"
#include "io/sim_disk.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/poller.h"
#include "runtime/stats.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <weft/fiber.h>
#include <weft/sim.h>

enum {
    LATE_MAX_NS = 5000000,  /* by which a completion is late that is */
    OUTSIDE_NS = 1000000,   /* between two looks at a descriptor of the kernel's */
    DONE_IN_A_ROW_MAX = 32, /* as on epoll */
};

struct ops {
    struct wf_op *first, *last;
};

/* A cancel that has not got to its operation yet. */
struct late_cancel {
    struct late_cancel *next;
    struct wf_op *op; /* NULL: it has completed meanwhile */
};

struct sim_poller {
    struct wf_poller poller;
    struct wf_counters *counters;
    WF_ATOMIC(uint32_t) signals; /* 1: a wait ends, or the next one */
    struct ops done;             /* complete, for the fibers to be woken */
    struct ops held;             /* complete as well, and there was no room to say so */
    uint64_t waiting;
    uint32_t done_count;
};

static uint64_t poller_run; /* the run that `poller_count` is of */
static uint32_t poller_count;
static struct late_cancel *late_cancels;

static struct sim_poller *poller_of(struct wf_poller *poller)
{
    return WF_CONTAINER_OF(poller, struct sim_poller, poller);
}

/* An operation knows where it was started. */
static struct sim_poller *home_of(const struct wf_op *op)
{
    return (struct sim_poller *)(uintptr_t)op->tag;
}

static int create(struct wf_poller **poller, uint32_t entries, struct wf_counters *counters)
{
    struct sim_poller *sim;

    (void)entries;
    if (!wf_sim_is_here())
        return -ENOTSUP;
    sim = wf_alloc(sizeof *sim);
    if (sim == NULL)
        return -ENOMEM;
    sim->counters = counters;
    wf_sim_net_begin();
    if (poller_run != wf_sim_run_number()) {
        poller_count = 0;
        late_cancels = NULL;
    }
    poller_run = wf_sim_run_number();
    poller_count++;
    *poller = &sim->poller;
    return 0;
}

static void destroy(struct wf_poller *poller)
{
    WF_ASSERT(poller_of(poller)->waiting == 0);
    if (--poller_count == 0)
        wf_sim_net_end();
    wf_free(poller_of(poller));
}

static int describe(char *line, size_t size)
{
    snprintf(line, size, "sim, all in memory and decided by a seed");
    return 0;
}

static void set_signal(struct sim_poller *sim, uint32_t value)
{
    /* relaxed: there is one real thread; here and below. */
    atomic_store_explicit(&sim->signals, value, memory_order_relaxed);
}

static void interrupt_wait(struct wf_poller *poller)
{
    set_signal(poller_of(poller), 1);
    wf_os_futex_wake(&poller_of(poller)->signals, 1);
}

/* Nothing is ever left to be submitted. */
static void submit(struct wf_poller *poller, struct wf_worker *self)
{
    (void)poller;
    (void)self;
}

static bool needs_service(struct wf_poller *poller)
{
    return poller_of(poller)->done.first != NULL || poller_of(poller)->held.first != NULL;
}

static void append(struct ops *ops, struct wf_op *op)
{
    op->next = NULL;
    if (ops->first == NULL)
        ops->first = op;
    else
        ops->last->next = op;
    ops->last = op;
}

/* An event: the completion arrives.  Where the queue is full the kernel keeps it, and all that come
 * after it, until it is asked for more (io_uring_enter(2), IORING_SQ_CQ_OVERFLOW). */
static void arrive(void *arg)
{
    struct wf_op *op = arg;
    struct sim_poller *sim = home_of(op);

    if (wf_sim_fault(WEFT_SIM_OVERFLOW) || sim->held.first != NULL)
        append(&sim->held, op);
    else
        append(&sim->done, op);
    wf_sim_trace("arrive", (uint64_t)op->code, 0);
    set_signal(sim, 1); /* whoever has looked, and is about to wait, does not */
    wf_sim_wake(&sim->signals, 1);
}

void wf_sim_complete(struct wf_op *op)
{
    int64_t at;

    for (struct late_cancel *cancel = late_cancels; cancel != NULL; cancel = cancel->next)
        if (cancel->op == op)
            cancel->op = NULL;
    at = wf_sim_time() + 1 + wf_sim_draw(WF_SIM_NETWORK, 2000);

    if (wf_sim_fault(WEFT_SIM_LATE))
        at += wf_sim_fault_draw(WEFT_SIM_LATE, LATE_MAX_NS);
    if (!wf_sim_at(at, arrive, op))
        arrive(op);
}

static void await_signal(struct sim_poller *sim, int64_t deadline)
{
    /* relaxed: as above. */
    while (sim->done.first == NULL && sim->held.first == NULL &&
           atomic_load_explicit(&sim->signals, memory_order_relaxed) == 0 && wf_os_now() < deadline)
        wf_os_futex_wait(&sim->signals, 0, deadline);
}

static unsigned poll_sim(struct wf_poller *poller, struct wf_worker *self, int64_t deadline)
{
    struct sim_poller *sim = poller_of(poller);
    unsigned count = 0;
    struct wf_op *op;

    wf_sim_point();
    if (deadline != 0) {
        wf_count(&sim->counters->polls, 1);
        await_signal(sim, deadline);
        set_signal(sim, 0);
    }
    while ((op = sim->done.first) != NULL) {
        sim->done.first = op->next;
        sim->waiting--;
        wf_count(&sim->counters->ops_completed, 1);
        wf_pending_remove(op);
        wf_op_complete(self, op);
        count++;
    }
    sim->done = sim->held; /* for the next time */
    sim->held.first = NULL;
    return count;
}

/* A fiber that never has to wait gives way now and then. */
static bool count_done(void)
{
    struct sim_poller *sim = poller_of(wf_worker_poller(wf_self()));

    wf_count(&sim->counters->ops_submitted, 1);
    wf_count(&sim->counters->ops_completed, 1);
    return ++sim->done_count % DONE_IN_A_ROW_MAX == 0;
}

/* As on a ring, some operations complete later though they need not wait. */
static bool attempt_simulated(struct wf_sim_socket *at, struct wf_op *op)
{
    if (op->code == WF_OP_CONNECT || op->code == WF_OP_FSYNC || wf_sim_draw(WF_SIM_NETWORK, 4) == 0)
        return false;
    return wf_sim_try(at, op);
}

/* Returns true if it was on the simulated disk. */
static bool attempt_open(struct wf_op *op)
{
    wf_sim_path path;
    int found = wf_sim_disk_resolve(op->fd, op->buffer, path);

    op->result = found;
    if (found > 0)
        op->result = wf_sim_file_open(path, op->flags, (mode_t)op->length);
    return found != 0;
}

static bool attempt(struct wf_op *op, weft_time deadline)
{
    struct wf_sim_socket *at;
    bool is_done;

    wf_sim_point();
    op->has_waited = true; /* what the last run has left behind does not count */
    if (op->code == WF_OP_OPENAT && attempt_open(op))
        return true;
    /* It goes on with what it began before, if the descriptor is still the same. */
    op->result = op->epoch != 0 ? wf_op_hold(op) : 0;
    wf_op_release(op);
    if (op->result == 0)
        op->result = wf_sim_adopt(op);
    if (op->result != 0)
        return true;
    at = wf_sim_find(op->fd);
    is_done = at != NULL ? attempt_simulated(at, op) : wf_attempt(op, deadline);
    if (is_done && op->result < 0 && op->epoch == 0)
        op->epoch = wf_epoch_now(op->fd); /* it may be tried again, and others go on before that */
    if (is_done && count_done())
        (void)weft_yield();
    return is_done;
}

/* An event: is there still nothing to be done with a descriptor of the kernel's? */
static void look_outside(void *arg)
{
    struct wf_op *op = arg;
    struct pollfd pollfd = {.fd = op->fd, .events = (short)wf_attempt_events(op)};

    if (op->reason != 0)
        op->result = -ECANCELED;
    else if (poll(&pollfd, 1, 0) != 0)
        op->result = WF_OP_TRY_AGAIN;
    else if (wf_sim_at(wf_sim_time() + OUTSIDE_NS, look_outside, op))
        return;
    else
        op->result = -ENOMEM;
    arrive(op);
}

static void start(struct wf_worker *self, struct wf_op *op)
{
    struct sim_poller *sim = poller_of(wf_worker_poller(self));
    struct wf_sim_socket *at;

    if (op->code == WF_OP_POLL) /* of a select, which makes no attempt */
        (void)wf_sim_adopt(op);
    at = wf_sim_find(op->fd);
    op->tag = (uint64_t)(uintptr_t)sim;
    sim->waiting++;
    wf_count(&sim->counters->ops_submitted, 1);
    op->result = wf_pending_add(&sim->poller, op);
    if (op->result != 0)
        arrive(op);
    else if (at == NULL)
        look_outside(op);
    else if (at->kind == WF_SIM_FILE && op->code == WF_OP_FSYNC)
        wf_sim_file_sync(at, op);
    else if (wf_sim_try(at, op))
        wf_sim_complete(op);
    else
        wf_sim_wait(at, op);
}

static void cancel_now(struct wf_op *op)
{
    wf_sim_trace("cancel", (uint64_t)op->code, 0);
    wf_sim_unwait(wf_sim_find(op->fd), op);
    wf_count(&home_of(op)->counters->ops_cancelled, 1);
    op->result = -ECANCELED;
    wf_sim_complete(op);
}

/* An event. */
static void cancel_arrives(void *arg)
{
    struct late_cancel *cancel = arg, **place = &late_cancels;

    while (*place != cancel)
        place = &(*place)->next;
    *place = cancel->next;
    if (cancel->op != NULL)
        cancel_now(cancel->op);
    wf_free(cancel);
}

/* Returns false if there is no memory. */
static bool cancel_later(struct wf_op *op)
{
    struct late_cancel *cancel = wf_alloc(sizeof *cancel);
    int64_t at = wf_sim_time() + 1 + wf_sim_fault_draw(WEFT_SIM_LATE_CANCEL, LATE_MAX_NS);

    if (cancel == NULL || !wf_sim_at(at, cancel_arrives, cancel)) {
        wf_free(cancel);
        return false;
    }
    *cancel = (struct late_cancel){late_cancels, op};
    late_cancels = cancel;
    return true;
}

/* What waits outside finds op->reason when it looks next, and what is complete stays so, though
 * its fiber does not know yet. */
static bool stop(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op)
{
    (void)poller;
    (void)self;
    if (op->is_listed && !(wf_sim_fault(WEFT_SIM_LATE_CANCEL) && cancel_later(op)))
        cancel_now(op);
    return false;
}

const struct wf_backend wf_backend_sim = {
    .name = "sim",
    .create = create,
    .destroy = destroy,
    .poll = poll_sim,
    .submit = submit,
    .needs_service = needs_service,
    .interrupt = interrupt_wait,
    .describe = describe,
    .attempt = attempt,
    .start = start,
    .stop = stop,
};
