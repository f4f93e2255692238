/* SPDX-License-Identifier: MIT */
#include "runtime/outside.h"

#include "arch/sim.h"
#include "runtime/chaos.h"
#include "runtime/model.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <errno.h>

#define AWAITED (UINT32_C(1) << 31) /* in `visitors`: somebody waits for it to reach zero */

bool wf_outside_is_child(const struct weft_runtime *runtime)
{
    return runtime->process != wf_os_process();
}

void wf_outside_enter(struct weft_runtime *runtime)
{
    if (WF_UNLIKELY(runtime->config.backend == WEFT_BACKEND_SIM) && !wf_sim_is_here())
        wf_panic("a thread that is not part of the simulation used its runtime, or woke one of "
                 "its fibers: simulated programs have no threads of their own");
    /* OS.2 acq_rel: the phase, if somebody has waited for visitors before. */
    uint32_t old = atomic_fetch_add_explicit(&runtime->visitors, 1, memory_order_acq_rel);

    WF_ASSERT((old & ~AWAITED) < AWAITED - 1);
}

void wf_outside_leave(struct weft_runtime *runtime)
{
    /* OS.1 acq_rel: we have done.  The runtime may be gone right after it: only the address is
     * used below, which a futex may be woken by at any time. */
    if (atomic_fetch_sub_explicit(&runtime->visitors, 1, memory_order_acq_rel) == (AWAITED | 1))
        wf_os_futex_wake(&runtime->visitors, INT32_MAX);
}

void wf_outside_await_leave(struct weft_runtime *runtime)
{
    /* OS.1 acq_rel: the visitors have done; OS.2: the phase for later ones. */
    uint32_t count = atomic_fetch_or_explicit(&runtime->visitors, AWAITED, memory_order_acq_rel);

    while ((count & ~AWAITED) != 0) {
        wf_os_futex_wait(&runtime->visitors, count | AWAITED, INT64_MAX);
        /* OS.1 acq_rel: as above. */
        count = atomic_fetch_or_explicit(&runtime->visitors, AWAITED, memory_order_acq_rel);
    }
}

/* The nearest sleeper, counting from the worker that ran the fiber last, where it is warm. */
static void wake_for(struct weft_runtime *runtime, uint32_t last_worker, uint32_t except)
{
    uint32_t count = runtime->worker_count;
    uint32_t first = last_worker < count ? last_worker : 0;

    for (uint32_t i = 0; i < count; i++) {
        struct wf_worker *worker = runtime->workers[(first + i) % count];

        if (worker->index != except && wf_worker_notify(NULL, worker))
            return;
    }
}

void wf_outside_push(struct weft_fiber *fiber)
{
    struct weft_runtime *runtime = fiber->waiter.runtime;
    uint32_t last_worker = fiber->last_worker;
    bool is_chaotic = runtime->is_chaotic;
    uint32_t except = is_chaotic ? wf_chaos_except(runtime, fiber) : UINT32_MAX;

    /* From here on the fiber may run, and end. */
    wf_inject_push(&runtime->inject, &fiber->node, &fiber->node, 1);
    /* In chaos the one that is awake may not take it. */
    if (WF_UNLIKELY(is_chaotic) || wf_park_all_asleep(&runtime->park))
        wake_for(runtime, last_worker, except);
}

void wf_outside_wake(struct wf_waiter *waiter, int result)
{
    struct weft_runtime *runtime = waiter->runtime;

    if (runtime == NULL) {
        wf_wait_wake_thread(waiter, result);
        return;
    }
    wf_outside_enter(runtime);
    if (wf_wait_make_ready(waiter, result))
        wf_outside_push(wf_fiber_of_waiter(waiter));
    wf_outside_leave(runtime);
}
