/* SPDX-License-Identifier: MIT */
/*
 * jemalloc, by the names that are its own, as its manual has them.  Weak: they are null unless the
 * program has it.
 */
#ifndef WF_RUNTIME_JEMALLOC_H
#define WF_RUNTIME_JEMALLOC_H

#include <stdbool.h>
#include <stddef.h>

#define FROM_JEMALLOC extern __attribute__((weak, visibility("default")))
FROM_JEMALLOC void *mallocx(size_t size, int flags);
FROM_JEMALLOC void dallocx(void *memory, int flags);
FROM_JEMALLOC size_t sallocx(const void *memory, int flags);
FROM_JEMALLOC int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t size);

/* No thread cache: it would give memory of another arena, and keep memory for threads that end. */
enum {
    JEMALLOC_ALIGN_128 = 7, /* its logarithm */
    JEMALLOC_ZERO = 0x40,
    JEMALLOC_NO_CACHE = (-1 + 2) << 8,
    JEMALLOC_ARENA_SHIFT = 20,
};

/* extent_hooks_t: how an arena gets its memory from the system and gives it back. */
struct jemalloc_hooks {
    void *(*alloc)(struct jemalloc_hooks *hooks, void *wanted, size_t size, size_t alignment,
                   bool *zero, bool *commit, unsigned arena);
    void (*others[8])(void);
};

#endif
