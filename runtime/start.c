/* SPDX-License-Identifier: MIT */
/* The start of a runtime and its end: its threads, in the order in which they come and go. */
#include "arch/probe.h"
#include "arch/sim.h"
#include "arch/tls.h"
#include "runtime/alloc.h"
#include "runtime/config.h"
#include "runtime/end.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/outside.h"
#include "runtime/overflow.h"
#include "runtime/poller.h"
#include "runtime/process.h"
#include "runtime/runtime.h"
#include "runtime/sim.h"
#include "runtime/spare.h"
#include "runtime/stall.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SPARE_ENTRIES = 128 }; /* guessed: a batch of 61 turns, the usual one, has room */

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

bool wf_runtime_await_start(struct weft_runtime *runtime)
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

    if (error == 0)
        self->pin.state = WF_PIN_HELD;
    else
        self->home = WF_HOME_NONE;
    /* relaxed: only the first one says it. */
    if (error != 0 && atomic_fetch_add_explicit(&runtime->loose, 1, memory_order_relaxed) == 0)
        wf_complain("cannot pin worker %u to CPU %u (error %d): it runs unpinned; WEFT_PIN=2 pins "
                    "none",
                    self->index, wf_topology_place(runtime->topology, self->index).cpu, -error);
}

/* A spare stays, and most are called once: it shall not keep much.  A ring that is too small is
 * submitted earlier. */
static uint32_t count_entries(const struct wf_worker *self)
{
    uint32_t entries = self->runtime->config.ring_entries;

    if (self->index >= self->runtime->worker_count && entries > SPARE_ENTRIES)
        entries = SPARE_ENTRIES;
    return entries;
}

void wf_runtime_enter(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;

    wf_tls_set(self);
    wf_os_block_sigpipe();
    wf_san_thread(&self->san);
    self->thread_number = wf_probe_thread_number();
    wf_wheel_init(&self->wheel, wf_os_now());
    if (runtime->is_pinned && self->index < runtime->worker_count)
        pin(self);
}

int wf_runtime_furnish(struct wf_worker *self)
{
    int error = wf_runtime_make_queues(self);

    return error != 0 ? error
                      : wf_poller_create(&self->poller, self->runtime->config.backend,
                                         count_entries(self), &self->counters);
}

int wf_runtime_open(struct wf_worker *self)
{
    const struct weft_runtime *runtime = self->runtime;
    int error = wf_poller_open(self->poller);

    /* Only then: a spare that the system refuses a ring tries again and again. */
    if (error == 0 &&
        (wf_stall_is_reported(&runtime->config) || wf_overflow_is_reported(&runtime->config)))
        self->probe_stack = wf_probe_enter(runtime->monitor.stall.has_signal);
    return error;
}

void wf_runtime_exit(struct wf_worker *self, bool ran)
{
    if (ran) {
        wait_for_others(self->runtime);
        wf_outside_await_leave(self->runtime);
    }
    if (self->poller != NULL)
        wf_poller_destroy(self->poller);
    self->poller = NULL;
    wf_probe_leave(self->probe_stack);
    wf_tls_set(NULL);
}

static void worker_main(void *arg)
{
    struct wf_worker *self = arg;
    struct weft_runtime *runtime = self->runtime;
    bool runs;
    int error;

    wf_runtime_enter(self);
    error = wf_runtime_furnish(self);
    if (error == 0)
        error = wf_runtime_open(self);
    if (error == 0 && self->index == 0 && runtime->main_fn != NULL)
        error = wf_fiber_spawn_main(self);
    wf_runtime_report_started(runtime, error);
    runs = wf_runtime_await_start(runtime);
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

/* The first fiber of the run, if it has one, is made by worker 0. */
static int start_threads(struct weft_runtime *runtime, uint32_t *running)
{
    int error = 0;

    while (*running < runtime->worker_count && error == 0) {
        struct wf_worker *worker = runtime->workers[*running];
        char name[16];

        snprintf(name, sizeof name, "weft-%u", *running);
        error = wf_os_thread_start(&worker->thread, name, worker_main, worker);
        if (error == 0)
            ++*running;
        else
            wf_complain("cannot start worker thread %u of %u: error %d", *running + 1,
                        runtime->worker_count, -error);
        /* The first one alone: what fails for every worker is then said once. */
        if (*running == 1)
            wf_runtime_wait_until_started(runtime, 1);
        /* relaxed: RT.2 published it. */
        if (atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
            break;
    }
    return error;
}

static void join_threads(struct weft_runtime *runtime, uint32_t running)
{
    for (uint32_t i = 0; i < running; i++)
        wf_os_thread_join(&runtime->workers[i]->thread);
    wf_monitor_join(runtime);
    wf_spare_join(runtime);
}

/* 0, or the -errno of the start with every thread gone again. */
static int start_workers(struct weft_runtime *runtime)
{
    uint32_t running = 0;
    int error;

    wf_stall_start(runtime); /* before the workers: they let the signal in if it is ours */
    error = start_threads(runtime, &running);
    wf_runtime_wait_until_started(runtime, running);
    wf_topology_release(runtime->topology);
    /* relaxed: RT.2 published it. */
    if (error == 0 && atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
        error = runtime->start_error;
    if (error == 0)
        error = wf_monitor_start(runtime);
    set_phase(runtime, error == 0 ? WF_PHASE_RUNNING : WF_PHASE_FAILED);
    if (error != 0)
        join_threads(runtime, running);
    return error;
}

/* After the line of whoever knows more, if there was one. */
static int say_why(int error)
{
    wf_complain("cannot start a runtime: %s", strerror(-error));
    return error;
}

int weft_start(const struct weft_config *config, int (*fn)(void *), void *arg,
               weft_runtime **result)
{
    struct weft_config resolved;
    struct weft_runtime *runtime = NULL;
    int error;

    if (wf_self() != NULL)
        return -EDEADLK;
    error = wf_process_watch();
    if (error != 0)
        return say_why(error);
    error = wf_config_resolve(config, &resolved, NULL);
    if (error == 0 && wf_sim_is_here()) {
        wf_sim_configure(&resolved);
    } else if (error == 0 && resolved.backend == WEFT_BACKEND_SIM) {
        wf_complain("only weft_run() and weft_sim_run() simulate: WEFT_BACKEND=sim, but the "
                    "program calls weft_start()");
        return -ENOTSUP;
    }
    if (error == 0)
        error = wf_alloc_check();
    if (error == 0)
        error = wf_check_shadow_stack();
    if (error != 0)
        return error;
    error = wf_runtime_create(&resolved, &runtime);
    if (error != 0)
        return say_why(error);
    runtime->main_fn = fn;
    runtime->main_arg = arg;
    runtime->process = wf_os_process();
    wf_overflow_start(runtime);
    error = start_workers(runtime);
    if (error == 0) {
        *result = runtime;
    } else {
        wf_overflow_end(runtime);
        wf_runtime_destroy(runtime);
    }
    return error == 0 ? 0 : say_why(error);
}

int weft_stop(weft_runtime *runtime)
{
    struct wf_worker *self = wf_self();
    int error = 0;

    if (wf_outside_is_child(runtime))
        return -ECHILD;
    /* Also a worker of this runtime visits: its fiber need not be there to the end. */
    wf_outside_enter(runtime);
    if (!wf_worker_is_of(self, runtime))
        error = wf_fiber_stop_outside(runtime);
    else if (wf_end_begin(runtime))
        wf_end_cancel(self, runtime);
    wf_outside_leave(runtime);
    return error;
}

/* Returns false if the deadline passes first. */
static bool await_done(struct weft_runtime *runtime, weft_time deadline)
{
    uint32_t phase;

    /* RT.1 seq_cst: what the fibers did. */
    while ((phase = atomic_load_explicit(&runtime->phase, memory_order_seq_cst)) != WF_PHASE_DONE) {
        if (deadline != WEFT_FOREVER && wf_os_now() >= deadline)
            return false;
        wf_os_futex_wait(&runtime->phase, phase, deadline);
    }
    return true;
}

int weft_wait(weft_runtime *runtime, int *result, weft_time deadline)
{
    uint32_t how = deadline == WEFT_FOREVER ? WF_AWAITED_FOR_GOOD : WF_AWAITED_FOR_A_WHILE;

    if (wf_self() != NULL)
        return -EDEADLK;
    if (wf_outside_is_child(runtime))
        return -ECHILD;
    /* RT.5 seq_cst: before our look whether the monitor sleeps. */
    if (atomic_exchange_explicit(&runtime->awaited, how, memory_order_seq_cst) !=
        WF_AWAITED_BY_NOBODY)
        wf_panic("weft_wait: somebody else waits for this runtime already");
    wf_monitor_rouse(&runtime->monitor);
    if (!await_done(runtime, deadline) || !wf_offload_close(&runtime->offload, deadline)) {
        /* relaxed: only those who wait look for mistakes here, and the monitor looks for more. */
        atomic_store_explicit(&runtime->awaited, WF_AWAITED_BY_NOBODY, memory_order_relaxed);
        return -ETIMEDOUT;
    }
    join_threads(runtime, runtime->worker_count);
    wf_offload_destroy(&runtime->offload);
    wf_outside_await_leave(runtime);
    if (result != NULL)
        *result = runtime->is_deadlocked ? -EDEADLK : runtime->main_result;
    wf_runtime_keep_stats(runtime);
    wf_overflow_end(runtime);
    wf_runtime_destroy(runtime);
    return 0;
}

int weft_run(const struct weft_config *config, int (*fn)(void *), void *arg)
{
    weft_runtime *runtime;
    int result = 0;
    int error;

    if (fn == NULL)
        return -EINVAL; /* nobody could ever stop it */
    if (wf_sim_is_wanted(config))
        return wf_sim_run_config(config, fn, arg);
    error = weft_start(config, fn, arg, &runtime);
    if (error == 0)
        error = weft_wait(runtime, &result, WEFT_FOREVER);
    return error != 0 ? error : result;
}
