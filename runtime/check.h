/* SPDX-License-Identifier: MIT */
/*
 * Assertions.  WF_ASSERT stays on in every build: it guards rules that cost a compare to check and
 * hours to debug.  WF_CHECK is for checks that cost more, on from level 2 (debug and sanitizers).
 */
#ifndef WF_RUNTIME_CHECK_H
#define WF_RUNTIME_CHECK_H

#include "arch/compiler.h"

#ifndef WF_CHECK_LEVEL
#define WF_CHECK_LEVEL 0
#endif

/* Prints "weft: " and the message on standard error and aborts.  For broken rules of the public
 * interface, where the message names the rule, and for broken invariants of our own. */
WF_NORETURN WF_COLD void wf_panic(const char *format, ...) WF_PRINTF(1, 2);

/* Prints "weft: " and the message on standard error. */
WF_COLD void wf_complain(const char *format, ...) WF_PRINTF(1, 2);

/* 0, or -ENOTSUP and a line that says why: the calling thread has a shadow stack, with which the
 * first fiber that is resumed would kill the program. */
int wf_check_shadow_stack(void);

#define WF_ASSERT(condition)                                                         \
    do {                                                                             \
        if (WF_UNLIKELY(!(condition)))                                               \
            wf_panic("%s:%d: broken invariant: %s", __FILE__, __LINE__, #condition); \
    } while (0)

#if WF_CHECK_LEVEL >= 2
#define WF_CHECK(condition) WF_ASSERT(condition)
#else
#define WF_CHECK(condition) ((void)sizeof(condition))
#endif

#endif
