/* SPDX-License-Identifier: MIT */
/*
 * Memory for runtime objects.  It comes from the program's allocator if it has given one
 * (weft/allocator.h); else from jemalloc if the program has that, in an arena of the library's own;
 * else from malloc.  The library links none: docs/adr/0022 says why.
 */
#ifndef WF_RUNTIME_ALLOC_H
#define WF_RUNTIME_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed, aligned to a pair of cache lines; NULL when there is none.  `size` is not 0. */
void *wf_alloc(size_t size);

/* The same, but not zeroed: for buffers, which are long and are written before they are read. */
void *wf_alloc_unset(size_t size);

/* `memory` may be NULL; wherever it came from. */
void wf_free(void *memory);

/* Where a worker's objects lie: in the arena of its NUMA node.  wf_alloc() puts them there by
 * itself, for a worker that has a home. */
enum { WF_HOME_NONE = 0 };

/* Finds the home on a node, by the system's number: WF_HOME_NONE unless jemalloc is the allocator.
 * `is_real`: see arena.h.  It stays right for as long as the caller has any memory.  0 or -ENOMEM.
 */
int wf_alloc_find_home(unsigned node, bool is_real, uint32_t *home);

/* The same as wf_alloc(), for a worker that has this home. */
void *wf_alloc_at(size_t size, uint32_t home);

/* What this file asks of the workers: the caller's home, and to count what was allocated there. */
uint32_t wf_alloc_home(void);
void wf_alloc_count_home(void);

/* The same for what is large for a while: of a page and more, it goes back to the system when it is
 * freed, which an allocator may put off.  All of it lies with the program's allocator where there
 * is one.  The size is that of the allocation. */
void *wf_alloc_pages(size_t size);
void wf_free_pages(void *memory, size_t size);

/* Bytes that have been given and not got back, in the whole process. */
uint64_t wf_alloc_bytes(void);

/* "jemalloc 5.3.0-..., arena 9", "malloc" or "the program's". */
void wf_alloc_describe(char *text, size_t size);

/* Reads WEFT_ALLOCATOR.  0; -EINVAL or -ENOTSUP after a line that says what is wrong. */
int wf_alloc_check(void);

/* A program's allocator: a null `alloc` means none. */
struct wf_allocator {
    void *(*alloc)(void *context, size_t size, size_t alignment);
    void (*free)(void *context, void *memory, size_t size);
    void *context;
};

/* 0; -EBUSY while memory of the one before is in use. */
int wf_alloc_set(const struct wf_allocator *allocator);

/* Forgets who is about to choose.  Caller: the child of a fork(). */
void wf_alloc_forget_parent(void);

#endif
