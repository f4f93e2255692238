/* SPDX-License-Identifier: MIT */
/*
 * Where the stacks of one group and one size lie: a shelf.
 *
 * A slab is a row of up to 64 stacks.  It knows which of them have been carved (their guard and
 * record made), which of these are free, and which of the free ones are cold: their pages have gone
 * back to the system.  A slab that is all free can be made bare: its pages, guards and page tables
 * go, only the address space stays.  Several slabs are mapped at once, as a chunk.
 *
 * Address space that has held a record is never unmapped while the depot exists.  Whoever looks at
 * a record too late finds the next fiber's, or zeros: a fiber that is READY and was never
 * cancelled, which nobody waits for.  (docs/adr/0019)
 *
 * All but the chunks' immutable fields are guarded by the lock of the shelf's group.
 *
 *   Edge   From                      To                        Promises
 *   SK.1   map: chunks release       find: chunks acquire      the chunk's fields
 */
#ifndef WF_RUNTIME_SLAB_H
#define WF_RUNTIME_SLAB_H

#include "arch/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_chunk;
struct wf_chunk_sheet;
struct wf_slab;
struct wf_stack;
struct wf_stack_depot;

enum wf_slab_list_name {
    WF_SLAB_UNLISTED, /* has no free stack, or is bare, or just loses its memory */
    WF_SLAB_WARM,     /* some stacks are free, and of these some are warm */
    WF_SLAB_COLD,     /* some stacks are free, all of them cold */
    WF_SLAB_EMPTY,    /* all stacks are free */
    WF_SLAB_LISTS,
};

/* Zeros are a bare slab: so its memory can go back as well. */
struct wf_slab {
    struct wf_slab *next, *previous;
    struct wf_chunk *chunk;
    uint64_t free;     /* a bit for each stack */
    uint64_t cold;     /* of the free ones */
    uint64_t mappings; /* of those that are carved: their guards are mappings */
    uint64_t canaries; /* they have canaries */
    uint8_t carved;
    uint8_t marked; /* as many have guard markers, also of those that are not carved yet; or 0 */
    uint8_t free_count;
    uint8_t warm_count; /* free and not cold */
    uint8_t list;       /* enum wf_slab_list_name */
};

struct wf_slab_list {
    struct wf_slab *first, *last;
};

struct wf_shelf {
    WF_ATOMIC(struct wf_chunk *) chunks; /* signal handlers read them without the lock */
    struct wf_chunk *with_bare;          /* chunks that have bare slabs */
    struct wf_slab *open;                /* has stacks that are not carved yet; or NULL */
    struct wf_slab_list lists[WF_SLAB_LISTS];
    uint32_t slab_count;
    /* What may go: slabs that are empty, warm stacks in others; the least that there were since the
     * last review; and how many of these it found to be too many. */
    uint32_t empty, empty_low, empty_excess;
    uint32_t warm, warm_low, warm_excess;
    WF_ATOMIC(uint32_t) count; /* free stacks; anyone may read it as a hint */
};

/* A stack that has been taken. */
struct wf_stack_place {
    struct wf_stack *stack;
    bool is_cold; /* its record has yet to be made, by wf_shelf_fill(), and the rest says what of */
    uint8_t index;
    uint8_t guard; /* enum wf_guard */
    struct wf_slab *slab;
};

uint32_t wf_shelf_count(struct wf_shelf *shelf);

/* Makes a stack that never was, whatever the limit.  Returns false when there is no memory.  Caller
 * holds the group's lock and the depot's. */
bool wf_shelf_carve(struct wf_stack_depot *depot, uint32_t group, unsigned size_class,
                    struct wf_stack_place *place);

/* Takes a free stack.  Caller holds the group's lock; the shelf has one. */
void wf_shelf_take(const struct wf_stack_depot *depot, struct wf_shelf *shelf,
                   struct wf_stack_place *place);

/* Makes the record of a stack that is cold.  Caller holds no lock: this costs a page fault, which
 * lasts for as long as the system likes, and the monitor waits for these locks. */
void wf_shelf_fill(const struct wf_stack_depot *depot, const struct wf_stack_place *place);

/* Caller holds the group's lock. */
void wf_shelf_give(struct wf_shelf *shelf, struct wf_stack *stack);

/* Decides how much of what was not needed since the last review has to go: half of it, or `all`.
 * Caller holds the group's lock. */
void wf_shelf_review(struct wf_shelf *shelf, bool all);

/* Gives some memory back, of one slab.  Returns false if the shelf keeps what it has.  Caller: the
 * one that trims the depot; takes the group's lock. */
bool wf_shelf_trim(struct wf_stack_depot *depot, uint32_t group, unsigned size_class);

void wf_shelf_unmap(struct wf_stack_depot *depot, struct wf_shelf *shelf);

/* Frees what describes the chunks.  Caller: the last user, who has unmapped all shelves. */
void wf_chunk_forget(struct wf_stack_depot *depot);

/* The record of the stack whose guard holds the address, or NULL.  Caller: anyone, at any time. */
const struct wf_stack *wf_shelf_find_guard(const struct wf_stack_depot *depot,
                                           struct wf_shelf *shelf, uintptr_t address);

/* Visits all stacks that are not free.  Caller holds the group's lock. */
void wf_shelf_visit(struct wf_stack_depot *depot, struct wf_shelf *shelf,
                    void (*visit)(struct wf_stack *, void *), void *arg);

#endif
