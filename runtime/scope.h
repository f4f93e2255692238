/* SPDX-License-Identifier: MIT */
/*
 * Scopes: who belongs where, so that a cancel finds everybody whom it means.
 *
 * A fiber is always in one scope, the innermost around what it runs: the last one that it has
 * opened and not closed, else the one that it was spawned into, else the runtime's (NULL).  A scope
 * lists the fibers that were spawned into it and the scopes that were opened within it; those form
 * a tree, and whoever takes the locks of several takes the outer one first.
 *
 * Looks at a fiber's cancel are many and cancels are few, so the canceller does the work: it goes
 * down the tree and writes into the word `cancelled` of each fiber what its scope says.  A fiber's
 * word and its scope change under the lock of that scope, and under that of the one it moves to if
 * there is one.  So a canceller meets each fiber of the tree in exactly one scope.
 *
 * The hazard is the end.  The owner waits in close until no member is left, and may free the scope
 * right after that, so the last member touches nothing of it after its unlock: it has taken the
 * closer out before.  Who has to look at a scope for longer counts as a member meanwhile (the
 * expiry of its timer, a cancel from outside).  A closer is taken out of its place by whoever
 * exchanges `closer`: the last member, or a cancel, after which the closer cancels the scope by
 * itself and waits again.
 */
#ifndef WF_RUNTIME_SCOPE_H
#define WF_RUNTIME_SCOPE_H

#include "runtime/lock.h"
#include "runtime/timer.h"
#include "runtime/wait.h"

#include <weft/fiber.h>
#include <weft/scope.h>

enum wf_scope_state {
    WF_SCOPE_UNUSED, /* as WEFT_SCOPE_INIT leaves it */
    WF_SCOPE_OPEN,
    WF_SCOPE_CLOSED,
};

/*
 *   [I] immutable while it is open   [L] under `lock`   [A] atomic, any thread   [O] the owner
 */
struct wf_scope {
    struct wf_lock lock;
    uint32_t state;                        /* [L] enum wf_scope_state; only the owner changes it */
    WF_ATOMIC(int32_t) cancelled;          /* [L] writes; 0, -ECANCELED or -ETIMEDOUT */
    uint32_t members;                      /* [L] fibers, and whoever else needs it to stay */
    int32_t failure;                       /* [L] the error that close returns */
    bool is_echo;                          /* [L] `failure` is what the cancel made of a fiber */
    bool has_expired;                      /* [L] its timer has been claimed, once and for all */
    bool is_shield;                        /* [I] */
    bool in_shield;                        /* [I] it or one further out is a shield */
    bool in_task_shield;                   /* [I] the owner runs a task that was forked in one */
    struct weft_fiber *owner;              /* [I] */
    struct weft_runtime *runtime;          /* [I] */
    struct wf_scope *outer;                /* [I] */
    struct weft_fiber *fibers;             /* [L] first of a list */
    struct wf_scope *nested;               /* [L] first of a list */
    struct wf_scope *sibling;              /* under the lock of `outer` */
    struct wf_scope **sibling_link;        /* the same: what points to it */
    WF_ATOMIC(struct wf_waiter *) closer;  /* [A] NULL: it does not wait */
    WF_ATOMIC(int64_t) deadline;           /* [O] writes */
    struct wf_timer timer;                 /* [O] */
    uint64_t failed_id;                    /* [L] the fiber that `failure` came from */
    char failed_name[WEFT_FIBER_NAME_MAX]; /* [L] */
};

/* Cancels the scope and all within it, but not what is behind a shield.  Caller: a worker of its
 * runtime, while the scope is open. */
void wf_scope_cancel(struct wf_worker *self, struct wf_scope *scope, int reason);

/* 0, -ECANCELED or -ETIMEDOUT. */
static inline int32_t wf_scope_cancelled(const struct wf_scope *scope)
{
    /* relaxed: under the lock, or a hint: whoever cancels finds everybody by the lists. */
    return atomic_load_explicit(&scope->cancelled, memory_order_relaxed);
}

/* The scope that the fiber is in; NULL: the runtime's. */
struct wf_scope *wf_scope_around(const struct weft_fiber *fiber);

/* Moves the running fiber into another scope.  Caller has the locks of both, as far as they are not
 * NULL. */
void wf_scope_move(struct weft_fiber *fiber, struct wf_scope *scope);

/* Makes a fiber a member that is in no queue yet.  If the scope has been cancelled, so is the
 * fiber.
 */
void wf_scope_join(struct wf_scope *scope, struct weft_fiber *fiber);

/* Keeps the error, unless it keeps a better one.  Caller has the lock. */
void wf_scope_note_failure(struct wf_scope *scope, int error, const struct weft_fiber *fiber);

/* Counts one member less.  Caller: whoever was counted beside the fibers. */
void wf_scope_drop(struct wf_worker *self, struct wf_scope *scope);

/* Takes a fiber that ends out of the scope that it belongs to, if it belongs to one. */
void wf_scope_leave(struct wf_worker *self, struct weft_fiber *fiber);

/* Ends the wait of one who closes a scope, its place. */
bool wf_scope_interrupt_close(struct wf_worker *self, struct wf_waiter *waiter, int reason);

/* Aborts if the running fiber has left a scope open whose frame is gone. */
void wf_scope_check_closed(struct weft_fiber *fiber);

/* For the wheel: claims the timer of a scope, and does what its deadline asks for.  The second one
 * returns true if fibers may have become ready. */
enum wf_timer_claim wf_scope_claim(struct wf_timer *timer);
bool wf_scope_expire(struct wf_worker *self, struct wf_timer *timer);

#endif
