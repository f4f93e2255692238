/* SPDX-License-Identifier: MIT */
/*
 * How anything blocks.
 *
 * A wait takes place somewhere: in a join slot, in a queue, in a ring, in the timer wheel.  One
 * rule settles every race between those who might end it: **the wake belongs to whoever takes the
 * waiter out of its place**, and happens exactly once.
 *
 *   struct wf_waiter *waiter = wf_wait_begin(self, interrupt, place);
 *   ... put the waiter into its place; from here on it can be woken ...
 *   self = wf_wait_end(self, deadline);
 *   ... waiter->result says why ...
 *
 * A deadline or a cancel ends a wait through its interrupt function, which tries to take the
 * waiter out.  The fiber's state says who may touch what meanwhile:
 *
 *   state      the fiber                                  who changes it, and to what
 *   RUNNING    runs                                       a waker: NOTIFIED; its worker: WAITING
 *   NOTIFIED   runs, and its wake has come already        its worker: READY; itself: RUNNING
 *   WAITING    is off its worker, registers saved         a waker: READY; an interrupter: BUSY
 *   BUSY       is pinned in its wait by an interrupter    a waker: BUSY_NOTIFIED; the interrupter:
 *                                                         READY or WAITING
 *   BUSY_NOTIFIED  the same, and its wake has come        the interrupter: READY
 *   READY      is in a queue, or between two              the worker that takes it out: RUNNING
 *
 * A plain thread waits in the same way, by a waiter in its own frame.  It is WAITING from the
 * start, since it has no registers to save and nobody interrupts it: it looks at its deadline
 * itself.
 *
 * A fiber becomes WAITING after the switch away from it, when its registers are saved.  A wake that
 * comes earlier only leaves NOTIFIED behind, so nobody can resume a fiber that still runs.
 *
 *   Edge   From                          To                            Promises
 *   WT.1   wake: state release           resume: state acquire         the result, and what the
 *                                                                      waker did before
 *   WT.2   park: state seq_cst           wake: state acquire           the saved registers
 *   WT.3   cancel: flag seq_cst          park: flag seq_cst            a cancel and a park do not
 *                                                                      both go unseen
 *   WT.4   interrupt: state release      wake: state acquire           the interrupter has done
 */
#ifndef WF_RUNTIME_WAIT_H
#define WF_RUNTIME_WAIT_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "arch/tls.h"
#include "runtime/timer.h"

#include <stdbool.h>
#include <stdint.h>
#include <weft/semaphore.h>

struct weft_runtime;
struct wf_limits;
struct wf_poller;
struct wf_waiter;
struct wf_worker;

enum wf_wait_state {
    WF_WAIT_READY, /* also of a fiber that was never resumed */
    WF_WAIT_RUNNING,
    WF_WAIT_NOTIFIED,
    WF_WAIT_WAITING,
    WF_WAIT_BUSY,
    WF_WAIT_BUSY_NOTIFIED,
};

/*
 * Tries to take the waiter out of its place; returns true if it did.  `reason` is -ETIMEDOUT or
 * -ECANCELED.  The fiber cannot leave its wait during the call, but it may be woken.
 */
typedef bool wf_interrupt_fn(struct wf_worker *self, struct wf_waiter *waiter, int reason);

struct wf_waiter {
    WF_ATOMIC(uint32_t) state;    /* enum wf_wait_state */
    int32_t result;               /* whoever wakes writes, then the fiber reads */
    wf_interrupt_fn *interrupt;   /* the fiber, before it waits; NULL: cannot be interrupted */
    void *place;                  /* the fiber, before it waits */
    struct weft_runtime *runtime; /* immutable: the fiber's; NULL: a plain thread waits */
    struct wf_worker *home;       /* the fiber, before it waits: the worker it waits on */
    struct wf_timer timer;        /* the fiber arms and cancels; any worker expires */
};

/* What a waiter waits for, as a report names it: "a mutex", and where that is; NULL: nowhere. */
struct wf_wait_target {
    const char *kind;
    const void *object;
};

/* What the waiter waits for, if that is an object of sync/, which defines this; else false. Caller:
 * the finder of deadlocks, while the waiter is WAITING and nothing runs. */
bool wf_wait_describe(const struct wf_waiter *waiter, struct wf_wait_target *target);

/* The worker that runs the caller; NULL on a plain thread.  Stale after any suspension. */
WF_INLINE struct wf_worker *wf_self(void)
{
    return (struct wf_worker *)wf_tls_get();
}

struct wf_poller *wf_worker_poller(struct wf_worker *self);

/* What operations of this worker's runtime take a permit from, each for as long as it is under way;
 * NULL where there is no limit. */
weft_semaphore *wf_worker_operations(struct wf_worker *self);

/* Those of this worker's runtime (limits.h); NULL: it has none. */
struct wf_limits *wf_worker_limits(struct wf_worker *self);

/* The poller of one of the workers of this runtime, spares included; NULL: there are no more. */
struct wf_poller *wf_worker_peer_poller(struct wf_worker *self, uint32_t number);

/* 0, or why the running fiber may not wait: -ECANCELED if it or a scope around it has been
 * cancelled or its runtime is ending, -ETIMEDOUT if the deadline of a scope around it has passed.
 * A plain thread, with NULL for `self`, always may. */
int wf_self_refusal(struct wf_worker *self);

/* The same before a wait until `deadline`: -ETIMEDOUT also if that has passed. */
int wf_wait_refusal(struct wf_worker *self, int64_t deadline);

/* The earliest deadline of the scopes that the caller has opened itself, up to a shield: they stay
 * what they are while it waits, for only their owner changes them.  WEFT_FOREVER: there is none, or
 * the caller is a plain thread, with NULL for `self`. */
int64_t wf_self_deadline(struct wf_worker *self);

/* A number that nobody can rely on, with 24 random bits; `self` is NULL on a plain thread. */
uint32_t wf_self_random(struct wf_worker *self);

/* True if no other fiber is ready on this worker, as far as it knows.  Never in chaos, which
 * switches wherever a program has to reckon with it. */
bool wf_self_is_alone(struct wf_worker *self);

/* Lets the timers, the ring and all others have their turn before the caller goes on, a fiber that
 * may have had many in a row. */
void wf_self_give_way(struct wf_worker *self);

/* True if the running fiber's wait, which it has begun, has ended already.  Caller: the fiber. */
static inline bool wf_wait_is_over(struct wf_waiter *waiter)
{
    /* WT.1 acquire: what the waker did before. */
    return atomic_load_explicit(&waiter->state, memory_order_acquire) == WF_WAIT_NOTIFIED;
}

/* Takes the wake of a wait that is over, which needs no wf_wait_end() then. */
static inline void wf_wait_take_wake(struct wf_waiter *waiter)
{
    /* relaxed: its fiber runs, and nobody else changes a wake that has come. */
    atomic_store_explicit(&waiter->state, WF_WAIT_RUNNING, memory_order_relaxed);
}

/* Caller: a fiber.  The waiter is the fiber's own and is valid until wf_wait_end() returns. */
struct wf_waiter *wf_wait_begin(struct wf_worker *self, wf_interrupt_fn *interrupt, void *place);

/*
 * Waits to be woken.  Returns the worker that the caller woke up on, which can be another than
 * `self`: write `self = wf_wait_end(self, ...)` and use nothing cached from before.
 */
WF_MUST_USE struct wf_worker *wf_wait_end(struct wf_worker *self, int64_t deadline);

/* The same for a plain thread, with a waiter in the caller's frame.  The second one blocks the
 * thread and returns the waiter's result. */
void wf_wait_begin_thread(struct wf_waiter *waiter, wf_interrupt_fn *interrupt, void *place);
int wf_wait_end_thread(struct wf_waiter *waiter, int64_t deadline);

/* Wakes a waiter that the caller has taken out of its place; it runs next.  Caller: anyone; `self`
 * is NULL on a plain thread, and may be a worker of another runtime than the waiter's. */
void wf_wake(struct wf_worker *self, struct wf_waiter *waiter, int result);

/* The same, but it runs when its turn comes. */
void wf_wake_later(struct wf_worker *self, struct wf_waiter *waiter, int result);

#endif
