/* SPDX-License-Identifier: MIT */
/* What the compiler offers beyond C11, under names of our own. */
#ifndef WF_ARCH_COMPILER_H
#define WF_ARCH_COMPILER_H

#include <stddef.h>

#define WF_LIKELY(x) __builtin_expect(!!(x), 1)
#define WF_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WF_NOINLINE __attribute__((noinline))
#define WF_INLINE static inline __attribute__((always_inline))
#define WF_COLD __attribute__((noinline, cold))
#define WF_MUST_USE __attribute__((warn_unused_result))
#define WF_NORETURN __attribute__((noreturn))
#define WF_PRINTF(string, first) __attribute__((format(printf, string, first)))

/* Two lines, not one: x86-64 fetches lines in pairs (Intel 64 optimisation manual, 2.1.5.4). */
#define WF_CACHE_ALIGNED __attribute__((aligned(128)))

#define WF_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
