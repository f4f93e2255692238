/* SPDX-License-Identifier: MIT */
/*
 * The one thread-local variable of the runtime.
 *
 * A fiber can wake on another thread, so the address of a thread-local variable must not outlive
 * a switch.  Compilers assume the opposite: gcc 12 and clang 14 merge two reads of such an
 * address across an opaque call, and they see through a plain accessor function.  So on x86-64,
 * where one instruction can read what lies at an offset from the thread's register, that
 * instruction is written out; elsewhere the accessor is out of line and ends in an empty asm
 * statement.  Either makes each call a fresh read.
 */
#ifndef WF_ARCH_TLS_H
#define WF_ARCH_TLS_H

#if defined(__x86_64__) && !defined(WF_MODEL)
#include "arch/compiler.h"

/* initial-exec: no call to __tls_get_addr() in the shared library.  Its price, eight bytes of the
 * static block, is within what dlopen() keeps in reserve. */
extern _Thread_local void *wf_tls_slot
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

WF_INLINE void *wf_tls_get(void)
{
    void *value;

    /* The offset is the same in all threads, and what held it holds the value afterwards. volatile,
     * and memory: neither merged with another read, nor moved over a switch.  An index in place of
     * the base, since scripts/tls-lint knows this read by that. */
    __asm__ volatile("mov wf_tls_slot@gottpoff(%%rip), %0\n\t"
                     "mov %%fs:(,%0,1), %0"
                     : "=r"(value)
                     :
                     : "memory");
    return value;
}
#else
void *wf_tls_get(void);
#endif

void wf_tls_set(void *value);

#endif
