/* SPDX-License-Identifier: MIT */
/* Spawning for parts of the library that were called at `site`: what reports shall name. */
#ifndef WF_RUNTIME_SPAWN_H
#define WF_RUNTIME_SPAWN_H

#include <weft/fiber.h>
#include <weft/scope.h>

/* weft_spawn_with() */
int wf_fiber_spawn_at(const struct weft_fiber_attr *attr, weft_fiber **fiber, int (*fn)(void *),
                      void *arg, const void *site);

/* weft_scope_spawn() */
int wf_scope_spawn_at(weft_scope *scope, int (*fn)(void *), void *arg, const void *site);

#endif
