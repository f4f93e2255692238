/* SPDX-License-Identifier: MIT */
/*
 * The atomics seam.  Code declares WF_ATOMIC(type) and calls the C11 `_explicit` operations by
 * their standard names.  A model checker compiles the same headers as C++ with WF_MODEL defined
 * and its own meaning for all of these names.
 */
#ifndef WF_ARCH_ATOMIC_H
#define WF_ARCH_ATOMIC_H

#ifdef WF_MODEL
#include "model_atomic.h"
#else
#include <stdatomic.h>
#define WF_ATOMIC(type) _Atomic(type)
#endif

#endif
