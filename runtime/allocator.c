/* SPDX-License-Identifier: MIT */
#include "runtime/alloc.h"

#include <errno.h>
#include <weft/allocator.h>

int weft_set_allocator(const struct weft_allocator *allocator)
{
    struct wf_allocator given = {0};

    if (allocator != NULL) {
        if (allocator->alloc == NULL || allocator->free == NULL)
            return -EINVAL;
        for (size_t i = 0; i < sizeof allocator->reserved / sizeof *allocator->reserved; i++)
            if (allocator->reserved[i] != 0)
                return -EINVAL;
        given.alloc = allocator->alloc;
        given.free = allocator->free;
        given.context = allocator->context;
    }
    return wf_alloc_set(&given);
}
