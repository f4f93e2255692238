/* SPDX-License-Identifier: MIT */
/*
 * How much of their stacks fibers use, where `stack_usage` asks for it.
 *
 * A stack is painted before its fiber runs, and looked at from its low end when the fiber has
 * ended: what is no longer paint was used.  The most is kept for each place that spawns.
 */
#ifndef WF_RUNTIME_USAGE_H
#define WF_RUNTIME_USAGE_H

#include "arch/compiler.h"
#include "runtime/lock.h"

#include <stddef.h>
#include <stdint.h>

struct weft_fiber;
struct weft_runtime;

/* One for each place that spawns and each size. */
struct wf_usage_site {
    const void *address; /* NULL: the first fiber's */
    uint64_t fibers;     /* that have ended; 0: the entry is unused */
    size_t most;         /* bytes */
    unsigned stack_class;
};

struct wf_usage {
    struct wf_usage_site *sites; /* immutable; NULL: nothing is measured */
    struct wf_lock lock;         /* guards the entries and the next */
    uint64_t left_out;           /* fibers of places that there was no room for */
};

/* 0 or -ENOMEM.  Caller: whoever creates the runtime, and destroys it. */
int wf_usage_create(struct weft_runtime *runtime);
void wf_usage_destroy(struct weft_runtime *runtime);

/* Caller: the spawner, before the fiber can run; the worker that ran it, after its last switch. */
WF_COLD void wf_usage_begin(struct weft_runtime *runtime, struct weft_fiber *fiber);
WF_COLD void wf_usage_end(struct weft_runtime *runtime, const struct weft_fiber *fiber);

#endif
