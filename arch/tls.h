/* SPDX-License-Identifier: MIT */
/*
 * The one thread-local variable of the runtime.
 *
 * A fiber can wake on another thread, so the address of a thread-local variable must not outlive
 * a switch.  Compilers assume the opposite: gcc 12 and clang 14 merge two reads of such an
 * address across an opaque call, and they see through a plain accessor function.  These accessors
 * are out of line and end in an empty asm statement, which makes each call a fresh read.
 */
#ifndef WF_ARCH_TLS_H
#define WF_ARCH_TLS_H

void *wf_tls_get(void);
void wf_tls_set(void *value);

#endif
