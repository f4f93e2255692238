/* SPDX-License-Identifier: MIT */
/* A chunk: slabs that are mapped at once, in a row, and behind them what describes each.  And where
 * the stacks and their records lie in a slab.  For slab.c. */
#ifndef WF_RUNTIME_CHUNK_H
#define WF_RUNTIME_CHUNK_H

#include "runtime/stack.h"

#include <stddef.h>
#include <stdint.h>

enum {
    WF_SLAB_STACKS = 64,                  /* as many as a word has bits */
    WF_SLAB_BYTES_MAX = 16 * 1024 * 1024, /* fewer stacks in the slabs of the largest sizes */
    WF_SLAB_COLOURS = 16,
    WF_SLAB_COLOUR_BYTES = 64,
};

struct wf_chunk {
    struct wf_chunk *next;      /* immutable */
    char *base;                 /* immutable */
    struct wf_slab *slabs;      /* immutable; the array is at the end of the mapping */
    uint32_t slab_count;        /* immutable */
    uint16_t size_class;        /* immutable */
    uint32_t group;             /* immutable */
    uint64_t bare;              /* a bit for each slab */
    struct wf_chunk *next_bare; /* in shelf.with_bare */
};

static inline unsigned wf_chunk_stacks_per_slab(unsigned size_class)
{
    size_t size = wf_stack_class_size(size_class);

    return size * WF_SLAB_STACKS <= WF_SLAB_BYTES_MAX ? WF_SLAB_STACKS
                                                      : (unsigned)(WF_SLAB_BYTES_MAX / size);
}

/* A stack and its guard. */
static inline size_t wf_chunk_stride(const struct wf_stack_depot *depot, unsigned size_class)
{
    return wf_stack_class_size(size_class) + depot->page_size;
}

static inline size_t wf_chunk_slab_bytes(const struct wf_stack_depot *depot, unsigned size_class)
{
    return wf_chunk_stacks_per_slab(size_class) * wf_chunk_stride(depot, size_class);
}

static inline char *wf_chunk_slab_base(const struct wf_stack_depot *depot,
                                       const struct wf_slab *slab)
{
    const struct wf_chunk *chunk = slab->chunk;

    return chunk->base +
           (size_t)(slab - chunk->slabs) * wf_chunk_slab_bytes(depot, chunk->size_class);
}

static inline struct wf_stack *wf_chunk_record(const struct wf_stack_depot *depot, char *slab_base,
                                               unsigned size_class, unsigned index)
{
    char *top = slab_base + (index + 1) * wf_chunk_stride(depot, size_class);
    size_t colour = (size_t)(index % WF_SLAB_COLOURS) * WF_SLAB_COLOUR_BYTES;

    return (struct wf_stack *)(void *)(top - colour - depot->record_size);
}

static inline size_t wf_chunk_array_bytes(const struct wf_stack_depot *depot,
                                          const struct wf_chunk *chunk)
{
    size_t bytes = chunk->slab_count * sizeof *chunk->slabs;

    return (bytes + depot->page_size - 1) / depot->page_size * depot->page_size;
}

static inline size_t wf_chunk_bytes(const struct wf_stack_depot *depot,
                                    const struct wf_chunk *chunk)
{
    return chunk->slab_count * wf_chunk_slab_bytes(depot, chunk->size_class) +
           wf_chunk_array_bytes(depot, chunk);
}

#endif
