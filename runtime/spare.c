/* SPDX-License-Identifier: MIT */
#include "runtime/spare.h"

#include "runtime/balance.h"
#include "runtime/check.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/trim.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <stdio.h>

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

/* One pass in the reserve: looks after the ring and the timers, and runs nothing. */
static void rest(struct wf_worker *self)
{
    hand_over(self);
    wf_trim_serve(self);
    wf_park_announce(self->park, &self->parker);
    if (is_in_reserve(self) && !wf_runtime_is_done(self->runtime)) {
        wf_count(&self->counters.parks, 1);
        (void)wf_poller_poll(self->poller, self, wf_wheel_next(&self->wheel));
    }
    if (wf_park_retract(self->park, &self->parker))
        wf_park_end_search(self->park);
    wf_monitor_rouse(&self->runtime->monitor);
    (void)wf_worker_serve(self, self);
}

static void spare_main(void *arg)
{
    struct wf_worker *self = arg;
    struct weft_runtime *runtime = self->runtime;
    int error = wf_runtime_enter(self);

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
    while (error == 0 && !wf_runtime_is_done(runtime)) {
        if (is_in_reserve(self))
            rest(self);
        else
            wf_worker_pass(self);
    }
    if (error == 0)
        wf_balance_end_search(self);
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
    char name[16];

    if (spare == NULL)
        return false;
    spare->watch.since = wf_os_now();
    snprintf(name, sizeof name, "weft-spare-%u", (index - runtime->worker_count) % 1000);
    if (wf_os_thread_start(&spare->thread, name, spare_main, spare) == 0) {
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

    for (uint32_t i = runtime->worker_count; i < crew; i++) {
        struct wf_worker *spare = runtime->workers[i];

        if (is_in_reserve(spare) && !spare->watch.is_stuck) {
            set_duty(spare, WF_DUTY_WORK);
            wf_count(&monitor->counters.spare_calls, 1);
            return;
        }
    }
    if (crew == runtime->crew_max || monitor->cannot_start)
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
