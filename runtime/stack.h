/* SPDX-License-Identifier: MIT */
/*
 * Stacks, carved from slabs and cached.
 *
 * A slab is one mapping of many stacks of one size.  Each stack has a guard page at its low end
 * and, at its high end, the record of whatever runs on it: a parked fiber touches that one page.
 * Records start at 16 different offsets from the page's end, so that the hot words of a thousand
 * fibers do not all fall into the same cache sets.
 *
 * Stacks given back go to the worker's own cache, last in first out, without a system call; what
 * exceeds the cache goes to the depot that all workers share.  There the workers of each group have
 * slabs and free stacks of their own: a stack lies in the memory of whoever touches it first, so it
 * goes back to the group that carved it, and workers take from their own group first, then from the
 * others, nearest first, before anything new is carved.
 *
 * What is not needed is given back to the system, by the monitor (trim.h); the address space stays
 * until the depot is destroyed, so the memory of a record stays a record: late readers may look at
 * its state (slab.h).
 */
#ifndef WF_RUNTIME_STACK_H
#define WF_RUNTIME_STACK_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/lock.h"
#include "runtime/slab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WF_STACK_SIZE_MIN = 16 * 1024,
    WF_STACK_CLASSES = 10, /* 16 KiB, 32 KiB, ... 8 MiB */
};

enum wf_guard {
    WF_GUARD_AUTO,
    WF_GUARD_MARKER,  /* a page-table marker, no mapping of its own */
    WF_GUARD_MAPPING, /* mprotect, limited by vm.max_map_count */
    WF_GUARD_CANARY,  /* some words at the low end, checked at each switch away from the stack */
};

/* The first member of the record that lives at the high end of the stack. */
struct wf_stack {
    struct wf_stack *next; /* whoever holds the stack: in a cache or in the depot */
    char *base;            /* immutable: the lowest address, guard included */
    struct wf_slab *slab;  /* immutable: that it lies in */
    uint8_t size_class;    /* immutable */
    uint8_t guard;         /* immutable: enum wf_guard */
    uint8_t index;         /* immutable: in its slab */
    uint32_t group;        /* immutable: that carved it */
};

/* What the workers of a group have in common. */
struct wf_stack_group {
    WF_CACHE_ALIGNED struct wf_lock lock; /* guards all that follows */
    struct wf_shelf shelves[WF_STACK_CLASSES];
};

struct wf_stack_depot {
    size_t record_size;            /* immutable: a multiple of 64 */
    size_t page_size;              /* immutable */
    uint32_t group_count;          /* immutable */
    const uint32_t *group_order;   /* immutable: a row for each group, nearest first */
    struct wf_stack_group *groups; /* immutable */

    uint64_t carved_limit; /* immutable: for carved_bytes */

    struct wf_lock lock;               /* guards all that follows; taken under a group's lock */
    struct wf_chunk_sheet *sheets;     /* what describes the chunks: see slab.c */
    enum wf_guard guard;               /* the form for the next stack */
    unsigned long mapping_quota;       /* stacks that may still be guarded by a mapping */
    bool has_complained;               /* that there are no more guard pages */
    uint64_t carved, carved_max;       /* stacks that there are, and were at most */
    uint64_t carved_bytes;             /* of those, guards left out */
    uint64_t unguarded, unguarded_max; /* of those, with canaries */
    uint64_t trimmed;                  /* stacks whose memory has been given back, each time */
    uint64_t mapped_bytes;
};

/* A worker's cache.  Only its worker touches it. */
struct wf_stack_cache {
    struct wf_stack *free[WF_STACK_CLASSES];
    uint32_t count[WF_STACK_CLASSES];
    uint32_t group; /* immutable: of its worker */
};

/* The size class that holds `size` bytes; WF_STACK_CLASSES when none does. */
unsigned wf_stack_class(size_t size);

/* What the stacks of a class hold: usable bytes and the record, without the guard. */
static inline size_t wf_stack_class_size(unsigned size_class)
{
    return (size_t)WF_STACK_SIZE_MIN << size_class;
}

/* `group_order` has a row of `group_count` entries for each group: all groups, nearest first,
 * itself at the front; it stays the caller's.  The struct is zeroed by the caller.  0 or -ENOMEM.
 */
int wf_stack_depot_init(struct wf_stack_depot *depot, size_t record_size, enum wf_guard guard,
                        uint32_t group_count, const uint32_t *group_order);

/* From now on stacks of `bytes` together at most are carved, but for those that are exempt. */
void wf_stack_depot_limit(struct wf_stack_depot *depot, uint64_t bytes);

/* Unmaps every slab.  Caller: the last user; a depot of zeros is destroyed already. */
void wf_stack_depot_destroy(struct wf_stack_depot *depot);

/* The form of guard that this kernel supports best. */
enum wf_guard wf_stack_guard_probe(void);

/* Returns a stack, whose record is as left behind, or zeros where there was none or its memory has
 * been given back; NULL when there is no memory.  Caller: the worker whose cache it is. */
struct wf_stack *wf_stack_alloc(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                                unsigned size_class);

/* The same, but where there is none it makes one beyond the limit. */
struct wf_stack *wf_stack_alloc_exempt(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                                       unsigned size_class);

/* Caller: the worker whose cache it is; nothing runs on the stack any more. */
void wf_stack_free(struct wf_stack_depot *depot, struct wf_stack_cache *cache,
                   struct wf_stack *stack);

/* Gives the stacks of the cache to the depot: `all`, or of each size half, those that have lain
 * there for longest.  Caller: the worker whose cache it is. */
void wf_stack_flush(struct wf_stack_depot *depot, struct wf_stack_cache *cache, bool all);

/* Decides what the depot gives back next: `all` that it has, or half of what has not been wanted
 * since the last review.  Caller: one at a time. */
void wf_stack_review(struct wf_stack_depot *depot, bool all);

/* Gives it back, of at most `limit` slabs: some 20 µs each.  Returns true if there may be more.
 * Caller: one at a time. */
bool wf_stack_trim(struct wf_stack_depot *depot, unsigned limit);

/* True if no free stack in the depot has any memory. */
bool wf_stack_is_trimmed(struct wf_stack_depot *depot);

/* For slab.c: makes the guard of the stack that the slab is to carve next, one of `end` that lie
 * `stride` bytes apart, and returns which form it has; counts a stack.  Caller holds the depot's
 * lock. */
enum wf_guard wf_stack_guard_next(struct wf_stack_depot *depot, struct wf_slab *slab, char *base,
                                  size_t stride, unsigned end);
void wf_stack_count_carved(struct wf_stack_depot *depot, unsigned size_class, enum wf_guard guard);
void wf_stack_write_canary(const struct wf_stack_depot *depot, const struct wf_stack *stack);

/* True unless the stack has a canary and something wrote over it. */
bool wf_stack_is_intact(const struct wf_stack_depot *depot, const struct wf_stack *stack);

/* The lowest usable address. */
static inline char *wf_stack_bottom(const struct wf_stack_depot *depot,
                                    const struct wf_stack *stack)
{
    return stack->base + depot->page_size;
}

/* The record of the stack whose guard page holds the address; NULL if none does.  Caller: anyone, a
 * signal handler too, while the depot exists. */
const struct wf_stack *wf_stack_find_guard(struct wf_stack_depot *depot, const void *address);

/* Calls visit(record, arg) for every stack that is not free in the depot, also for those in caches
 * that nobody uses.  Caller: anyone. */
void wf_stack_visit(struct wf_stack_depot *depot, void (*visit)(struct wf_stack *, void *),
                    void *arg);

#endif
