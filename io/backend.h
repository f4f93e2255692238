/* SPDX-License-Identifier: MIT */
/*
 * What an I/O backend is: what the scheduler asks of it (runtime/poller.h has the contract of each
 * function) and what operations do.  One is chosen for each runtime; those of a process that leave
 * the choice open have the same.
 */
#ifndef WF_IO_BACKEND_H
#define WF_IO_BACKEND_H

#include "io/op.h"
#include "io/pending.h"
#include "runtime/lock.h"

#include <stdbool.h>

struct wf_counters;
struct wf_poller;

struct wf_backend {
    const char *name;

    int (*create)(struct wf_poller **poller, uint32_t entries, struct wf_counters *counters);
    int (*open)(struct wf_poller *poller); /* NULL: there is nothing to open, nor to close */
    bool (*close)(struct wf_poller *poller, struct wf_worker *self);
    void (*destroy)(struct wf_poller *poller);
    unsigned (*poll)(struct wf_poller *poller, struct wf_worker *self, int64_t deadline);
    void (*submit)(struct wf_poller *poller, struct wf_worker *self);
    bool (*needs_service)(struct wf_poller *poller);
    void (*interrupt)(struct wf_poller *poller);

    /* Writes one line about what it would use here.  0, or the -errno of `create`, and the line
     * says what refuses it. */
    int (*describe)(char *line, size_t size);

    /*
     * Does at once what can be done without waiting in the kernel.  Returns true if op->result is
     * the operation's, false if it has to wait.  It may suspend.
     */
    bool (*attempt)(struct wf_op *op, weft_time deadline);

    /*
     * Takes the operation, and wakes op->waiter when it is complete, with op->result set, which is
     * WF_OP_TRY_AGAIN where the fiber has to attempt it again.  Never fails.  Caller: a fiber on
     * `self`.
     */
    void (*start)(struct wf_worker *self, struct wf_op *op);

    /*
     * Asks for an early end of an operation that `start` took; it completes as ever, if it has not
     * yet.  Returns true if it is complete now, and in no list: the caller has to call
     * wf_op_complete().
     *
     * Caller has the lock of the poller, which may be free for a while before this returns false:
     * the operation may be gone then.
     */
    bool (*stop)(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op);

    /*
     * Whether `stop` with NULL for `self` would return without a wait for a worker of the poller's
     * runtime: who holds what such a worker may want asks first, and tries again without it.  NULL:
     * it always would.  Caller has the lock of the poller.
     */
    bool (*can_stop)(struct wf_poller *poller, const struct wf_op *op);
};

/* What all pollers begin with. */
struct wf_poller {
    const struct wf_backend *backend;
    struct wf_lock lock;            /* of all that the backend has, and of the next */
    struct wf_pending pending;      /* what is under way */
    struct wf_poller *next, **link; /* among all of the process; see close.c */
};

extern const struct wf_backend wf_backend_ring, wf_backend_epoll;

/* Starts an operation with the backend of `self`. */
void wf_backend_start(struct wf_worker *self, struct wf_op *op);

/* Asks for an early end of an operation with that poller, with the reason if it has none yet.
 * Caller: any worker, which sees to it that the poller submits (wf_poller_submit()), or with NULL
 * for `self` a visitor of the runtime. */
void wf_backend_cancel(struct wf_poller *poller, struct wf_worker *self, struct wf_op *op,
                       int reason);

/* For who waits until a worker of another runtime submits.  That one may wait for ours in the same
 * way.  `self`: the caller's own worker; NULL: a plain thread. */
void wf_backend_await_others(struct wf_worker *self);

/* True if the number means an io_uring, which no ring closes; false also where nobody can say. */
WF_COLD bool wf_backend_is_ring(int fd);

/* Lets weft_close() find a poller, from anywhere in the process, until it is destroyed. */
void wf_close_enlist(struct wf_poller *poller);
void wf_close_delist(struct wf_poller *poller);

#endif
