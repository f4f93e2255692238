/* SPDX-License-Identifier: MIT */
/* See runtime/readiness.h: a poll of the backend whose end is reported and wakes nobody. */
#include "runtime/readiness.h"

#include "arch/sim.h"
#include "io/backend.h"
#include "io/sim.h"
#include "runtime/poller.h"

#include <errno.h>
#include <poll.h>

struct readiness {
    wf_readiness_fn *report;
    struct wf_poller *poller; /* that has the operation */
    struct wf_op op;
};

_Static_assert(sizeof(struct readiness) <= sizeof(struct wf_readiness), "it fits");
_Static_assert(offsetof(struct readiness, report) == offsetof(struct wf_readiness, report),
               "the asker writes it");

/* Not inlined: errno's address must not be kept over a switch. */
WF_NOINLINE int32_t wf_op_events_now(int fd, int events)
{
    struct pollfd pollfd = {.fd = fd, .events = (short)events};
    int count;

    if (fd < 0)
        return -EBADF;
    while ((count = poll(&pollfd, 1, 0)) < 0 && errno == EINTR)
        ;
    if (count < 0)
        return -errno;
    return (pollfd.revents & POLLNVAL) != 0 ? -EBADF : pollfd.revents;
}

int wf_readiness_now(int fd, int events)
{
    const struct wf_sim_socket *at = wf_sim_is_here() ? wf_sim_find(fd) : NULL;

    if (at != NULL)
        return wf_sim_events(at) & (events | POLLERR | POLLHUP);
    return wf_op_events_now(fd, events);
}

int32_t wf_op_events_confirmed(const struct wf_op *op)
{
    bool is_vague = op->result > 0 && (op->flags & POLLPRI) != 0;

    /* A half-close that was not looked for would end the next poll at once, and each one after it;
     * and no urgent data comes behind it. */
    return WF_UNLIKELY(is_vague) ? wf_readiness_now(op->fd, op->flags | (op->result & POLLRDHUP))
                                 : op->result;
}

static void report(struct wf_worker *self, struct wf_op *op)
{
    struct readiness *readiness = WF_CONTAINER_OF(op, struct readiness, op);
    int result = op->result == WF_OP_TRY_AGAIN ? 0 : wf_op_events_confirmed(op);

    if (result == 0)
        result = -EAGAIN;
    readiness->report(self, (struct wf_readiness *)(void *)readiness, result);
}

void wf_readiness_start(struct wf_worker *self, struct wf_readiness *asked, int fd, int events)
{
    struct readiness *readiness = (struct readiness *)(void *)asked;

    readiness->poller = wf_worker_poller(self);
    readiness->op = (struct wf_op){.code = WF_OP_POLL, .fd = fd, .flags = events, .done = report};
    wf_backend_start(self, &readiness->op);
}

void wf_readiness_stop(struct wf_worker *self, struct wf_readiness *asked)
{
    struct readiness *readiness = (struct readiness *)(void *)asked;
    struct wf_poller *poller = readiness->poller;

    wf_backend_cancel(poller, self, &readiness->op, -ECANCELED);
    /* What is prepared in our own ring is submitted when we leave the worker. */
    if (poller != wf_worker_poller(self))
        wf_poller_submit(poller, self);
}
