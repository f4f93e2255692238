/* SPDX-License-Identifier: MIT */
/* Spawn, join, detach and cancel by plain threads and by fibers of other runtimes. */
#include "runtime/end.h"
#include "runtime/extra.h"
#include "runtime/fiber.h"
#include "runtime/join.h"
#include "runtime/model.h"
#include "runtime/outside.h"
#include "runtime/spawn.h"
#include "runtime/trim.h"
#include "runtime/wait_internal.h"

#include <errno.h>

static struct wf_stack *alloc_stack(struct weft_runtime *runtime, unsigned size_class,
                                    bool is_exempt)
{
    struct wf_stack_cache *cache = &runtime->outside_stacks;
    struct wf_stack *stack;

    wf_lock_acquire(&runtime->outside_lock);
    stack = is_exempt ? wf_stack_alloc_exempt(&runtime->depot, cache, size_class)
                      : wf_stack_alloc(&runtime->depot, cache, size_class);
    wf_lock_release(&runtime->outside_lock);
    return stack;
}

/* Counted first: the end of the runtime then waits for us, or we see that it has begun.  Taking the
 * count back would mislead who sums up meanwhile, so a fiber that is not made after all is counted
 * a second time (edge RT.4).  `is_exempt`: if need be, beyond max_stack_memory_mib.  0 or -errno.
 */
static int take_stack(struct weft_runtime *runtime, unsigned size_class, bool is_exempt,
                      struct wf_stack **result)
{
    struct wf_stack *stack = NULL;

    wf_count_shared(&runtime->attempts, 1);
    if (!wf_runtime_is_ending(runtime))
        stack = alloc_stack(runtime, size_class, is_exempt);
    if (stack == NULL) {
        wf_count_shared(&runtime->refused, 1);
        wf_end_check(NULL, runtime);
        if (wf_runtime_is_ending(runtime))
            return -ECANCELED;
        wf_trim_demand(runtime);
        return -ENOMEM;
    }
    wf_count_shared(&runtime->outside.fibers_spawned, 1);
    *result = stack;
    return 0;
}

static struct weft_fiber *make(struct weft_runtime *runtime, struct wf_stack *stack,
                               const char *name, int (*fn)(void *), void *arg, const void *site)
{
    struct weft_fiber *fiber = wf_fiber_init(runtime, stack, name, fn, arg, NULL);

    fiber->id = wf_fiber_take_ids(1);
    fiber->last_worker = UINT32_MAX;
    fiber->spawn_site = site;
    return fiber;
}

/* `extra` is what the fiber inherits, or NULL. */
static int spawn(struct weft_runtime *runtime, const struct weft_fiber_attr *attr,
                 weft_fiber **result, int (*fn)(void *), void *arg, const void *site,
                 struct wf_extra *extra)
{
    unsigned size_class = wf_fiber_class(runtime, attr);
    struct weft_fiber *fiber;
    struct wf_stack *stack;
    int error;

    if (size_class >= WF_STACK_CLASSES)
        return -EINVAL;
    /* Who spawns in a loop until it fails shall not keep the end busy with its counts. */
    if (wf_runtime_is_ending(runtime))
        return -ECANCELED;
    if (!wf_fiber_reserve_live(runtime))
        return -EAGAIN;
    error = take_stack(runtime, size_class, false, &stack);
    if (error != 0) {
        wf_fiber_release_live(runtime);
        return error;
    }
    fiber = make(runtime, stack, attr != NULL ? attr->name : NULL, fn, arg, site);
    if (extra != NULL)
        wf_extra_give(fiber, extra);
    if (result != NULL)
        *result = fiber;
    else
        /* relaxed: the queue publishes it. */
        atomic_store_explicit(&fiber->joiner, WF_JOINER_DETACHED, memory_order_relaxed);
    wf_outside_push(fiber);
    return 0;
}

int weft_spawn_on(weft_runtime *runtime, const struct weft_fiber_attr *attr, weft_fiber **fiber,
                  int (*fn)(void *), void *arg)
{
    struct wf_worker *self = wf_self();
    struct wf_extra *extra = NULL;
    int result;

    if (wf_worker_is_of(self, runtime))
        return wf_fiber_spawn_at(attr, fiber, fn, arg, __builtin_return_address(0));
    if (wf_outside_is_child(runtime))
        return -ECHILD;
    result = wf_self_refusal(self);
    if (result == 0 && wf_local_has_heirs(self))
        result = wf_local_inherit(&extra);
    if (result != 0)
        return result;
    wf_outside_enter(runtime);
    result = spawn(runtime, attr, fiber, fn, arg, __builtin_return_address(0), extra);
    wf_outside_leave(runtime);
    if (result != 0)
        wf_local_disinherit(extra);
    return result;
}

static void destroy(struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;

    /* relaxed: catches a later use of the handle, orders nothing. */
    atomic_store_explicit(&fiber->joiner, WF_JOINER_GONE, memory_order_relaxed);
    wf_fiber_release_live(runtime);
    wf_count_shared(&runtime->outside.fibers_freed, 1);
    wf_lock_acquire(&runtime->outside_lock);
    wf_stack_free(&runtime->depot, &runtime->outside_stacks, &fiber->stack);
    wf_lock_release(&runtime->outside_lock);
}

static int await_end_on_thread(struct weft_fiber *fiber, weft_time deadline)
{
    struct wf_waiter waiter;

    wf_wait_begin_thread(&waiter, wf_fiber_interrupt_join, fiber);
    return wf_join_put(fiber, &waiter, false) ? wf_wait_end_thread(&waiter, deadline) : 0;
}

/* The visit lasts as long as the wait: when the fiber ends, its runtime may be about to as well,
 * and its result is still to be read. */
int wf_fiber_join_outside(struct wf_worker *self, struct weft_fiber *fiber, int *result,
                          weft_time deadline)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;
    int error = 0;

    if (wf_outside_is_child(runtime))
        return -ECHILD;
    wf_outside_enter(runtime);
    wf_join_from_outside(fiber);
    if (!wf_join_is_done(fiber))
        error = self != NULL ? wf_fiber_await_end(self, fiber, deadline)
                             : await_end_on_thread(fiber, deadline);
    if (error == 0) {
        if (result != NULL)
            *result = fiber->result;
        destroy(fiber);
    }
    wf_outside_leave(runtime);
    return error;
}

void wf_fiber_detach_outside(struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;

    if (wf_outside_is_child(runtime))
        return;
    wf_outside_enter(runtime);
    if (!wf_join_detach(fiber))
        destroy(fiber);
    wf_outside_leave(runtime);
}

void wf_fiber_cancel_outside(struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;

    if (wf_outside_is_child(runtime))
        return;
    wf_outside_enter(runtime);
    /* WT.3 seq_cst: before our look whether it waits. */
    atomic_fetch_or_explicit(&fiber->cancelled, WF_CANCEL_FIBER, memory_order_seq_cst);
    wf_wait_cancel(NULL, &fiber->waiter);
    wf_outside_leave(runtime);
}

/* Beyond the limits: what the library needs to end others must not fail for their number.  Such
 * fibers are few and soon over, and take the smallest stack. */
static int make_detached(struct weft_runtime *runtime, const char *name, int (*fn)(void *),
                         void *arg, struct weft_fiber **result)
{
    struct wf_stack *stack;
    int error = take_stack(runtime, 0, true, &stack);

    if (error != 0)
        return error;
    *result = make(runtime, stack, name, fn, arg, NULL);
    /* relaxed: a count; it is given back as all are. */
    atomic_fetch_add_explicit(&runtime->live, 1, memory_order_relaxed);
    /* relaxed: the queue publishes it. */
    atomic_store_explicit(&(*result)->joiner, WF_JOINER_DETACHED, memory_order_relaxed);
    return 0;
}

static int cancel_all(void *arg)
{
    wf_end_cancel(wf_self(), arg);
    return 0;
}

/* The cancels of operations fill the workers' rings, and a plain thread can only wait until these
 * are submitted, while it holds the locks of the stacks that it visits.  So a fiber of the runtime
 * cancels, which is made before the end begins. */
int wf_fiber_stop_outside(struct weft_runtime *runtime)
{
    struct weft_fiber *fiber;
    int error;

    if (wf_runtime_is_ending(runtime))
        return 0;
    error = make_detached(runtime, "stop", cancel_all, runtime, &fiber);
    if (error != 0)
        return error == -ECANCELED ? 0 : error;
    wf_end_begin(runtime);
    wf_outside_push(fiber);
    return 0;
}

int wf_fiber_start_outside(struct weft_runtime *runtime, const char *name, int (*fn)(void *),
                           void *arg)
{
    struct weft_fiber *fiber;
    int error = make_detached(runtime, name, fn, arg, &fiber);

    if (error == 0)
        wf_outside_push(fiber);
    return error;
}
