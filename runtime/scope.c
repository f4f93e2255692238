/* SPDX-License-Identifier: MIT */
/* See scope.h for the rules. */
#include "runtime/scope.h"

#include "runtime/model.h"
#include "runtime/wait_internal.h"

#include <errno.h>
#include <string.h>

struct wf_scope *wf_scope_around(const struct weft_fiber *fiber)
{
    /* relaxed: the fiber itself writes it; for others it counts only while they hold the lock of
     * the scope that they compare it with, which keeps the fiber in there or out of there. */
    return atomic_load_explicit(&fiber->scope, memory_order_relaxed);
}

/* What the scope says about the fibers right inside.  Caller has its lock. */
static uint32_t bits_of(const struct wf_scope *scope)
{
    int32_t reason = wf_scope_cancelled(scope);
    uint32_t bits = (scope->in_shield ? WF_CANCEL_SHIELD : 0) |
                    (scope->in_task_shield ? WF_CANCEL_TASK_SHIELD : 0);

    if (reason != 0)
        bits |= WF_CANCEL_SCOPE | (reason == -ETIMEDOUT ? WF_CANCEL_LATE : 0);
    return bits;
}

void wf_scope_move(struct weft_fiber *fiber, struct wf_scope *scope)
{
    uint32_t old = WF_CANCEL_SCOPE | WF_CANCEL_LATE | WF_CANCEL_SHIELD;
    uint32_t bits = scope != NULL ? bits_of(scope) & old : 0;

    /* relaxed: see wf_scope_around(). */
    atomic_store_explicit(&fiber->scope, scope, memory_order_relaxed);
    /* relaxed: the fiber runs, so nobody but itself judges it. */
    if ((atomic_load_explicit(&fiber->cancelled, memory_order_relaxed) & old) == bits)
        return;
    /* relaxed: as above. */
    atomic_fetch_and_explicit(&fiber->cancelled, ~old, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_fetch_or_explicit(&fiber->cancelled, bits, memory_order_relaxed);
}

/* Caller has the lock. */
static void poke(struct wf_worker *self, struct wf_scope *scope, struct weft_fiber *fiber)
{
    if (wf_scope_around(fiber) != scope)
        return; /* it is in a scope within this one, if that is cancelled too */
    /* WT.3 seq_cst: before our look whether it waits. */
    atomic_fetch_or_explicit(&fiber->cancelled, bits_of(scope), memory_order_seq_cst);
    wf_wait_cancel(self, &fiber->waiter);
}

/* Cancels the fibers right inside the scope.  Caller has the lock. */
static void mark(struct wf_worker *self, struct wf_scope *scope, int reason)
{
    /* relaxed: see wf_scope_cancelled(). */
    atomic_store_explicit(&scope->cancelled, reason, memory_order_relaxed);
    poke(self, scope, scope->owner);
    for (struct weft_fiber *fiber = scope->fibers; fiber != NULL; fiber = fiber->sibling)
        poke(self, scope, fiber);
}

/* Of a scope and its later siblings the first that a cancel of the outer one has to go into;
 * locked. Caller has the lock of the outer one. */
static struct wf_scope *first_to_mark(struct wf_scope *scope)
{
    while (scope != NULL && (scope->is_shield || wf_scope_cancelled(scope) != 0))
        scope = scope->sibling;
    if (scope != NULL)
        wf_lock_acquire(&scope->lock);
    return scope;
}

/* Goes down the tree and up again without recursion, since it may be deep, and holds the locks of
 * the scopes on the way: none of them can be closed meanwhile. */
void wf_scope_cancel(struct wf_worker *self, struct wf_scope *top, int reason)
{
    struct wf_scope *scope = top;

    wf_lock_acquire(&top->lock);
    if (top->state != WF_SCOPE_OPEN || wf_scope_cancelled(top) != 0) {
        wf_lock_release(&top->lock);
        return;
    }
    mark(self, top, reason);
    for (;;) {
        /* One that was cancelled before us has been gone into by somebody else, or will be: nobody
         * leaves it marked and its inside not, without holding its lock. */
        struct wf_scope *next = first_to_mark(scope->nested);

        while (next == NULL && scope != top) {
            struct wf_scope *outer = scope->outer;

            next = first_to_mark(scope->sibling);
            wf_lock_release(&scope->lock);
            scope = outer;
        }
        if (next == NULL)
            break;
        scope = next;
        mark(self, scope, reason);
    }
    wf_lock_release(&top->lock);
}

void wf_scope_note_failure(struct wf_scope *scope, int error, const struct weft_fiber *fiber)
{
    int32_t reason = wf_scope_cancelled(scope);
    bool is_echo = reason != 0 && (error == -ECANCELED || error == reason);

    if (scope->failure != 0 && (is_echo || !scope->is_echo))
        return;
    scope->failure = is_echo ? reason : error;
    scope->is_echo = is_echo;
    scope->failed_id = fiber->id;
    memcpy(scope->failed_name, fiber->name, sizeof scope->failed_name);
}

/* Caller has the lock; it wakes the waiter that is returned after it has released it, and touches
 * the scope no more. */
static struct wf_waiter *drop_member(struct wf_scope *scope)
{
    WF_ASSERT(scope->members > 0);
    if (--scope->members != 0)
        return NULL;
    /* relaxed: the lock has published the waiter's fields; an interrupter that takes it out first
     * leaves nothing to us. */
    return atomic_exchange_explicit(&scope->closer, NULL, memory_order_relaxed);
}

void wf_scope_drop(struct wf_worker *self, struct wf_scope *scope)
{
    struct wf_waiter *closer;

    wf_lock_acquire(&scope->lock);
    closer = drop_member(scope);
    wf_lock_release(&scope->lock);
    if (closer != NULL)
        wf_wake(self, closer, 0);
}

void wf_scope_join(struct wf_scope *scope, struct weft_fiber *fiber)
{
    fiber->has_more = true;
    fiber->sibling_link = &scope->fibers;
    wf_lock_acquire(&scope->lock);
    fiber->sibling = scope->fibers;
    if (fiber->sibling != NULL)
        fiber->sibling->sibling_link = &fiber->sibling;
    scope->fibers = fiber;
    scope->members++;
    /* relaxed: see wf_scope_around(). */
    atomic_store_explicit(&fiber->scope, scope, memory_order_relaxed);
    /* relaxed: it does not run yet. */
    atomic_store_explicit(&fiber->cancelled, bits_of(scope), memory_order_relaxed);
    wf_lock_release(&scope->lock);
}

void wf_scope_leave(struct wf_worker *self, struct weft_fiber *fiber)
{
    struct wf_scope *scope = wf_scope_around(fiber);
    struct wf_waiter *closer;

    if (scope == NULL)
        return;
    wf_lock_acquire(&scope->lock);
    if (fiber->result < 0) {
        wf_scope_note_failure(scope, fiber->result, fiber);
        if (wf_scope_cancelled(scope) == 0) {
            wf_lock_release(&scope->lock);
            wf_scope_cancel(self, scope, -ECANCELED); /* we are a member still */
            wf_lock_acquire(&scope->lock);
        }
    }
    *fiber->sibling_link = fiber->sibling;
    if (fiber->sibling != NULL)
        fiber->sibling->sibling_link = fiber->sibling_link;
    /* relaxed: see wf_scope_around(). */
    atomic_store_explicit(&fiber->scope, NULL, memory_order_relaxed);
    closer = drop_member(scope);
    wf_lock_release(&scope->lock);
    if (closer != NULL)
        wf_wake(self, closer, 0);
}

void wf_scope_check_closed(struct weft_fiber *fiber)
{
    struct wf_scope *scope = wf_scope_around(fiber);

    /* The frame is gone, but not yet the stack. */
    if (scope != NULL && scope->owner == fiber)
        wf_panic("fiber %lu \"%s\" has ended without closing a scope that it opened",
                 (unsigned long)fiber->id, fiber->name);
}

enum wf_timer_claim wf_scope_claim(struct wf_timer *timer)
{
    struct wf_scope *scope = WF_CONTAINER_OF(timer, struct wf_scope, timer);
    /* relaxed: the owner changes it to something earlier only after it has cancelled the timer; one
     * that is later may be seen late, by whoever extends a deadline at the moment when it passes.
     */
    int64_t deadline = atomic_load_explicit(&scope->deadline, memory_order_relaxed);

    if (deadline > wf_os_now()) {
        wf_timer_move(timer, deadline);
        return WF_TIMER_MOVED;
    }
    wf_lock_acquire(&scope->lock);
    scope->members++;
    scope->has_expired = true;
    wf_lock_release(&scope->lock);
    return WF_TIMER_CLAIMED;
}

bool wf_scope_expire(struct wf_worker *self, struct wf_timer *timer)
{
    struct wf_scope *scope = WF_CONTAINER_OF(timer, struct wf_scope, timer);

    wf_scope_cancel(self, scope, -ETIMEDOUT);
    wf_scope_drop(self, scope);
    return true;
}
