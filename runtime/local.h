/* SPDX-License-Identifier: MIT */
/*
 * Fiber-local values.  They lie in the fiber's extra (extra.h), or for a plain thread behind one
 * pthread key, and nobody else touches them: nothing here is atomic but the mark that tells a key
 * from one that was deleted.  Each slot keeps what it needs to know of its key, so that an end does
 * not have to look at keys that others may be deleting.
 */
#ifndef WF_RUNTIME_LOCAL_H
#define WF_RUNTIME_LOCAL_H

#include "arch/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct weft_fiber;
struct wf_extra;
struct wf_worker;

struct wf_local_slot {
    void *value;
    void (*destroy)(void *value); /* NULL: none, or the value is the spawner's */
    int (*copy)(void *value, void **copy);
    uint32_t generation; /* of the key that it was set by; 0: by none */
    bool is_inherited;   /* by children */
};

/* Zero is empty. */
struct wf_locals {
    struct wf_local_slot *slots; /* by the index of the key */
    uint32_t count;
    bool has_heirs; /* a slot was set that children inherit */
};

/* Calls the destructors of all values that are there now, and leaves values without one.  Returns
 * false if there were no destructors.
 * Caller: the fiber or thread that they belong to, which may come back on another worker. */
bool wf_local_destroy_round(struct wf_locals *locals);

/* Drops what is left. */
void wf_local_free(struct wf_locals *locals);

/* Forgets who is about to make a key.  Caller: the child of a fork(). */
void wf_local_forget_parent(void);

/* Whether a spawn by the caller has something to inherit; `self` is NULL for a plain thread. */
bool wf_local_has_heirs(struct wf_worker *self);

/*
 * Makes what a child of the caller inherits.  0, or -errno with nothing made; `*extra` is NULL if
 * there was nothing.  The program's copy functions may suspend: `self` is stale afterwards.
 */
WF_COLD int wf_local_inherit(struct wf_extra **extra);

/* The caller of the one before has made no child after all. */
WF_COLD void wf_local_disinherit(struct wf_extra *extra);

#endif
