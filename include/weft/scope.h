/* SPDX-License-Identifier: MIT */
/*
 * Scopes: fibers that belong together, and end together.
 *
 *   weft_scope clients = WEFT_SCOPE_INIT;
 *   ...
 *   error = weft_scope_spawn(&clients, serve, arg);         as often as needed
 *   ...
 *   return weft_scope_close(&clients, result);              waits for all of them
 *
 * A scope lies in the frame of the fiber that opens it, its owner; the first use opens it.  Fibers
 * spawned into it are its members, and none outlives it: weft_scope_close() waits for them whatever
 * happens.  From its opening to its close the owner is inside as well.  Scopes nest: one that is
 * opened inside another, by its owner or by a member, is inside it.
 *
 * A scope is cancelled by the first member that returns a negative result, by weft_scope_cancel(),
 * or by its deadline.  From then on every call inside it that may suspend fails, as in a fiber that
 * was cancelled, until the scope is closed: with -ECANCELED, or with -ETIMEDOUT if it was the
 * deadline.  What lies further out does not notice.  A shield is a scope that keeps away from what
 * is inside it every cancel that comes from outside, also those of weft_cancel() and of the end of
 * the runtime: for cleaning up, with a deadline of its own.
 *
 * weft_spawn() makes fibers that belong to no scope but the runtime, which cancels and awaits them
 * at its end.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_fiber_attr;

/* The contents are the library's.  It must not move while it is open. */
typedef struct weft_scope {
    uint64_t reserved[32];
} weft_scope;

#define WEFT_SCOPE_INIT \
    {                   \
        {               \
            0           \
        }               \
    }

/*
 * Open a scope, with a deadline for all that is inside.  Only a scope with a deadline needs it: any
 * other is opened by its first weft_scope_spawn() or weft_scope_cancel().
 *
 * When the deadline has passed the scope is cancelled: calls inside fail with -ETIMEDOUT.  So of
 * the deadlines of a call and of the scopes around it the earliest counts.  With one that has
 * passed already the scope is cancelled from the start.
 *
 * Returns   0, also if the deadline has passed; or -EPERM.
 * Deadline  absolute; WEFT_FOREVER for none.
 * Context   fiber, which becomes the owner.  Aborts if the scope is open, or closed and not
 *           initialised again.
 * Switches  never.
 * Errors    -EPERM (plain thread).
 */
WEFT_API int weft_scope_open(weft_scope *scope, weft_time deadline);

/*
 * The same for a shield: what is inside is cancelled by its own deadline, by its own members and by
 * weft_scope_cancel() of itself, but by nothing further out.
 *
 * Returns   0, or -EPERM.
 * Deadline  absolute; with WEFT_FOREVER the end of the runtime waits for as long as it takes.
 * Context   fiber, which becomes the owner.  Aborts if the scope is open, or closed and not
 *           initialised again.
 * Switches  never.
 * Errors    -EPERM (plain thread).
 */
WEFT_API int weft_scope_open_shielded(weft_scope *scope, weft_time deadline);

/*
 * Give the scope another deadline.  One that is later than the one before costs a few instructions:
 * the timer finds out when it expires.  So each request can extend an idle timeout.  One that is
 * earlier and has passed already cancels the scope at once.  A scope that its deadline has
 * cancelled stays so.
 *
 * Returns   0, or -EPERM.
 * Deadline  absolute; WEFT_FOREVER for none.
 * Context   the owner, any other fiber aborts; opens the scope if need be.
 * Switches  never.
 * Errors    -EPERM (plain thread).
 */
WEFT_API int weft_scope_set_deadline(weft_scope *scope, weft_time deadline);

/*
 * Make a fiber that belongs to the scope.  Nobody has a handle to it; its result counts for the
 * scope: a negative one is a failure, which cancels the scope.
 *
 * Returns   0, or a negative errno with nothing created.
 * Context   the owner; a fiber inside the scope; or a fiber of the same runtime that knows in
 *           another way that the owner does not close the scope meanwhile.  Aborts if the scope has
 *           been closed.
 * Switches  never.
 * Cancel    -ECANCELED, at once, of the caller or of the scope.
 * Errors    those of weft_spawn(), -ECANCELED or -ETIMEDOUT also if the scope is cancelled.
 */
WEFT_API int weft_scope_spawn(weft_scope *scope, int (*fn)(void *), void *arg);

/*
 * weft_scope_spawn() with attributes; a null `attr` means the defaults.
 *
 * Returns   0, or a negative errno with nothing created.
 * Context   as weft_scope_spawn().
 * Switches  never.
 * Errors    those of weft_scope_spawn().
 */
WEFT_API int weft_scope_spawn_with(weft_scope *scope, const struct weft_fiber_attr *attr,
                                   int (*fn)(void *), void *arg);

/*
 * Ask all that is inside the scope to end, nested scopes included, unless they are shields.
 *
 * A fiber that cancels a scope which nobody has opened becomes its owner by that.  From elsewhere
 * than a fiber of its runtime it takes a fiber, which does it, whatever max_fibers and
 * max_stack_memory_mib say.
 *
 * Returns   0, also if it was cancelled before or is closed; or a negative errno.
 * Context   any fiber, any thread that knows that the owner keeps the scope in memory meanwhile.  A
 *           plain thread owns no scope: one that nobody has opened yet aborts.
 * Switches  never.
 * Errors    -ENOMEM (the system has no memory for that fiber), -ECHILD (in a child of the process
 *           that started the runtime).
 */
WEFT_API int weft_scope_cancel(weft_scope *scope);

/*
 * Whether the scope is cancelled: by a failure, by weft_scope_cancel(), by its deadline, or with a
 * scope around it.
 *
 * Returns   true once it is, also after the close.
 * Context   any.
 * Switches  never.
 */
WEFT_API bool weft_scope_is_cancelled(const weft_scope *scope);

/*
 * Wait until every member has ended, and close the scope.
 *
 * `result` is how the owner itself fared.  A negative one is a failure like that of a member.  Of
 * several failures the first one comes back, and one that is not just the answer to the cancel
 * before one that is.
 *
 * Returns   the failure, or `result` if there was none.
 * Context   the owner, any other fiber aborts.  Of several open scopes the one opened last comes
 *           first.  A scope that was never opened returns `result`.
 * Switches  yes, unless all members have ended.
 * Cancel    cancels the scope and waits on: no member outlives it.
 * Errors    whatever the members return, -ECANCELED, -ETIMEDOUT (the deadline of the scope).
 */
WEFT_API int weft_scope_close(weft_scope *scope, int result);

/*
 * The name of the fiber whose failure weft_scope_close() has returned.
 *
 * Returns   the name; "" if the fiber has none or nothing has failed.  Valid as long as the scope.
 * Context   the owner, after the close.
 * Switches  never.
 */
WEFT_API const char *weft_scope_failed_name(const weft_scope *scope);

/*
 * The number of that fiber: weft_fiber_id().
 *
 * Returns   the number; 0 if nothing has failed.
 * Context   the owner, after the close.
 * Switches  never.
 */
WEFT_API uint64_t weft_scope_failed_id(const weft_scope *scope);

/*
 * Have `fn(arg)` called when the function of the calling fiber has returned, on every way out, the
 * last one deferred first.  It runs in that fiber and may suspend; in a cancelled one it needs a
 * shield to wait.  A generator, which runs as a part of the fiber that asks, has defers of its own:
 * weft_generator_defer().
 *
 * Returns   0, or a negative errno: it will not be called.
 * Context   fiber.
 * Switches  never.
 * Errors    -ENOMEM, -EPERM (plain thread).
 */
WEFT_API WEFT_MUST_USE int weft_defer(void (*fn)(void *), void *arg);

#ifdef __cplusplus
}
#endif

#endif
