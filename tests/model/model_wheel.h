// SPDX-License-Identifier: MIT
// Real timers in a model: runtime/timer.c as it is, and no scope that has one.
#ifndef MODEL_WHEEL_H
#define MODEL_WHEEL_H

#include "model_lock.h"

#include <cstring>

#include "runtime/timer.c"

static inline void model_wheel_reset(wf_wheel *wheel)
{
    atomic_store_explicit(&wheel->lock.word, WF_LOCK_FREE, memory_order_relaxed);
    atomic_store_explicit(&wheel->count, 0, memory_order_relaxed);
    wheel->elapsed = 0;
    std::memset(wheel->occupied, 0, sizeof wheel->occupied);
    std::memset(wheel->slots, 0, sizeof wheel->slots);
    wheel->due = nullptr;
}

#endif
