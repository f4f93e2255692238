/* SPDX-License-Identifier: MIT */
/* A fiber's life: spawn, entry, end, join, detach, cancel. */
#include "runtime/fiber.h"

#include "runtime/end.h"
#include "runtime/extra.h"
#include "runtime/join.h"
#include "runtime/model.h"
#include "runtime/spawn.h"
#include "runtime/trim.h"
#include "runtime/worker.h"

#include <errno.h>
#include <string.h>

#define ID_BLOCK 1024 /* fiber numbers that a worker takes at a time */

static WF_ATOMIC(uint64_t) next_id_block = 1;

uint64_t wf_fiber_take_ids(uint64_t count)
{
    /* relaxed: only the numbers have to differ. */
    return atomic_fetch_add_explicit(&next_id_block, count, memory_order_relaxed);
}

static uint64_t take_id(struct wf_worker *self)
{
    if (WF_UNLIKELY(self->next_id == self->last_id)) {
        self->next_id = wf_fiber_take_ids(ID_BLOCK);
        self->last_id = self->next_id + ID_BLOCK;
    }
    return self->next_id++;
}

/* max_fibers is rarely set, and a shared counter costs every spawn. */
bool wf_fiber_reserve_live(struct weft_runtime *runtime)
{
    if (WF_LIKELY(runtime->config.max_fibers == UINT32_MAX))
        return true;
    /* relaxed: a limit, it orders nothing. */
    if (atomic_fetch_add_explicit(&runtime->live, 1, memory_order_relaxed) <
        runtime->config.max_fibers)
        return true;
    /* relaxed: as above. */
    atomic_fetch_sub_explicit(&runtime->live, 1, memory_order_relaxed);
    return false;
}

void wf_fiber_release_live(struct weft_runtime *runtime)
{
    if (WF_UNLIKELY(runtime->config.max_fibers != UINT32_MAX)) {
        /* relaxed: as above. */
        atomic_fetch_sub_explicit(&runtime->live, 1, memory_order_relaxed);
    }
}

static void set_name(struct weft_fiber *fiber, const char *name)
{
    size_t length = name != NULL ? strnlen(name, sizeof fiber->name - 1) : 0;

    if (length > 0)
        memcpy(fiber->name, name, length);
    fiber->name[length] = '\0';
}

static void fiber_main(void *arg, void *passed)
{
    struct weft_fiber *fiber = arg;
    struct wf_worker *self = passed;

    wf_worker_land(self);
    wf_count(&self->counters.fibers_started, 1);
    fiber->result = fiber->fn(fiber->arg);
    self = wf_self();
    if (WF_UNLIKELY(self == NULL))
        wf_panic("fiber %lu \"%s\" returned in the child of a fork(): end the child by _exit(), "
                 "exit() or exec",
                 (unsigned long)fiber->id, fiber->name);
    if (WF_UNLIKELY(fiber->has_more))
        self = wf_extra_end(self, fiber);
    wf_worker_exit(self, wf_join_take(self, fiber));
}

struct weft_fiber *wf_fiber_init(struct weft_runtime *runtime, struct wf_stack *stack,
                                 const char *name, int (*fn)(void *), void *arg,
                                 const struct wf_context *running)
{
    struct weft_fiber *fiber = (struct weft_fiber *)(void *)stack;
    char *bottom = wf_stack_bottom(&runtime->depot, stack);

    fiber->fn = fn;
    fiber->arg = arg;
    fiber->region = NULL;
    fiber->waiter.runtime = runtime;
    set_name(fiber, name);
    /* relaxed: the queue publishes it; until it runs, nobody finds it waiting. */
    atomic_store_explicit(&fiber->waiter.state, WF_WAIT_READY, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&fiber->cancelled, 0, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&fiber->joined_outside, 0, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&fiber->joiner, NULL, memory_order_relaxed);
    wf_san_fiber(&fiber->san, bottom, (size_t)((char *)fiber - bottom));
    if (WF_UNLIKELY(runtime->usage.sites != NULL))
        wf_usage_begin(runtime, fiber);
    wf_context_init(&fiber->context, fiber, fiber_main, fiber, running);
    return fiber;
}

/* Makes a fiber that is READY and in no queue; NULL when there is no memory. */
static struct weft_fiber *create(struct wf_worker *self, unsigned size_class, const char *name,
                                 int (*fn)(void *), void *arg)
{
    struct weft_runtime *runtime = self->runtime;
    struct wf_stack *stack = wf_stack_alloc(&runtime->depot, &self->stacks, size_class);
    struct weft_fiber *fiber;

    if (stack == NULL) {
        wf_trim_demand(runtime);
        return NULL;
    }
    fiber = wf_fiber_init(runtime, stack, name, fn, arg,
                          self->current != NULL ? &self->current->context : &self->context);
    fiber->id = take_id(self);
    fiber->last_worker = self->index;
    wf_count(&self->counters.fibers_spawned, 1);
    return fiber;
}

static void destroy(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: catches a later use of the handle, orders nothing. */
    atomic_store_explicit(&fiber->joiner, WF_JOINER_GONE, memory_order_relaxed);
    wf_fiber_release_live(self->runtime);
    wf_count(&self->counters.fibers_freed, 1);
    wf_stack_free(&self->runtime->depot, &self->stacks, &fiber->stack);
}

int wf_fiber_spawn_main(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;
    struct weft_fiber *fiber = create(self, runtime->stack_class, "main", runtime->main_fn,
                                      runtime->main_arg);

    if (fiber == NULL)
        return -ENOMEM;
    wf_fiber_reserve_live(runtime);
    /* relaxed: no other thread knows the fiber yet. */
    atomic_store_explicit(&fiber->joiner, WF_JOINER_DETACHED, memory_order_relaxed);
    fiber->is_main = true;
    fiber->spawn_site = NULL;
    wf_worker_push_ready(self, fiber);
    return 0;
}

int wf_fiber_create_detached(struct wf_worker *self, unsigned size_class, const char *name,
                             int (*fn)(void *), void *arg, const void *site,
                             struct weft_fiber **result)
{
    struct weft_fiber *fiber;

    if (!wf_fiber_reserve_live(self->runtime))
        return -EAGAIN;
    fiber = create(self, size_class, name, fn, arg);
    if (fiber == NULL) {
        wf_fiber_release_live(self->runtime);
        return -ENOMEM;
    }
    /* relaxed: no other thread knows the fiber yet. */
    atomic_store_explicit(&fiber->joiner, WF_JOINER_DETACHED, memory_order_relaxed);
    fiber->spawn_site = site;
    *result = fiber;
    return 0;
}

unsigned wf_fiber_class(const struct weft_runtime *runtime, const struct weft_fiber_attr *attr)
{
    if (attr == NULL || attr->stack_size_kib == 0)
        return runtime->stack_class;
    if (attr->stack_size_kib < WF_STACK_SIZE_MIN / 1024)
        return WF_STACK_CLASSES;
    return wf_stack_class((size_t)attr->stack_size_kib * 1024);
}

/* `extra` is what the fiber inherits, or NULL. */
static inline int spawn_with_extra(struct wf_worker *self, const struct weft_fiber_attr *attr,
                                   weft_fiber **result, int (*fn)(void *), void *arg,
                                   const void *site, struct wf_extra *extra)
{
    struct weft_fiber *fiber;
    unsigned size_class;
    int refusal = wf_self_refusal(self);

    if (WF_UNLIKELY(refusal != 0))
        return refusal;
    size_class = wf_fiber_class(self->runtime, attr);
    if (size_class >= WF_STACK_CLASSES)
        return -EINVAL;
    if (!wf_fiber_reserve_live(self->runtime))
        return -EAGAIN;
    fiber = create(self, size_class, attr != NULL ? attr->name : NULL, fn, arg);
    if (fiber == NULL) {
        wf_fiber_release_live(self->runtime);
        return -ENOMEM;
    }
    fiber->spawn_site = site;
    if (extra != NULL)
        wf_extra_give(fiber, extra);
    if (result != NULL)
        *result = fiber;
    else
        /* relaxed: the queue publishes it. */
        atomic_store_explicit(&fiber->joiner, WF_JOINER_DETACHED, memory_order_relaxed);
    wf_worker_push_fresh(self, fiber);
    return 0;
}

static WF_COLD int spawn_heir(const struct weft_fiber_attr *attr, weft_fiber **result,
                              int (*fn)(void *), void *arg, const void *site)
{
    struct wf_extra *extra = NULL;
    int error = wf_local_inherit(&extra);

    if (error == 0)
        error = spawn_with_extra(wf_self(), attr, result, fn, arg, site, extra);
    if (error != 0)
        wf_local_disinherit(extra);
    return error;
}

/* `site` is where the program calls us. */
static inline int spawn(const struct weft_fiber_attr *attr, weft_fiber **result, int (*fn)(void *),
                        void *arg, const void *site)
{
    struct wf_worker *self = wf_self();

    if (self == NULL)
        return -EPERM;
    if (WF_UNLIKELY(self->current->extra != NULL) && wf_local_has_heirs(self))
        return spawn_heir(attr, result, fn, arg, site);
    return spawn_with_extra(self, attr, result, fn, arg, site, NULL);
}

int wf_fiber_spawn_at(const struct weft_fiber_attr *attr, weft_fiber **fiber, int (*fn)(void *),
                      void *arg, const void *site)
{
    return spawn(attr, fiber, fn, arg, site);
}

int weft_spawn_with(const struct weft_fiber_attr *attr, weft_fiber **fiber, int (*fn)(void *),
                    void *arg)
{
    return spawn(attr, fiber, fn, arg, __builtin_return_address(0));
}

int weft_spawn(weft_fiber **fiber, int (*fn)(void *), void *arg)
{
    return spawn(NULL, fiber, fn, arg, __builtin_return_address(0));
}

static void finish_detached(struct wf_worker *self, struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = self->runtime;

    if (WF_LIKELY(!fiber->is_main)) {
        destroy(self, fiber);
        return;
    }
    fiber->is_main = false;
    runtime->main_result = fiber->result;
    destroy(self, fiber);
    if (wf_end_begin(runtime))
        wf_end_cancel(self, runtime);
}

void wf_fiber_finish(struct wf_worker *self, struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = self->runtime;

    if (WF_UNLIKELY(runtime->usage.sites != NULL))
        wf_usage_end(runtime, fiber);
    wf_san_fiber_end(&fiber->san);
    wf_count(&self->counters.fibers_finished, 1);
    if (wf_join_end(self, fiber))
        finish_detached(self, fiber);
    wf_end_check(self, runtime);
}

bool wf_fiber_interrupt_join(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)reason;
    return wf_join_take_out(waiter->place, waiter);
}

int wf_fiber_await_end(struct wf_worker *self, struct weft_fiber *fiber, weft_time deadline)
{
    return wf_join_await(self, fiber, deadline);
}

int weft_join(weft_fiber *fiber, int *result, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    int error;

    if (WF_UNLIKELY(!wf_worker_is_of(self, fiber->waiter.runtime)))
        return wf_fiber_join_outside(self, fiber, result, deadline);
    if (!wf_join_is_done(fiber)) {
        error = wf_join_await(self, fiber, deadline);
        if (error != 0)
            return error;
        self = wf_self();
    }
    if (result != NULL)
        *result = fiber->result;
    destroy(self, fiber);
    return 0;
}

void weft_detach(weft_fiber *fiber)
{
    struct wf_worker *self = wf_self();

    if (WF_UNLIKELY(!wf_worker_is_of(self, fiber->waiter.runtime))) {
        wf_fiber_detach_outside(fiber);
        return;
    }
    if (!wf_join_detach(fiber))
        destroy(self, fiber);
}

void weft_cancel(weft_fiber *fiber)
{
    struct wf_worker *self = wf_self();

    if (WF_UNLIKELY(!wf_worker_is_of(self, fiber->waiter.runtime))) {
        wf_fiber_cancel_outside(fiber);
        return;
    }
    /* WT.3 seq_cst: before our look whether it waits. */
    atomic_fetch_or_explicit(&fiber->cancelled, WF_CANCEL_FIBER, memory_order_seq_cst);
    wf_wait_cancel(self, &fiber->waiter);
}

bool weft_is_cancelled(void)
{
    struct wf_worker *self = wf_self();

    return wf_self_refusal(self) != 0;
}

bool weft_yield_if_due(void)
{
    struct wf_worker *self = wf_self();

    /* relaxed: a hint. */
    if (self == NULL || WF_LIKELY(atomic_load_explicit(&self->stuck, memory_order_relaxed) == 0))
        return false;
    /* relaxed: a hint; the monitor sets it anew if need be. */
    atomic_store_explicit(&self->stuck, 0, memory_order_relaxed);
    (void)weft_yield();
    return true;
}

weft_fiber *weft_self(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->current : NULL;
}

uint64_t weft_fiber_id(const weft_fiber *fiber)
{
    return fiber->id;
}

const char *weft_fiber_name(const weft_fiber *fiber)
{
    return fiber->name;
}

int weft_set_name(const char *name)
{
    struct wf_worker *self = wf_self();

    if (self == NULL)
        return -EPERM;
    set_name(self->current, name);
    return 0;
}
