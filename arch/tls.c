/* SPDX-License-Identifier: MIT */
/* See tls.h for why these functions look the way they do. */
#include "arch/tls.h"

#include "arch/compiler.h"

/* initial-exec: one instruction instead of a call to __tls_get_addr() in the shared library.  Its
 * price, eight bytes of the static block, is within what dlopen() keeps in reserve. */
static _Thread_local void *slot __attribute__((tls_model("initial-exec")));

WF_NOINLINE void *wf_tls_get(void)
{
    void *value = slot;

    __asm__ volatile("" : "+r"(value));
    return value;
}

WF_NOINLINE void wf_tls_set(void *value)
{
    slot = value;
    __asm__ volatile("" ::: "memory");
}
