/* SPDX-License-Identifier: MIT */
/* See tls.h for why these functions look the way they do. */
#include "arch/tls.h"

#include "arch/compiler.h"

#if defined(__x86_64__)
_Thread_local void *wf_tls_slot;
#else
static _Thread_local void *wf_tls_slot __attribute__((tls_model("initial-exec")));

WF_NOINLINE void *wf_tls_get(void)
{
    void *value = wf_tls_slot;

    __asm__ volatile("" : "+r"(value));
    return value;
}
#endif

WF_NOINLINE void wf_tls_set(void *value)
{
    wf_tls_slot = value;
    __asm__ volatile("" ::: "memory");
}
