/* SPDX-License-Identifier: MIT */
/*
 * The other side of a ring (io/ring.h) in a simulation: what io_uring is in the kernel.
 *
 * The queues are memory in liburing's own layout, so that all of ring.c is as ever; this side takes
 * submissions out of the one (sim_ring.c), makes requests of them (sim.c), and puts completions
 * into the other when the seed wants them to arrive.  It shares nothing with ring.c but the queues:
 * what it knows of an operation it has read from the submission.
 *
 * All of it is touched by one real thread, and only wf_sim_ring_enter(), wf_sim_ring_attempt() and
 * the wait for a signal are points.
 */
#ifndef WF_IO_SIM_RING_H
#define WF_IO_SIM_RING_H

#include "arch/atomic.h"
#include "io/op.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct wf_sim_ring;

/* In place of the descriptor of an event (arch/os.h): no program has it. */
enum { WF_SIM_EVENT = INT32_MIN };

/* One submission, until its completion is in the queue. */
struct wf_sim_request {
    struct wf_sim_request *next, *prev; /* among those of the ring that can be cancelled, or held */
    struct wf_sim_ring *ring;
    uint64_t user_data;
    struct wf_op op; /* what the submission said, with op.result in the end */
    enum wf_sim_state {
        WF_SIM_WAITS,   /* for something to change */
        WF_SIM_BUSY,    /* cannot be interrupted */
        WF_SIM_DECIDED, /* its completion is on its way */
    } state;
    bool is_outside;                /* on a descriptor of the kernel's */
    bool is_stopped;                /* outside: it finds this when it looks next */
    uint64_t target;                /* of a cancel: whose user_data */
    struct wf_sim_request *answers; /* cancels that are told when this one has completed */
};

/* Each poller of a simulation tells that it is there, and that it goes. */
void wf_sim_attach(void);
void wf_sim_detach(void);

/* Makes the queues.  A read of WF_SIM_EVENT completes when `signal`, which outlives the ring, is
 * set. 0 or -ENOMEM. */
int wf_sim_ring_open(struct wf_sim_ring **ring, struct io_uring *uring, uint32_t entries,
                     WF_ATOMIC(uint32_t) * word);
void wf_sim_ring_close(struct wf_sim_ring *ring);

/* As io_uring_enter(2) with IORING_ENTER_GETEVENTS, for one completion if it waits. */
int wf_sim_ring_enter(struct wf_sim_ring *ring, unsigned count,
                      const struct __kernel_timespec *timeout, bool waits);

/* As a write to the event; NULL: the ring is not open. */
void wf_sim_ring_signal(struct wf_sim_ring *ring, WF_ATOMIC(uint32_t) * word);

/* As a read of the event while the ring is not open. */
void wf_sim_await_signal(WF_ATOMIC(uint32_t) * word);

/* What a fiber does itself if nothing has to be waited for (wf_attempt_now()). */
bool wf_sim_ring_attempt(struct wf_op *op, weft_time deadline);

/* Takes a submission: what comes of it is for wf_sim_ring_put().  Returns false if there is no
 * memory.  Caller: sim_ring.c. */
bool wf_sim_begin(struct wf_sim_ring *ring, const struct io_uring_sqe *sqe);

/* Puts a completion into the queue, or where it is full keeps it; takes the request, which is in no
 * list.  Caller: sim.c. */
void wf_sim_ring_put(struct wf_sim_request *request);

/* Those that can be cancelled. */
void wf_sim_ring_list(struct wf_sim_request *request);
void wf_sim_ring_unlist(struct wf_sim_request *request);
struct wf_sim_request *wf_sim_ring_find(const struct wf_sim_ring *ring, uint64_t user_data);

/* A request holds its ring, which may be closed meanwhile.  NULL: there is no memory. */
struct wf_sim_request *wf_sim_request_create(struct wf_sim_ring *ring, uint64_t user_data);
void wf_sim_request_free(struct wf_sim_request *request);

#endif
