/* SPDX-License-Identifier: MIT */
#include "runtime/spare.h"

#include "arch/probe.h"
#include "runtime/balance.h"
#include "runtime/check.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/trim.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>

enum {
    STACK_SIZE = 1024 * 1024, /* guessed: fibers have stacks of their own */
    REST_MS = 300,            /* guessed: opening again costs a tenth of a millisecond */
};

static size_t stacks_size(const struct weft_runtime *runtime)
{
    return (size_t)(runtime->crew_max - runtime->worker_count) * STACK_SIZE;
}

int wf_spare_map(struct weft_runtime *runtime)
{
    size_t size = stacks_size(runtime);

    if (size == 0)
        return 0;
    runtime->spare_stacks = wf_os_map(size);
    return runtime->spare_stacks != NULL ? 0 : -ENOMEM;
}

void wf_spare_unmap(struct weft_runtime *runtime)
{
    if (runtime->spare_stacks != NULL)
        wf_os_unmap(runtime->spare_stacks, stacks_size(runtime));
}

static bool is_in_reserve(struct wf_worker *spare)
{
    /* SP.2 seq_cst: after our announcement, if we have made one. */
    return atomic_load_explicit(&spare->duty, memory_order_seq_cst) == WF_DUTY_RESERVE;
}

static struct weft_fiber *take_own(struct wf_worker *self)
{
    struct weft_fiber *fiber = wf_worker_take_next(self);

    if (fiber == NULL)
        fiber = wf_ready_pop(&self->ready);
    return fiber != NULL ? fiber : wf_deque_pop(&self->fresh);
}

/* Moves what is in the worker's queues to the injector. */
static void hand_over(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    while ((fiber = take_own(self)) != NULL)
        wf_worker_inject(self, fiber);
}

/* Gives back what it has of the system, if nothing is under way there. */
static void lie_down(struct wf_worker *self)
{
    if (wf_wheel_is_armed(&self->wheel) || !wf_poller_close(self->poller, self))
        return;
    self->is_down = true;
    wf_probe_leave(self->probe_stack);
    self->probe_stack = NULL;
    wf_trim_all(self);
}

/* Returns false if the system refuses. */
static bool get_up(struct wf_worker *self)
{
    if (!self->is_down)
        return true;
    self->is_down = wf_runtime_open(self) != 0;
    /* relaxed: a hint to the monitor; the next look is right. */
    atomic_store_explicit(&self->is_hindered, self->is_down, memory_order_relaxed);
    return !self->is_down;
}

bool wf_spare_is_hindered(struct wf_worker *spare)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&spare->is_hindered, memory_order_relaxed) != 0;
}

/* One pass in the reserve: looks after the ring and the timers, and runs nothing.  The same if it
 * `cannot` do what it was called for: the monitor calls again. */
static void rest(struct wf_worker *self, int64_t rest_end, bool cannot)
{
    int64_t deadline;

    hand_over(self);
    wf_trim_serve(self);
    if (!self->is_down && wf_os_now() >= rest_end) {
        /* If it cannot, it is tried again when something has happened here. */
        lie_down(self);
        rest_end = INT64_MAX;
    }
    deadline = wf_wheel_next(&self->wheel);
    if (!self->is_down && rest_end < deadline)
        deadline = rest_end;
    wf_park_announce(self->park, &self->parker);
    if ((is_in_reserve(self) || cannot) && !wf_runtime_is_done(self->runtime)) {
        wf_count(&self->counters.parks, 1);
        (void)wf_poller_poll(self->poller, self, deadline);
    }
    if (wf_park_retract(self->park, &self->parker)) {
        wf_count(&self->counters.wakes_received, 1);
        wf_park_end_search(self->park);
    }
    wf_monitor_rouse(&self->runtime->monitor);
    (void)wf_worker_serve(self, self);
}

static void loop(struct wf_worker *self)
{
    int64_t rest_end = 0;

    while (!wf_runtime_is_done(self->runtime)) {
        bool is_called = !is_in_reserve(self);

        if (is_called && get_up(self)) {
            rest_end = 0;
            wf_worker_pass(self);
            continue;
        }
        if (rest_end == 0)
            rest_end = wf_os_now() + REST_MS * WEFT_MILLISECOND;
        rest(self, rest_end, is_called);
    }
}

static void spare_main(void *arg)
{
    struct wf_worker *self = arg;
    struct weft_runtime *runtime = self->runtime;
    int error;

    wf_runtime_enter(self);
    error = wf_runtime_open(self);
    /* All CPUs may be taken by fibers that compute: that is what a spare is called for. */
    wf_os_thread_hurry();

    if (error == 0) {
        /* SP.1 seq_cst: our fields, and before our look whether the runtime is done. */
        atomic_store_explicit(&runtime->crew, self->index + 1, memory_order_seq_cst);
    }
    wf_runtime_report_started(runtime, error);
    self->now = wf_os_now();
    self->busy_since = self->now;
    self->judged = self->now;
    if (error == 0) {
        loop(self);
        wf_balance_end_search(self);
    }
    wf_runtime_exit(self, error == 0);
}

static void set_duty(struct wf_worker *spare, enum wf_duty duty)
{
    /* SP.2 seq_cst: before our look whether it sleeps. */
    atomic_store_explicit(&spare->duty, duty, memory_order_seq_cst);
    (void)wf_monitor_notify(spare->runtime, spare);
}

/* Returns false if the system has no thread or no memory for it. */
static bool start(struct weft_runtime *runtime, uint32_t index)
{
    struct wf_worker *spare = wf_runtime_add_worker(runtime, index);
    uint32_t number = index - runtime->worker_count;
    char *stack = runtime->spare_stacks + (size_t)number * STACK_SIZE;
    size_t page = wf_os_page_size();
    char name[16];

    if (spare == NULL)
        return false;
    spare->watch.since = wf_os_now();
    snprintf(name, sizeof name, "weft-spare-%u", number % 1000);
    if (wf_os_guard_marker(stack, page) != 0)
        (void)wf_os_guard_mapping(stack, page);
    if (wf_runtime_furnish(spare) == 0 &&
        wf_os_thread_start_on(&spare->thread, name, spare_main, spare, stack + page,
                              STACK_SIZE - page) == 0) {
        wf_runtime_wait_until_started(runtime, index + 1);
        if (wf_runtime_crew(runtime) > index)
            return true;
        wf_os_thread_join(&spare->thread);
    }
    wf_runtime_remove_worker(runtime, index);
    return false;
}

void wf_spare_call(struct weft_runtime *runtime)
{
    struct wf_monitor *monitor = &runtime->monitor;
    uint32_t crew = wf_runtime_crew(runtime);
    bool one_is_hindered = false;

    for (uint32_t i = runtime->worker_count; i < crew; i++) {
        struct wf_worker *spare = runtime->workers[i];

        one_is_hindered |= wf_spare_is_hindered(spare);
        if (is_in_reserve(spare) && !spare->watch.is_stuck) {
            set_duty(spare, WF_DUTY_WORK);
            wf_count(&monitor->counters.spare_calls, 1);
            return;
        }
    }
    /* What one lacks that comes again, a new one would lack too, and that would be its end. */
    if (crew == runtime->crew_max || monitor->cannot_start || one_is_hindered)
        return;
    if (start(runtime, crew)) {
        wf_count(&monitor->counters.spare_calls, 1);
        return;
    }
    wf_complain("cannot start a spare worker: fibers wait while all workers are stuck");
    monitor->cannot_start = true;
}

void wf_spare_dismiss(struct weft_runtime *runtime)
{
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = runtime->worker_count; i < crew; i++)
        if (!is_in_reserve(runtime->workers[i]))
            set_duty(runtime->workers[i], WF_DUTY_RESERVE);
}

void wf_spare_join(struct weft_runtime *runtime)
{
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = runtime->worker_count; i < crew; i++)
        wf_os_thread_join(&runtime->workers[i]->thread);
}
