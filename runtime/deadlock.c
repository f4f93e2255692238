/* SPDX-License-Identifier: MIT */
#include "runtime/deadlock.h"

#include "arch/probe.h"
#include "runtime/balance.h"
#include "runtime/check.h"
#include "runtime/config.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/own.h"
#include "runtime/poller.h"
#include "runtime/scope.h"
#include "runtime/task.h"
#include "runtime/wait_internal.h"

#include <stdio.h>

enum {
    FIBERS_SHOWN = 16, /* guessed: what a person may read */
    DEPTH = 12,
};

/* What all workers have done so far, in numbers that only grow. */
struct progress {
    uint64_t turns;
    uint64_t under_way; /* operations */
    uint64_t alive;     /* fibers */
};

static struct progress progress_of(struct weft_runtime *runtime)
{
    struct progress progress = {.alive = wf_counter_read(&runtime->outside.fibers_spawned)};
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++) {
        struct wf_counters *counters = &runtime->workers[i]->counters;

        progress.turns += wf_counter_read(&counters->turns);
        progress.under_way += wf_counter_read(&counters->ops_submitted) -
                              wf_counter_read(&counters->ops_completed);
        progress.alive += wf_counter_read(&counters->fibers_spawned) -
                          wf_counter_read(&counters->fibers_finished);
    }
    return progress;
}

/* Asleep, not notified, with nothing in its queues that could make it go on. */
static bool is_at_rest(struct wf_worker *worker)
{
    /* relaxed: all of it is looked at twice, and nobody is left who could change it unseen. */
    return atomic_load_explicit(&worker->parker.state, memory_order_relaxed) ==
               WF_PARKER_SLEEPING &&
           /* relaxed: as above. */
           atomic_load_explicit(&worker->next, memory_order_relaxed) == NULL &&
           wf_own_backlog(worker) == 0 && !wf_wheel_is_armed(&worker->wheel) &&
           !wf_poller_needs_service(worker->poller);
}

static bool are_all_at_rest(struct weft_runtime *runtime)
{
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++)
        if (!is_at_rest(runtime->workers[i]))
            return false;
    return wf_inject_size(&runtime->inject) == 0;
}

/* How many threads the pool has; `*is_idle`: none of them has a call, or comes from one, but for
 * those that were left and wake nobody. */
static uint32_t pool_threads(struct wf_offload *offload, bool *is_idle)
{
    uint32_t threads;

    wf_lock_acquire(&offload->lock);
    threads = offload->threads;
    *is_idle = offload->queued == 0 && offload->spare + offload->left == threads;
    wf_lock_release(&offload->lock);
    return threads;
}

/* True if nothing of the runtime's own could spawn or wake: `*threads` are all that may be there.
 * These are the workers, the monitor, which is the caller, idle threads of the pool, and one that
 * waits for the end for good. */
static bool is_still(struct weft_runtime *runtime, uint32_t *threads)
{
    bool is_idle;

    if (!are_all_at_rest(runtime))
        return false;
    *threads = wf_runtime_crew(runtime) + 1 + pool_threads(&runtime->offload, &is_idle) + 1;
    return is_idle &&
           /* RT.5 seq_cst: after the monitor has said that it sleeps. */
           atomic_load_explicit(&runtime->awaited, memory_order_seq_cst) == WF_AWAITED_FOR_GOOD;
}

static void print_place(const char *what, const void *address)
{
    char place[512];

    wf_probe_describe(address, place, sizeof place);
    wf_complain("  %s%s", what, place);
}

struct report {
    struct weft_runtime *runtime;
    uint32_t shown;
};

/* Waits of the runtime's own are told by their functions; whom a fiber joins is named. */
static void print_wait(const struct weft_fiber *fiber)
{
    const struct wf_waiter *waiter = &fiber->waiter;
    struct wf_wait_target target;

    if (waiter->interrupt == wf_fiber_interrupt_join) {
        const struct weft_fiber *joined = waiter->place;

        wf_complain("fiber %lu \"%s\" waits for the end of fiber %lu \"%s\"",
                    (unsigned long)fiber->id, fiber->name, (unsigned long)joined->id, joined->name);
        return;
    }
    if (waiter->interrupt == wf_scope_interrupt_close)
        target = (struct wf_wait_target){"the members of the scope", waiter->place};
    else if (waiter->interrupt == wf_sleep_interrupt)
        target = (struct wf_wait_target){"the end of a sleep", NULL};
    else if (waiter->interrupt == wf_task_interrupt_join)
        target = (struct wf_wait_target){"the task", waiter->place};
    else if (!wf_wait_describe(waiter, &target))
        target = (struct wf_wait_target){"what has no name here", waiter->place};
    if (target.object != NULL)
        wf_complain("fiber %lu \"%s\" waits for %s at %p", (unsigned long)fiber->id, fiber->name,
                    target.kind, target.object);
    else
        wf_complain("fiber %lu \"%s\" waits for %s", (unsigned long)fiber->id, fiber->name,
                    target.kind);
}

static void print_fiber(struct wf_stack *stack, void *arg)
{
    struct weft_fiber *fiber = (struct weft_fiber *)(void *)stack;
    struct report *report = arg;
    void *addresses[DEPTH];
    void *frame;
    size_t depth;

    /* WT.2 acquire: its registers. */
    if (atomic_load_explicit(&fiber->waiter.state, memory_order_acquire) != WF_WAIT_WAITING ||
        report->shown++ >= FIBERS_SHOWN)
        return;
    print_wait(fiber);
    if (fiber->spawn_site != NULL)
        print_place("spawned at: ", fiber->spawn_site);
    addresses[0] = wf_context_where(&fiber->context, &frame);
    depth = 1 + wf_probe_walk(frame, wf_stack_bottom(&report->runtime->depot, stack), fiber,
                              addresses + 1, DEPTH - 1);
    for (size_t i = 0; i < depth; i++) {
        char number[16];

        snprintf(number, sizeof number, "#%zu ", i);
        print_place(number, addresses[i]);
    }
}

static void report(struct weft_runtime *runtime, uint64_t alive)
{
    struct report report = {runtime, 0};

    wf_complain("deadlock: %lu fibers wait, and nothing is left that could wake one; they are "
                "cancelled",
                (unsigned long)alive);
    if (alive > FIBERS_SHOWN)
        wf_complain("%d of them:", FIBERS_SHOWN);
    wf_stack_visit(&runtime->depot, print_fiber, &report);
}

bool wf_deadlock_look(struct weft_runtime *runtime)
{
    struct progress before = progress_of(runtime), after;
    uint32_t threads;

    if (runtime->config.deadlock != WF_DEADLOCK_REPORT || before.under_way != 0 ||
        before.alive == 0 || wf_runtime_is_ending(runtime) || !is_still(runtime, &threads))
        return false;
    if (!wf_os_thread_count_is(threads))
        return true;
    /* Whoever could have changed something since the first look, and is gone or asleep again.  Who
     * did so is looked at once more. */
    after = progress_of(runtime);
    if (after.turns != before.turns || after.under_way != 0 || after.alive != before.alive ||
        !is_still(runtime, &threads) || !wf_os_thread_count_is(threads))
        return true;
    report(runtime, after.alive);
    runtime->is_deadlocked = true;
    if (weft_stop(runtime) != 0)
        wf_complain("there is no memory to cancel them: they wait on");
    return false;
}
