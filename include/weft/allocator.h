/* SPDX-License-Identifier: MIT */
/* Where the library's own memory comes from.  Stacks are mappings, and come from the kernel. */
#ifndef WEFT_ALLOCATOR_H
#define WEFT_ALLOCATOR_H

#include "base.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An allocator of the program's own.  Both functions are called from any thread, from fibers too,
 * and must not suspend.
 */
struct weft_allocator {
    /* `size` bytes, not 0, at a multiple of `alignment`, a power of two; NULL when there are none.
     * They need not be zeroed. */
    void *(*alloc)(void *context, size_t size, size_t alignment);
    /* Takes back what `alloc` gave, `size` as it was then. */
    void (*free)(void *context, void *memory, size_t size);
    void *context;
    uint64_t reserved[5]; /* zero */
};

/*
 * Let the library take its memory from `allocator`, or, where that is NULL, from where it would
 * without this call: from jemalloc if the program has that (linked or preloaded), in an arena of
 * its own, and one more for each NUMA node where pinned workers are on several; else from malloc.
 * WEFT_ALLOCATOR in the environment overrides either: "system" is malloc, "jemalloc" is jemalloc or
 * no start.  `weft doctor` says which it is.
 *
 * The struct is copied.  The choice holds for the whole process.
 *
 * Returns   0, or a negative errno with nothing changed.
 * Context   any thread, while no other uses the library.
 * Switches  never.
 * Errors    -EBUSY (a runtime or another object of the library exists), -EINVAL (a null function,
 * or `reserved` is not zero).
 */
WEFT_API WEFT_MUST_USE int weft_set_allocator(const struct weft_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
