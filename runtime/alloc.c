/* SPDX-License-Identifier: MIT */
#include "runtime/alloc.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 128

#if defined(WF_ALLOCATOR_JEMALLOC) && WF_ALLOCATOR_JEMALLOC
#include <jemalloc/jemalloc.h>

void *wf_alloc(size_t size)
{
    return mallocx(size, MALLOCX_ALIGN(ALIGNMENT) | MALLOCX_ZERO);
}

void wf_free(void *memory)
{
    if (memory != NULL)
        dallocx(memory, 0);
}

const char *wf_alloc_name(void)
{
    return "jemalloc " JEMALLOC_VERSION;
}

#else

void *wf_alloc(size_t size)
{
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, rounded);

    if (memory != NULL)
        memset(memory, 0, rounded);
    return memory;
}

void wf_free(void *memory)
{
    free(memory);
}

const char *wf_alloc_name(void)
{
    return "system";
}

#endif
