/* SPDX-License-Identifier: MIT */
/* What a program does with a scope: open, spawn, cancel, close. */
#include "runtime/scope.h"

#include "runtime/extra.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/outside.h"
#include "runtime/spawn.h"
#include "runtime/wait_internal.h"

#include <errno.h>

_Static_assert(sizeof(struct wf_scope) <= sizeof(struct weft_scope), "it fits, with room to grow");

static struct wf_scope *scope_of(const weft_scope *scope)
{
    return (struct wf_scope *)(uintptr_t)scope;
}

static void arm(struct wf_worker *self, struct wf_scope *scope, int64_t deadline)
{
    /* relaxed: the timer is not armed, or the deadline is a later one: see wf_scope_claim(). */
    int64_t old = atomic_load_explicit(&scope->deadline, memory_order_relaxed);
    bool is_armed = old != WEFT_FOREVER;

    if (is_armed && (deadline < old || deadline == WEFT_FOREVER)) {
        bool has_expired;

        wf_timer_cancel(&scope->timer);
        wf_lock_acquire(&scope->lock);
        has_expired = scope->has_expired;
        wf_lock_release(&scope->lock);
        if (has_expired)
            return; /* whoever claimed the timer may not have done with it yet */
        is_armed = false;
    }
    /* A timer would cancel it only when the worker next looks. */
    if (!is_armed && deadline != WEFT_FOREVER && deadline <= wf_os_now()) {
        wf_scope_cancel(self, scope, -ETIMEDOUT);
        deadline = WEFT_FOREVER; /* no timer is armed, so none has to be cancelled */
    }
    /* relaxed: as above. */
    atomic_store_explicit(&scope->deadline, deadline, memory_order_relaxed);
    if (is_armed || deadline == WEFT_FOREVER)
        return;
    wf_timer_arm(&self->wheel, &scope->timer, deadline);
    wf_count(&self->counters.timers_armed, 1);
}

static void enter(struct wf_worker *self, struct wf_scope *scope, bool is_shield)
{
    struct weft_fiber *fiber = self->current;
    struct wf_scope *outer = wf_scope_around(fiber);

    if (scope->state != WF_SCOPE_UNUSED)
        wf_panic("a scope that was used before is opened again: initialise it by WEFT_SCOPE_INIT");
    scope->owner = fiber;
    scope->runtime = self->runtime;
    scope->outer = outer;
    scope->is_shield = is_shield;
    scope->in_shield = is_shield || (outer != NULL && outer->in_shield);
    /* relaxed: the bit has been there since the fiber began. */
    scope->in_task_shield = (atomic_load_explicit(&fiber->cancelled, memory_order_relaxed) &
                             WF_CANCEL_TASK_SHIELD) != 0;
    scope->timer.kind = WF_TIMER_OF_SCOPE;
    /* relaxed: no timer is armed. */
    atomic_store_explicit(&scope->deadline, WEFT_FOREVER, memory_order_relaxed);
    scope->state = WF_SCOPE_OPEN;
    fiber->has_more = true;
    if (outer != NULL) {
        wf_lock_acquire(&outer->lock);
        scope->sibling = outer->nested;
        scope->sibling_link = &outer->nested;
        if (scope->sibling != NULL)
            scope->sibling->sibling_link = &scope->sibling;
        outer->nested = scope;
        if (!is_shield) {
            /* relaxed: see wf_scope_cancelled(). */
            atomic_store_explicit(&scope->cancelled, wf_scope_cancelled(outer),
                                  memory_order_relaxed);
        }
    }
    wf_scope_move(fiber, scope);
    if (outer != NULL)
        wf_lock_release(&outer->lock);
}

/* Closes it, unless it has got a member since the caller has looked: then it returns false. */
static bool leave_as_owner(struct wf_scope *scope)
{
    struct wf_scope *outer = scope->outer;

    if (outer != NULL)
        wf_lock_acquire(&outer->lock);
    /* Somebody may be cancelling it from outside, as a member: see cancel_outside(). */
    wf_lock_acquire(&scope->lock);
    if (WF_UNLIKELY(scope->members != 0)) {
        wf_lock_release(&scope->lock);
        if (outer != NULL)
            wf_lock_release(&outer->lock);
        return false;
    }
    if (outer != NULL) {
        *scope->sibling_link = scope->sibling;
        if (scope->sibling != NULL)
            scope->sibling->sibling_link = scope->sibling_link;
    }
    wf_scope_move(scope->owner, outer);
    scope->state = WF_SCOPE_CLOSED;
    wf_lock_release(&scope->lock);
    if (outer != NULL)
        wf_lock_release(&outer->lock);
    return true;
}

/* Takes the closer out, once, to cancel the scope.  A canceller of the scope may call this with its
 * lock, so we do without. */
bool wf_scope_interrupt_close(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct wf_scope *scope = (struct wf_scope *)waiter->place;
    struct wf_waiter *expected = waiter;

    (void)self;
    (void)reason;
    /* relaxed: taking it out publishes nothing; on failure the last member has it. */
    return wf_scope_cancelled(scope) == 0 &&
           atomic_compare_exchange_strong_explicit(&scope->closer, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Waits until the scope has no member.  Returns the worker that the caller then runs on. */
static struct wf_worker *await_members(struct wf_worker *self, struct wf_scope *scope)
{
    for (;;) {
        struct wf_waiter *waiter = wf_wait_begin(self, wf_scope_interrupt_close, scope);
        uint32_t members;

        wf_lock_acquire(&scope->lock);
        members = scope->members;
        if (members != 0) {
            /* relaxed: the lock publishes it. */
            atomic_store_explicit(&scope->closer, waiter, memory_order_relaxed);
        }
        wf_lock_release(&scope->lock);
        if (members == 0)
            return self;
        self = wf_wait_end(self, WEFT_FOREVER);
        if (waiter->result != 0)
            wf_scope_cancel(self, scope, waiter->result);
    }
}

int weft_scope_close(weft_scope *opaque, int result)
{
    struct wf_worker *self = wf_self();
    struct wf_scope *scope = scope_of(opaque);
    int refusal;

    if (scope->state == WF_SCOPE_UNUSED)
        return result;
    if (self == NULL || self->current != scope->owner)
        wf_panic("weft_scope_close: only the fiber that opened a scope closes it");
    if (wf_scope_around(self->current) != scope)
        wf_panic("weft_scope_close: fiber %lu \"%s\" has opened another scope since, or has closed "
                 "this one",
                 (unsigned long)self->current->id, self->current->name);
    refusal = wf_self_refusal(self);
    if (result < 0) {
        wf_lock_acquire(&scope->lock);
        wf_scope_note_failure(scope, result, self->current);
        wf_lock_release(&scope->lock);
    }
    if (result < 0 || refusal != 0)
        wf_scope_cancel(self, scope, refusal != 0 ? refusal : -ECANCELED);
    self = await_members(self, scope);
    /* relaxed: only we write it. */
    if (atomic_load_explicit(&scope->deadline, memory_order_relaxed) != WEFT_FOREVER)
        wf_timer_cancel(&scope->timer);
    /* The timer may have been expiring, or somebody outside cancels the scope. */
    while (!leave_as_owner(scope))
        self = await_members(self, scope);
    return scope->failure != 0 ? scope->failure : result;
}

static int open_scope(weft_scope *scope, weft_time deadline, bool is_shield)
{
    struct wf_worker *self = wf_self();

    if (self == NULL)
        return -EPERM;
    enter(self, scope_of(scope), is_shield);
    arm(self, scope_of(scope), deadline);
    return 0;
}

int weft_scope_open(weft_scope *scope, weft_time deadline)
{
    return open_scope(scope, deadline, false);
}

int weft_scope_open_shielded(weft_scope *scope, weft_time deadline)
{
    return open_scope(scope, deadline, true);
}

int64_t wf_self_deadline(struct wf_worker *self)
{
    const struct weft_fiber *fiber = self != NULL ? self->current : NULL;
    const struct wf_scope *scope = fiber != NULL ? wf_scope_around(fiber) : NULL;
    int64_t earliest = WEFT_FOREVER;

    while (scope != NULL && scope->owner == fiber) {
        /* relaxed: only we write it. */
        int64_t deadline = atomic_load_explicit(&scope->deadline, memory_order_relaxed);

        if (deadline < earliest)
            earliest = deadline;
        scope = scope->is_shield ? NULL : scope->outer;
    }
    return earliest;
}

int weft_scope_set_deadline(weft_scope *opaque, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct wf_scope *scope = scope_of(opaque);

    if (self == NULL)
        return -EPERM;
    if (scope->state != WF_SCOPE_OPEN)
        enter(self, scope, false);
    if (scope->owner != self->current)
        wf_panic("weft_scope_set_deadline: only the fiber that opened a scope sets its deadline");
    arm(self, scope, deadline);
    return 0;
}

/* `extra` is what the fiber inherits, or NULL. */
static inline int spawn_with_extra(struct wf_worker *self, struct wf_scope *scope,
                                   const struct weft_fiber_attr *attr, int (*fn)(void *), void *arg,
                                   const void *site, struct wf_extra *extra)
{
    struct weft_fiber *fiber;
    unsigned size_class;
    int error = wf_self_refusal(self);

    if (error != 0)
        return error;
    if (WF_UNLIKELY(scope->state != WF_SCOPE_OPEN))
        enter(self, scope, false);
    if (scope->runtime != self->runtime)
        wf_panic("weft_scope_spawn: the scope belongs to another runtime");
    error = wf_scope_cancelled(scope);
    if (error != 0)
        return error;
    size_class = wf_fiber_class(self->runtime, attr);
    if (size_class >= WF_STACK_CLASSES)
        return -EINVAL;
    error = wf_fiber_create_detached(self, size_class, attr != NULL ? attr->name : NULL, fn, arg,
                                     site, &fiber);
    if (error != 0)
        return error;
    if (extra != NULL)
        wf_extra_give(fiber, extra);
    wf_scope_join(scope, fiber);
    wf_worker_push_fresh(self, fiber);
    return 0;
}

static WF_COLD int spawn_heir(struct wf_scope *scope, const struct weft_fiber_attr *attr,
                              int (*fn)(void *), void *arg, const void *site)
{
    struct wf_extra *extra = NULL;
    int error = wf_local_inherit(&extra);

    if (error == 0)
        error = spawn_with_extra(wf_self(), scope, attr, fn, arg, site, extra);
    if (error != 0)
        wf_local_disinherit(extra);
    return error;
}

static inline int spawn(struct wf_scope *scope, const struct weft_fiber_attr *attr,
                        int (*fn)(void *), void *arg, const void *site)
{
    struct wf_worker *self = wf_self();

    if (self == NULL)
        return -EPERM;
    if (WF_UNLIKELY(self->current->extra != NULL) && wf_local_has_heirs(self))
        return spawn_heir(scope, attr, fn, arg, site);
    return spawn_with_extra(self, scope, attr, fn, arg, site, NULL);
}

int wf_scope_spawn_at(weft_scope *scope, int (*fn)(void *), void *arg, const void *site)
{
    return spawn(scope_of(scope), NULL, fn, arg, site);
}

int weft_scope_spawn(weft_scope *scope, int (*fn)(void *), void *arg)
{
    return spawn(scope_of(scope), NULL, fn, arg, __builtin_return_address(0));
}

int weft_scope_spawn_with(weft_scope *scope, const struct weft_fiber_attr *attr, int (*fn)(void *),
                          void *arg)
{
    return spawn(scope_of(scope), attr, fn, arg, __builtin_return_address(0));
}

void wf_scope_fail(weft_scope *opaque, int error)
{
    struct wf_worker *self = wf_self();
    struct wf_scope *scope = scope_of(opaque);

    wf_lock_acquire(&scope->lock);
    wf_scope_note_failure(scope, error, self->current);
    wf_lock_release(&scope->lock);
    wf_scope_cancel(self, scope, -ECANCELED);
}

static int cancel_as_member(void *arg)
{
    struct wf_scope *scope = (struct wf_scope *)arg;

    wf_scope_cancel(wf_self(), scope, -ECANCELED);
    wf_scope_drop(wf_self(), scope);
    return 0;
}

/* A plain thread must not cancel operations while it holds locks that a worker may wait for: see
 * wf_fiber_stop_outside(). */
static int cancel_outside(struct wf_worker *self, struct wf_scope *scope)
{
    struct weft_runtime *runtime = scope->runtime;
    bool is_needed;
    int error = 0;

    if (runtime == NULL)
        wf_panic("weft_scope_cancel: the scope was never opened");
    if (wf_outside_is_child(runtime))
        return -ECHILD;
    wf_outside_enter(runtime);
    wf_lock_acquire(&scope->lock);
    is_needed = scope->state == WF_SCOPE_OPEN && wf_scope_cancelled(scope) == 0;
    if (is_needed)
        scope->members++;
    wf_lock_release(&scope->lock);
    if (is_needed)
        error = wf_fiber_start_outside(runtime, "cancel", cancel_as_member, scope);
    if (error != 0)
        wf_scope_drop(self, scope);
    wf_outside_leave(runtime);
    return error == -ECANCELED ? 0 : error; /* that is: the end of the runtime cancels all */
}

int weft_scope_cancel(weft_scope *opaque)
{
    struct wf_worker *self = wf_self();
    struct wf_scope *scope = scope_of(opaque);

    /* It has a runtime once it has been opened; the state may be changing under its lock. */
    if (self != NULL && scope->runtime == NULL)
        enter(self, scope, false);
    if (!wf_worker_is_of(self, scope->runtime))
        return cancel_outside(self, scope);
    wf_scope_cancel(self, scope, -ECANCELED);
    return 0;
}

bool weft_scope_is_cancelled(const weft_scope *scope)
{
    return wf_scope_cancelled(scope_of(scope)) != 0;
}

const char *weft_scope_failed_name(const weft_scope *scope)
{
    return scope_of(scope)->failed_name;
}

uint64_t weft_scope_failed_id(const weft_scope *scope)
{
    return scope_of(scope)->failed_id;
}
