/* SPDX-License-Identifier: MIT */
#include "runtime/trim.h"

#include "runtime/model.h"

enum {
    REVIEW_MS = 50,  /* halving, a million stacks are gone after a second */
    SLABS_MAX = 64,  /* at a time: about a millisecond */
    CHANGES_MIN = 16 /* spawns and ends that make it worth waking a worker */
};

static void ask(struct wf_worker *worker, enum wf_trim_request request)
{
    /* relaxed: a request; the worker finds it at one of its next looks. */
    atomic_store_explicit(&worker->trim, request, memory_order_relaxed);
}

/* Whether another worker may look at our queues. */
static bool is_looked_at(struct wf_worker *self)
{
    uint32_t crew = wf_runtime_crew(self->runtime);

    for (uint32_t i = 0; i < crew; i++)
        if (i != self->index && wf_thief_looks(&self->runtime->workers[i]->thief))
            return true;
    return false;
}

static void trim_queues(struct wf_worker *self, bool all)
{
    bool may_free;

    wf_deque_trim(&self->fresh, all);
    wf_deque_trim(&self->ready.queue, all);
    may_free = !is_looked_at(self);
    wf_deque_clean(&self->fresh, may_free, all);
    wf_deque_clean(&self->ready.queue, may_free, all);
}

void wf_trim_serve(struct wf_worker *self)
{
    uint32_t request;

    /* relaxed: a request; it can wait for the next look. */
    if (WF_LIKELY(atomic_load_explicit(&self->trim, memory_order_relaxed) == WF_TRIM_NOTHING))
        return;
    /* relaxed: as above. */
    request = atomic_exchange_explicit(&self->trim, WF_TRIM_NOTHING, memory_order_relaxed);
    wf_stack_flush(&self->runtime->depot, &self->stacks, request == WF_TRIM_ALL);
    trim_queues(self, request == WF_TRIM_ALL);
}

void wf_trim_all(struct wf_worker *self)
{
    ask(self, WF_TRIM_ALL);
    wf_trim_serve(self);
}

bool wf_trim_is_wanted(struct weft_runtime *runtime)
{
    /* DM.1 seq_cst: after the announcement of the sleep. */
    return atomic_load_explicit(&runtime->monitor.trim.is_wanted, memory_order_seq_cst) != 0;
}

void wf_trim_demand(struct weft_runtime *runtime)
{
    /* DM.1 seq_cst: before our look whether the monitor sleeps. */
    atomic_store_explicit(&runtime->monitor.trim.is_wanted, 1, memory_order_seq_cst);
    wf_monitor_rouse(&runtime->monitor);
}

/* How much a worker must have done since it was last asked for all, to be asked again.  One that
 * has done nothing has nothing. */
static uint64_t take_changes_min(struct weft_runtime *runtime)
{
    /* relaxed: a demand that comes now is heard the next time. */
    return atomic_exchange_explicit(&runtime->monitor.trim.is_wanted, 0, memory_order_relaxed) != 0
               ? 1
               : CHANGES_MIN;
}

/* Asks for all that the worker has, and wakes it for that, if this may be much.  Returns true if it
 * was woken. */
static bool ask_for_all_of(struct weft_runtime *runtime, struct wf_worker *worker,
                           uint64_t changes_min)
{
    uint64_t changes = wf_counter_read(&worker->counters.fibers_spawned) +
                       wf_counter_read(&worker->counters.fibers_freed);

    if (changes - worker->watch.changes < changes_min && !wf_deque_has_excess(&worker->fresh) &&
        !wf_deque_has_excess(&worker->ready.queue))
        return false;
    worker->watch.changes = changes;
    ask(worker, WF_TRIM_ALL);
    return wf_monitor_notify(runtime, worker);
}

/* A worker that has slept since the last review is woken once, if it may have much. */
static void ask_at_review(struct weft_runtime *runtime, struct wf_worker *worker,
                          uint64_t changes_min)
{
    if (changes_min == CHANGES_MIN &&
        /* relaxed: as above. */
        atomic_load_explicit(&worker->trim, memory_order_relaxed) == WF_TRIM_NOTHING)
        ask(worker, WF_TRIM_HALF);
    else
        (void)ask_for_all_of(runtime, worker, changes_min);
}

static void flush_outside(struct weft_runtime *runtime, bool all)
{
    wf_lock_acquire(&runtime->outside_lock);
    wf_stack_flush(&runtime->depot, &runtime->outside_stacks, all);
    wf_lock_release(&runtime->outside_lock);
}

static void review(struct weft_runtime *runtime, int64_t now)
{
    struct wf_trim *trim = &runtime->monitor.trim;
    uint64_t changes_min = take_changes_min(runtime);
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++)
        ask_at_review(runtime, runtime->workers[i], changes_min);
    flush_outside(runtime, changes_min < CHANGES_MIN);
    wf_stack_review(&runtime->depot, false);
    trim->review_at = now + REVIEW_MS * WEFT_MILLISECOND;
    trim->has_more = true;
}

void wf_trim_look(struct weft_runtime *runtime, int64_t now)
{
    struct wf_trim *trim = &runtime->monitor.trim;

    if (now >= trim->review_at)
        review(runtime, now);
    if (trim->has_more)
        trim->has_more = wf_stack_trim(&runtime->depot, SLABS_MAX);
}

/* Wakes the workers that may have much in their caches.  Returns false if there are none. */
static bool ask_for_all(struct weft_runtime *runtime)
{
    uint64_t changes_min = take_changes_min(runtime);
    uint32_t crew = wf_runtime_crew(runtime);
    bool has_asked = false;

    for (uint32_t i = 0; i < crew; i++)
        has_asked |= ask_for_all_of(runtime, runtime->workers[i], changes_min);
    return has_asked;
}

bool wf_trim_settle(struct weft_runtime *runtime, int64_t now)
{
    if (ask_for_all(runtime)) {
        /* They are not asleep now, and what they hand over has to wait for the next time. */
        runtime->monitor.quiet_since = now;
        return false;
    }
    flush_outside(runtime, true);
    wf_stack_review(&runtime->depot, true);
    return !wf_stack_trim(&runtime->depot, SLABS_MAX) && wf_stack_is_trimmed(&runtime->depot);
}
