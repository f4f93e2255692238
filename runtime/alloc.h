/* SPDX-License-Identifier: MIT */
/*
 * Memory for runtime objects.  With jemalloc it is asked by its own names (mallocx), which leaves
 * the program's malloc alone: the program chooses that by what it links.
 */
#ifndef WF_RUNTIME_ALLOC_H
#define WF_RUNTIME_ALLOC_H

#include <stddef.h>

/* Zeroed, aligned to a pair of cache lines; NULL when there is none.  `size` is not 0. */
void *wf_alloc(size_t size);

/* `memory` may be NULL. */
void wf_free(void *memory);

/* "jemalloc 5.3.0-..." or "system". */
const char *wf_alloc_name(void);

#endif
