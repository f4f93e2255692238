/* SPDX-License-Identifier: MIT */
/* The start of a runtime and its end: its threads, in the order in which they come and go. */
#include "arch/probe.h"
#include "arch/tls.h"
#include "runtime/config.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/spare.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>

void wf_runtime_report_started(struct weft_runtime *runtime, int error)
{
    if (error != 0) {
        /* relaxed: RT.2 publishes it. */
        if (atomic_fetch_add_explicit(&runtime->failed, 1, memory_order_relaxed) == 0)
            runtime->start_error = error;
    }
    /* RT.2 seq_cst: our set-up, for the starter. */
    atomic_fetch_add_explicit(&runtime->started, 1, memory_order_seq_cst);
    wf_os_futex_wake(&runtime->started, 1);
}

/* Returns false if the start failed somewhere. */
static bool wait_for_start(struct weft_runtime *runtime)
{
    uint32_t phase;

    /* RT.1 seq_cst: what the starter set up. */
    while ((phase = atomic_load_explicit(&runtime->phase, memory_order_seq_cst)) ==
           WF_PHASE_STARTING)
        wf_os_futex_wait(&runtime->phase, WF_PHASE_STARTING, INT64_MAX);
    /* A short run can be over before this worker looks. */
    return phase != WF_PHASE_FAILED;
}

/* A spare may join until the monitor leaves: whoever has not seen it join has not seen the monitor
 * leave either, and finds the count of leavers below this one. */
static uint32_t count_leavers(struct weft_runtime *runtime)
{
    return wf_runtime_crew(runtime) + (runtime->monitor.is_started ? 1 : 0);
}

uint32_t wf_runtime_leave(struct weft_runtime *runtime)
{
    /* RT.3 acq_rel: we notify nobody any more. */
    uint32_t left = atomic_fetch_add_explicit(&runtime->left, 1, memory_order_acq_rel) + 1;

    if (left == count_leavers(runtime))
        wf_os_futex_wake(&runtime->left, INT32_MAX);
    return left;
}

/* Whoever has not left may be about to interrupt our poller. */
static void wait_for_others(struct weft_runtime *runtime)
{
    uint32_t left = wf_runtime_leave(runtime);

    while (left < count_leavers(runtime)) {
        wf_os_futex_wait(&runtime->left, left, INT64_MAX);
        /* RT.3 acquire: the others notify nobody any more. */
        left = atomic_load_explicit(&runtime->left, memory_order_acquire);
    }
}

/* A sandbox can forbid it, and the CPU can have been taken away since the topology was read.  The
 * worker then runs where the kernel puts it, as all do when the allowed CPUs change later. */
static void pin(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;
    int error = wf_topology_pin(runtime->topology, self->index);

    /* relaxed: only the first one says it. */
    if (error != 0 && atomic_fetch_add_explicit(&runtime->loose, 1, memory_order_relaxed) == 0)
        wf_complain("cannot pin worker %u to CPU %u (error %d): it runs unpinned; WEFT_PIN=2 pins "
                    "none",
                    self->index, wf_topology_place(runtime->topology, self->index).cpu, -error);
}

int wf_runtime_enter(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;

    wf_tls_set(self);
    wf_os_block_sigpipe();
    wf_san_thread(&self->san);
    self->thread_number = wf_probe_thread_number();
    if (wf_stall_is_reported(&runtime->config))
        self->probe_stack = wf_probe_enter();
    wf_wheel_init(&self->wheel, wf_os_now());
    if (runtime->is_pinned && self->index < runtime->worker_count)
        pin(self);
    return wf_poller_create(&self->poller, runtime->config.ring_entries, &self->counters);
}

void wf_runtime_exit(struct wf_worker *self, bool ran)
{
    if (ran)
        wait_for_others(self->runtime);
    if (self->poller != NULL)
        wf_poller_destroy(self->poller);
    wf_probe_leave(self->probe_stack);
    wf_tls_set(NULL);
}

static void worker_main(void *arg)
{
    struct wf_worker *self = arg;
    struct weft_runtime *runtime = self->runtime;
    int error = wf_runtime_enter(self);
    bool runs;

    if (error == 0 && self->index == 0)
        error = wf_fiber_spawn_main(self);
    wf_runtime_report_started(runtime, error);
    runs = wait_for_start(runtime);
    if (runs)
        wf_worker_loop(self);
    wf_runtime_exit(self, runs);
}

static void set_phase(struct weft_runtime *runtime, enum wf_phase phase)
{
    /* RT.1 seq_cst: what we set up. */
    atomic_store_explicit(&runtime->phase, phase, memory_order_seq_cst);
    wf_os_futex_wake(&runtime->phase, INT32_MAX);
}

void wf_runtime_wait_until_started(struct weft_runtime *runtime, uint32_t count)
{
    uint32_t started;

    /* RT.2 seq_cst: the workers' set-up. */
    while ((started = atomic_load_explicit(&runtime->started, memory_order_seq_cst)) < count)
        wf_os_futex_wait(&runtime->started, started, INT64_MAX);
}

/* Starts the threads and waits for their end.  0 or the -errno of the start. */
static int run_workers(struct weft_runtime *runtime)
{
    uint32_t running = 0;
    int error = 0;

    while (running < runtime->worker_count && error == 0) {
        struct wf_worker *worker = runtime->workers[running];
        char name[16];

        snprintf(name, sizeof name, "weft-%u", running);
        error = wf_os_thread_start(&worker->thread, name, worker_main, worker);
        if (error == 0)
            running++;
        else
            wf_complain("cannot start worker thread %u of %u: error %d", running + 1,
                        runtime->worker_count, -error);
        /* The first one alone: what fails for every worker is then said once. */
        if (running == 1)
            wf_runtime_wait_until_started(runtime, 1);
        /* relaxed: RT.2 published it. */
        if (atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
            break;
    }
    wf_runtime_wait_until_started(runtime, running);
    wf_topology_release(runtime->topology);
    /* relaxed: RT.2 published it. */
    if (error == 0 && atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
        error = runtime->start_error;
    if (error == 0)
        error = wf_monitor_start(runtime);
    set_phase(runtime, error == 0 ? WF_PHASE_RUNNING : WF_PHASE_FAILED);
    for (uint32_t i = 0; i < running; i++)
        wf_os_thread_join(&runtime->workers[i]->thread);
    wf_monitor_join(runtime);
    wf_spare_join(runtime);
    return error;
}

int weft_run(const struct weft_config *config, int (*fn)(void *), void *arg)
{
    struct weft_config resolved;
    struct weft_runtime *runtime = NULL;
    int result;

    if (wf_self() != NULL)
        return -EDEADLK;
    result = wf_config_resolve(config, &resolved, NULL);
    if (result == 0)
        result = wf_runtime_create(&resolved, &runtime);
    if (result != 0)
        return result;
    runtime->main_fn = fn;
    runtime->main_arg = arg;
    result = run_workers(runtime);
    if (result == 0) {
        result = runtime->main_result;
        wf_runtime_keep_stats(runtime);
    }
    wf_runtime_destroy(runtime);
    return result;
}
