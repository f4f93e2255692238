/* SPDX-License-Identifier: MIT */
/*
 * What parts of the library that spawn ask of fibers and scopes.  `site` is where the program has
 * called them: what reports shall name.
 */
#ifndef WF_RUNTIME_SPAWN_H
#define WF_RUNTIME_SPAWN_H

#include <weft/fiber.h>
#include <weft/scope.h>

/* weft_spawn_with() */
int wf_fiber_spawn_at(const struct weft_fiber_attr *attr, weft_fiber **fiber, int (*fn)(void *),
                      void *arg, const void *site);

/* weft_scope_spawn() */
int wf_scope_spawn_at(weft_scope *scope, int (*fn)(void *), void *arg, const void *site);

/*
 * Does now what the end of the running fiber would do, which returns `error`, a negative one: keeps
 * the failure and cancels the scope.  So what others make of it, when the fiber cleans up, is not
 * the first failure.  When this returns all that is inside is cancelled, whoever has done it.
 * Caller: a member of the scope.
 */
void wf_scope_fail(weft_scope *scope, int error);

#endif
