/* SPDX-License-Identifier: MIT */
/*
 * The end of a runtime.  A shared counter of live fibers would be written by each spawn and each
 * end on each worker.  Instead each worker counts its own, and the sums are made only from the
 * beginning of the end on, when nothing is added but by those that have been counted.
 */
#include "runtime/end.h"

#include "runtime/model.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

static void cancel_visited(struct wf_stack *stack, void *arg)
{
    struct weft_fiber *fiber = (struct weft_fiber *)(void *)stack;

    wf_wait_cancel(arg, &fiber->waiter);
}

bool wf_end_begin(struct weft_runtime *runtime)
{
    uint32_t expected = WF_PHASE_RUNNING;

    /* RT.1 seq_cst: a fiber that parks from now on sees it, or is found waiting later; relaxed on
     * failure: somebody else has begun the end. */
    return atomic_compare_exchange_strong_explicit(&runtime->phase, &expected, WF_PHASE_ENDING,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

void wf_end_cancel(struct wf_worker *self, struct weft_runtime *runtime)
{
    wf_stack_visit(&runtime->depot, cancel_visited, self);
}

static uint64_t read_shared(WF_ATOMIC(uint64_t) * counter)
{
    /* RT.4 seq_cst: after our look at the phase. */
    return atomic_load_explicit(counter, memory_order_seq_cst);
}

/* True once every fiber has ended.  Only while the runtime is ending, when none can be added but
 * by one that is alive. */
static bool all_finished(struct weft_runtime *runtime)
{
    uint64_t finished, spawned = 0;
    uint32_t crew;

    /* RT.1 seq_cst: a read-modify-write, so that of two threads that have each counted a last
     * fiber, the second sees both counted. */
    (void)atomic_fetch_or_explicit(&runtime->phase, 0, memory_order_seq_cst);
    finished = read_shared(&runtime->refused);
    crew = wf_runtime_crew(runtime);
    for (uint32_t i = 0; i < crew; i++)
        finished += wf_counter_read(&runtime->workers[i]->counters.fibers_finished);
    /* Anew: a spare that has joined meanwhile may have spawned what others have finished. */
    crew = wf_runtime_crew(runtime);
    for (uint32_t i = 0; i < crew; i++)
        spawned += wf_counter_read(&runtime->workers[i]->counters.fibers_spawned);
    spawned += read_shared(&runtime->attempts);
    return finished == spawned;
}

void wf_end_check(struct wf_worker *self, struct weft_runtime *runtime)
{
    if (WF_LIKELY(!wf_runtime_is_ending(runtime)) || !all_finished(runtime))
        return;
    /* RT.1 seq_cst: before the look for sleepers. */
    atomic_store_explicit(&runtime->phase, WF_PHASE_DONE, memory_order_seq_cst);
    wf_os_futex_wake(&runtime->phase, INT32_MAX);
    wf_worker_notify_all(self, runtime);
}
