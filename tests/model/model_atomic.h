/* SPDX-License-Identifier: MIT */
/*
 * The atomics seam as the model checker sees it: the names of stdatomic.h over rl::atomic, whose
 * every operation is a point where another thread may run and where an old value may be read.
 *
 * What Relacy cannot see: loads that the hardware delays past a later operation of the same thread,
 * and a read-modify-write followed by a load that is carried out before it.  An order that forbids
 * only that (DQ.5, the load of RQ.2, the compare-and-swap of WT.3 in a park) has no mutant here.
 */
#ifndef WEFT_MODEL_ATOMIC_H
#define WEFT_MODEL_ATOMIC_H

#include <relacy/relacy.hpp>

/* Relacy takes these names from every file that is included after it. */
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

#define memory_order_relaxed rl::mo_relaxed
#define memory_order_acquire rl::mo_acquire
#define memory_order_release rl::mo_release
#define memory_order_acq_rel rl::mo_acq_rel
#define memory_order_seq_cst rl::mo_seq_cst

#define WF_ATOMIC(type) rl::atomic<type>

/* The place of each operation goes into the history that a failed model prints. */
#define atomic_init(object, value) model_atomic_init((object), (value), $)
#define atomic_load_explicit(object, order) (object)->load((order), $)
#define atomic_store_explicit(object, value, order) (object)->store((value), (order), $)
#define atomic_exchange_explicit(object, value, order) (object)->exchange((value), (order), $)
#define atomic_fetch_add_explicit(object, value, order) (object)->fetch_add((value), (order), $)
#define atomic_fetch_sub_explicit(object, value, order) (object)->fetch_sub((value), (order), $)
#define atomic_fetch_or_explicit(object, value, order) (object)->fetch_or((value), (order), $)
#define atomic_fetch_and_explicit(object, value, order) (object)->fetch_and((value), (order), $)
#define atomic_compare_exchange_strong_explicit(object, expected, value, success, failure) \
    model_compare_exchange<false>((object), (expected), (value), (success), (failure), $)
#define atomic_compare_exchange_weak_explicit(object, expected, value, success, failure) \
    model_compare_exchange<true>((object), (expected), (value), (success), (failure), $)

/* Together with the heavy barrier it does what two whole ones do: defined where that one is. */
void wf_barrier_light();

/* Destroys `object` when the memory around it goes: see model_heap.h. */
void model_heap_adopt(void *object, void (*destroy)(void *));

template <typename T> void model_destroy_atomic(void *object)
{
    static_cast<rl::atomic<T> *>(object)->~atomic();
}

/* Keeps the type of a value from being deduced: it is converted, as in C. */
template <typename T> struct model_identity {
    typedef T type;
};

template <typename T>
void model_atomic_init(rl::atomic<T> *object, typename model_identity<T>::type value,
                       rl::debug_info_param info)
{
    ::new (static_cast<void *>(object)) rl::atomic<T>();
    model_heap_adopt(object, model_destroy_atomic<T>);
    object->store(value, rl::mo_relaxed, info);
}

template <bool is_weak, typename T>
bool model_compare_exchange(rl::atomic<T> *object, T *expected,
                            typename model_identity<T>::type value, rl::memory_order success,
                            rl::memory_order failure, rl::debug_info_param info)
{
    return object->compare_exchange(rl::bool_t<is_weak>(), *expected, value, success, failure,
                                    info);
}

#endif
