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
#include <stdbool.h>
#define WF_ATOMIC(type) _Atomic(type)
#ifdef WEFT_CHAOS_POINTS

/* Lets others come first, now and then; runtime/chaos.c implements it. */
extern WF_ATOMIC(bool) wf_atomic_delays;
void wf_atomic_delay(void);

/* The same in simulation only. */
void wf_atomic_point(void);

/* A compare-and-swap is where races are decided: in chaos mode it comes late. */
#define WF_ATOMIC_DELAY                                                                \
    (__builtin_expect(__atomic_load_n((bool *)&wf_atomic_delays, __ATOMIC_RELAXED), 0) \
         ? wf_atomic_delay()                                                           \
         : (void)0)
/* Where something is handed over: what is simulated can be left just before. */
#define WF_ATOMIC_POINT                                                                \
    (__builtin_expect(__atomic_load_n((bool *)&wf_atomic_delays, __ATOMIC_RELAXED), 0) \
         ? wf_atomic_point()                                                           \
         : (void)0)
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#ifdef __clang__
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_exchange_explicit(object, value, order) \
    (WF_ATOMIC_POINT, __c11_atomic_exchange(object, value, order))
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_compare_exchange_strong_explicit(object, expected, value, success, failure) \
    (WF_ATOMIC_DELAY,                                                                      \
     __c11_atomic_compare_exchange_strong(object, expected, value, success, failure))
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_compare_exchange_weak_explicit(object, expected, value, success, failure) \
    (WF_ATOMIC_DELAY, __c11_atomic_compare_exchange_weak(object, expected, value, success, failure))
#else
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_exchange_explicit(object, value, order) \
    (WF_ATOMIC_POINT, __atomic_exchange_n(object, value, order))
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_compare_exchange_strong_explicit(object, expected, value, success, failure) \
    (WF_ATOMIC_DELAY, __atomic_compare_exchange_n(object, expected, value, false, success, failure))
/* relaxed: a name; the order is that of the place that uses it. */
#define atomic_compare_exchange_weak_explicit(object, expected, value, success, failure) \
    (WF_ATOMIC_DELAY, __atomic_compare_exchange_n(object, expected, value, true, success, failure))
#endif
#endif
#endif

/* Half of a barrier, for who comes often; who comes seldom has the other half: wf_os_barrier().
 * GT.1 seq_cst: for the compiler; the processor sees nothing of it. */
#ifndef WF_MODEL
#define wf_barrier_light() atomic_signal_fence(memory_order_seq_cst)
#endif

#ifndef WF_ATOMIC_POINT
#define WF_ATOMIC_POINT ((void)0)
#endif

#endif
