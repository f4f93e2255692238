/* SPDX-License-Identifier: MIT */
/* A fiber's beginning and end, for the scheduler, and what spawning and joining are made of. */
#ifndef WF_RUNTIME_FIBER_H
#define WF_RUNTIME_FIBER_H

#include <weft/fiber.h>

struct wf_stack;
struct wf_waiter;
struct wf_context;
struct wf_worker;

/* Makes the runtime's first fiber, detached.  0 or -ENOMEM.  Caller: worker 0, in its loop. */
int wf_fiber_spawn_main(struct wf_worker *self);

/* Makes a detached fiber that is READY and in no queue; `site` is for reports.  0; -ENOMEM; -EAGAIN
 * when max_fibers are alive.  Caller: a worker, which will run or queue it. */
int wf_fiber_create_detached(struct wf_worker *self, unsigned size_class, const char *name,
                             int (*fn)(void *), void *arg, const void *site,
                             struct weft_fiber **result);

/* Tells the joiner, or frees the fiber if it is detached.  Caller: the worker that ran it, after
 * the fiber's last switch. */
void wf_fiber_finish(struct wf_worker *self, struct weft_fiber *fiber);

/* Counts a fiber against max_fibers.  False if there are as many already. */
bool wf_fiber_reserve_live(struct weft_runtime *runtime);
void wf_fiber_release_live(struct weft_runtime *runtime);

/* The size class that `attr` asks for; WF_STACK_CLASSES if it is out of range. */
unsigned wf_fiber_class(const struct weft_runtime *runtime, const struct weft_fiber_attr *attr);

/* The first of `count` new fiber numbers. */
uint64_t wf_fiber_take_ids(uint64_t count);

/* Makes a fiber of a stack, READY and in no queue.  The caller sets `id`, `last_worker`
 * and `spawn_site`.  `running`: see wf_context_init(). */
struct weft_fiber *wf_fiber_init(struct weft_runtime *runtime, struct wf_stack *stack,
                                 const char *name, int (*fn)(void *), void *arg,
                                 const struct wf_context *running);

/* Waits until the fiber has ended, which it has not when this was last looked at.  0 or -errno.
 * Caller: a fiber, of any runtime. */
int wf_fiber_await_end(struct wf_worker *self, struct weft_fiber *fiber, weft_time deadline);

/* Takes a waiter out of the join slot that is its place. */
bool wf_fiber_interrupt_join(struct wf_worker *self, struct wf_waiter *waiter, int reason);

/* weft_join() and so on for callers that are no fiber of the runtime (fiber_outside.c); `self` is
 * NULL for a plain thread. */
int wf_fiber_join_outside(struct wf_worker *self, struct weft_fiber *fiber, int *result,
                          weft_time deadline);
void wf_fiber_detach_outside(struct weft_fiber *fiber);
void wf_fiber_cancel_outside(struct weft_fiber *fiber);

/* Starts a detached fiber for such a caller, beyond the limits of max_fibers and
 * max_stack_memory_mib.  0, -ENOMEM if the system has no memory, or -ECANCELED if the runtime is
 * ending.  Caller: a visitor (outside.h). */
int wf_fiber_start_outside(struct weft_runtime *runtime, const char *name, int (*fn)(void *),
                           void *arg);

/* weft_stop() for such callers.  0 or -ENOMEM. */
int wf_fiber_stop_outside(struct weft_runtime *runtime);

#endif
