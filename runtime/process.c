/* SPDX-License-Identifier: MIT */
/* See process.h. */
#include "runtime/process.h"

#include "arch/os.h"
#include "arch/tls.h"
#include "runtime/alloc.h"
#include "runtime/arena.h"
#include "runtime/generator.h"
#include "runtime/local.h"
#include "runtime/overflow.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/stall.h"

/* In the child of a fork().  If a fiber called it, the child's only thread still believes to be
 * that worker; and a lock may be held by a thread that the child does not have. */
static void forget_parent(void)
{
    wf_tls_set(NULL);
    wf_alloc_forget_parent();
    wf_arena_forget_parent();
    wf_generator_forget_parent();
    wf_local_forget_parent();
    wf_runtime_reset_stats();
    wf_stall_forget_parent();
    wf_overflow_forget_parent();
    wf_poller_forget_parent();
}

int wf_process_watch(void)
{
    return wf_os_process_watch(forget_parent);
}
