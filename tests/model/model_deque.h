// SPDX-License-Identifier: MIT
// What the models of runtime/deque.h, and of the queues made of it, have in common.
#ifndef MODEL_DEQUE_H
#define MODEL_DEQUE_H

#include "runtime/deque.h"

#include "model.h"

void *wf_alloc_pages(size_t size)
{
    return model_alloc(size);
}

void wf_free_pages(void *memory, size_t size)
{
    (void)size;
    model_free(memory);
}

// As zeroed memory has it.
static inline void model_deque_zero(wf_deque *deque)
{
    atomic_store_explicit(&deque->top, 0, memory_order_relaxed);
    atomic_store_explicit(&deque->bottom, 0, memory_order_relaxed);
    atomic_store_explicit(&deque->excess, 0, memory_order_relaxed);
    deque->retired = nullptr;
}

#endif
