/* SPDX-License-Identifier: MIT */
#include "runtime/arena.h"

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "arch/os.h"
#include "runtime/jemalloc.h"
#include "runtime/lock.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 64 }; /* guessed; workers of more share the arena that serves all */

struct node_arena {
    struct jemalloc_hooks hooks; /* immutable */
    unsigned node;               /* immutable */
    bool is_real;                /* immutable */
    unsigned arena;              /* immutable */
    WF_ATOMIC(int32_t) refusal;  /* [A] why its memory is not bound: -errno, 0 if it is */
};

static struct {
    struct wf_lock lock; /* guards the rest */
    bool is_made;
    unsigned shared;
    const struct jemalloc_hooks *usual; /* of an arena that has no other */
    unsigned count;
    struct node_arena nodes[NODES_MAX];
} state;

static bool is_here(void)
{
    return mallocx != NULL && dallocx != NULL && sallocx != NULL && mallctl != NULL;
}

int wf_arena_shared(unsigned *arena)
{
    size_t size = sizeof *arena;
    int error = 0;

    if (!is_here())
        return -ENOTSUP;
    wf_lock_acquire(&state.lock);
    if (!state.is_made && mallctl("arenas.create", &state.shared, &size, NULL, 0) == 0)
        state.is_made = true;
    if (state.is_made)
        *arena = state.shared;
    else
        error = -ENOMEM;
    wf_lock_release(&state.lock);
    return error;
}

/* An extent of its own for the arena: fresh memory, of which no page has been touched, so that all
 * of them will be on the node.  Caller: jemalloc, with locks of its own held. */
static void *alloc_extent(struct jemalloc_hooks *hooks, void *wanted, size_t size, size_t alignment,
                          bool *zero, bool *commit, unsigned arena)
{
    struct node_arena *own = WF_CONTAINER_OF(hooks, struct node_arena, hooks);
    void *memory = state.usual->alloc(hooks, wanted, size, alignment, zero, commit, arena);
    int error = memory != NULL ? wf_os_prefer_node(memory, size, own->node) : 0;

    /* relaxed: a report, of the last one if there are several. */
    if (error != 0)
        atomic_store_explicit(&own->refusal, error, memory_order_relaxed);
    return memory;
}

/* The hooks of every arena that was not given any: what alloc_extent() calls, and what does the
 * rest. */
static bool find_usual(void)
{
    size_t size = sizeof state.usual;
    char name[48];

    snprintf(name, sizeof name, "arena.%u.extent_hooks", state.shared);
    return state.usual != NULL || mallctl(name, (void *)&state.usual, &size, NULL, 0) == 0;
}

/* The caller holds the lock.  Returns NULL if there is none yet. */
static struct node_arena *find(unsigned node, bool is_real)
{
    for (unsigned i = 0; i < state.count; i++)
        if (state.nodes[i].node == node && state.nodes[i].is_real == is_real)
            return &state.nodes[i];
    return NULL;
}

/* The caller holds the lock. */
static struct node_arena *make(unsigned node, bool is_real)
{
    struct node_arena *made = &state.nodes[state.count];
    struct jemalloc_hooks *hooks = &made->hooks;
    size_t size = sizeof made->arena;
    int error;

    made->node = node;
    made->is_real = is_real;
    if (is_real && !find_usual())
        return NULL;
    if (is_real) {
        *hooks = *state.usual;
        hooks->alloc = alloc_extent;
        error = mallctl("arenas.create", &made->arena, &size, (void *)&hooks, sizeof hooks);
    } else {
        error = mallctl("arenas.create", &made->arena, &size, NULL, 0);
    }
    if (error != 0)
        return NULL;
    state.count++;
    return made;
}

int wf_arena_of_node(unsigned node, bool is_real, unsigned *arena)
{
    struct node_arena *found;
    int error = 0;

    wf_lock_acquire(&state.lock);
    found = find(node, is_real);
    if (found == NULL && state.count < NODES_MAX) {
        found = make(node, is_real);
        error = found != NULL ? 0 : -ENOMEM;
    }
    if (error == 0)
        *arena = found != NULL ? found->arena : state.shared;
    wf_lock_release(&state.lock);
    return error;
}

/* An arena that was just being made is made anew: that there is one more is written last. */
void wf_arena_forget_parent(void)
{
    /* relaxed: the child has one thread. */
    atomic_store_explicit(&state.lock.word, WF_LOCK_FREE, memory_order_relaxed);
}

void wf_arena_describe(unsigned node, bool is_real, char *text, size_t size)
{
    struct node_arena *found;
    int error;

    wf_lock_acquire(&state.lock);
    found = find(node, is_real);
    wf_lock_release(&state.lock);
    if (found == NULL) {
        snprintf(text, size, "that of all");
        return;
    }
    /* relaxed: a report. */
    error = atomic_load_explicit(&found->refusal, memory_order_relaxed);
    if (error != 0)
        snprintf(text, size, "arena %u, not bound (%s): memory lies where it is touched first",
                 found->arena, strerror(-error));
    else
        snprintf(text, size, "arena %u, %s", found->arena,
                 is_real ? "bound to the node" : "not bound: there is no such node here");
}
