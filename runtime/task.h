/* SPDX-License-Identifier: MIT */
/*
 * Regions: the tasks of one fiber, from its first call of a task until that returns.
 *
 * The tasks of a region run in the floating-point modes that its fiber began the region with.  A
 * fiber that calls a task in other modes, while it runs one, gets another region for that call; the
 * one further out is left meanwhile, as if the fiber were off its worker.
 *
 * A region belongs to a fiber and moves with it from worker to worker.  Thieves find it by the
 * worker that runs the fiber or, while the fiber is off its worker and has tasks, in the pool's
 * list.  A region that has ended goes back to a cache and is used again, by another fiber of the
 * same runtime with a stack of the same size; its memory stays, so a thief that comes late finds
 * another region or an empty one, never something else.
 *
 *   Edge   From                       To                          Promises
 *   TR.1   begin: region seq_cst      thief: region seq_cst       the region's immutable fields;
 *                                                                 with PK.1: a beginning and a
 *                                                                 sleep do not both go unseen
 *   TR.2   leave: listed seq_cst      last look: listed seq_cst   with PK.1: the same for the list
 */
#ifndef WF_RUNTIME_TASK_H
#define WF_RUNTIME_TASK_H

#include "runtime/lock.h"
#include "runtime/split.h"

#include <weft/task.h>

struct weft_fiber;
struct wf_waiter;
struct wf_worker;

struct wf_region {
    struct wf_split split;      /* first: a struct weft_task_deque is a region */
    uint32_t passed_on;         /* the fiber: what it told the runner of the task that it joins;
                                   an interrupter while it waits there */
    uint32_t depth;             /* the fiber: calls of weft_team_begin() without their ends */
    bool was_listed;            /* the fiber: it left while it had tasks */
    unsigned stack_class;       /* immutable: of its fiber, and of those that run what is stolen */
    struct weft_fiber *fiber;   /* the fiber; anyone under `lock` while it waits in a join */
    struct wf_region *outer;    /* the fiber: of a call further out, in other modes; or NULL */
    uint64_t modes;             /* the fiber, before it shares; whoever has claimed a task */
    struct wf_lock lock;        /* between those who cancel and those who run what was stolen */
    struct wf_region *previous; /* under the pool's lock: in the list */
    struct wf_region *next;     /* under the pool's lock: in the list */
    bool is_listed;             /* under the pool's lock */
    struct wf_region *made;     /* immutable: the one that was made before */
    struct wf_region *unused;   /* whoever has the cache that it is in */
};

enum { WF_REGION_CACHE = 4 };

/* One per worker. */
struct wf_regions {
    struct wf_region *first;
    uint32_t count;
};

/* One per runtime. */
struct wf_task_pool {
    struct wf_lock lock;
    struct wf_region *made;     /* under the lock: all regions */
    struct wf_region *unused;   /* under the lock */
    struct wf_region list;      /* under the lock: head of the ring of regions without a worker */
    WF_ATOMIC(uint32_t) listed; /* under the lock; read by anyone */
    WF_ATOMIC(int64_t) woke;    /* when a helper was last woken for tasks */
    WF_ATOMIC(int64_t) backoff; /* how long after that the next may be */
    WF_ATOMIC(uint32_t) vain;   /* 1 until a task is stolen after that */
};

void wf_task_pool_init(struct wf_task_pool *pool);

/* Unmaps all regions.  Caller: whoever destroys the runtime, when no worker is left. */
void wf_task_pool_destroy(struct wf_task_pool *pool);

/* A region for a fiber with a stack of that class; NULL when there is no memory. */
struct wf_region *wf_region_take(struct wf_worker *self, unsigned stack_class);
void wf_region_give(struct wf_worker *self, struct wf_region *region);

/* The running fiber, which has a region, leaves its worker; it is back on a worker. */
WF_COLD void wf_region_leave(struct wf_worker *self, struct wf_region *region);
WF_COLD void wf_region_return(struct wf_worker *self, struct wf_region *region);

/* Ends the wait for a task, the waiter's place, to have a cancel passed on to whoever runs it. */
bool wf_task_interrupt_join(struct wf_worker *self, struct wf_waiter *waiter, int reason);

/* A fiber that will take a task from another; NULL if there is none to be had.  Looks for a while
 * if there are regions.  Caller: a worker without work that may search. */
struct weft_fiber *wf_task_steal(struct wf_worker *self);

/* The same, but only for tasks of fibers that are off their workers, and without looking twice:
 * such a fiber may be waiting for what only its own task will do.  Caller: a worker. */
struct weft_fiber *wf_task_take(struct wf_worker *self);

/* The last look before a sleep: true if there is something to steal.  Whoever has nothing yet is
 * asked, and will wake a sleeper.  Caller: a worker that has announced its sleep. */
bool wf_task_look(struct wf_worker *self);

/* Whether a fork now would give work to someone who has none.  Caller: a task. */
bool wf_task_is_wanted(weft_team team);

#endif
