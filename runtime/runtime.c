/* SPDX-License-Identifier: MIT */
/* Setting a runtime up, running it, taking it down. */
#include "runtime/runtime.h"

#include "arch/tls.h"
#include "arch/topology.h"
#include "runtime/alloc.h"
#include "runtime/config.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>

/* The counters of the run that ended last in this process. */
static struct {
    struct wf_lock lock;
    bool is_set;
    struct weft_stats stats;
} last_run;

uint32_t wf_runtime_count_workers(const struct weft_config *config,
                                  const struct wf_topology *topology, uint64_t quota)
{
    uint64_t count = wf_topology_cpu_count(topology);
    uint64_t quota_cpus = (quota + 999) / 1000;

    if (config->workers != 0)
        return config->workers;
    if (quota != 0 && quota_cpus < count)
        count = quota_cpus;
    return count < 1024 ? (uint32_t)count : 1024;
}

/* Lists the other workers, nearest first. */
static int rank_victims(struct wf_worker *worker)
{
    struct wf_runtime *runtime = worker->runtime;
    uint32_t filled = 0;

    worker->victims = wf_alloc(runtime->worker_count * sizeof *worker->victims);
    if (worker->victims == NULL)
        return -ENOMEM;
    for (unsigned distance = 0; distance < 3; distance++) {
        for (uint32_t i = 0; i < runtime->worker_count; i++)
            if (i != worker->index &&
                wf_topology_distance(runtime->topology, worker->index, i) == distance)
                worker->victims[filled++] = i;
        worker->near_count[distance] = filled;
    }
    return 0;
}

static void destroy_worker(struct wf_worker *worker)
{
    wf_deque_destroy(&worker->fresh);
    wf_free(worker->victims);
    wf_free(worker);
}

static struct wf_worker *create_worker(struct wf_runtime *runtime, uint32_t index)
{
    struct wf_worker *worker = wf_alloc(sizeof *worker);

    if (worker == NULL)
        return NULL;
    worker->runtime = runtime;
    worker->index = index;
    worker->random = index + 1; /* anything but 0 */
    if (!wf_deque_init(&worker->fresh) || rank_victims(worker) != 0) {
        destroy_worker(worker);
        return NULL;
    }
    return worker;
}

static void report_started(struct wf_runtime *runtime, int error)
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
static bool wait_for_start(struct wf_runtime *runtime)
{
    uint32_t phase;

    /* RT.1 seq_cst: what the starter set up. */
    while ((phase = atomic_load_explicit(&runtime->phase, memory_order_seq_cst)) ==
           WF_PHASE_STARTING)
        wf_os_futex_wait(&runtime->phase, WF_PHASE_STARTING, INT64_MAX);
    /* A short run can be over before this worker looks. */
    return phase != WF_PHASE_FAILED;
}

/* A worker still in its loop may be about to interrupt our poller. */
static void wait_for_others(struct wf_runtime *runtime)
{
    /* RT.3 acq_rel: we notify nobody any more. */
    uint32_t left = atomic_fetch_add_explicit(&runtime->left, 1, memory_order_acq_rel) + 1;

    if (left == runtime->worker_count)
        wf_os_futex_wake(&runtime->left, INT32_MAX);
    while (left < runtime->worker_count) {
        wf_os_futex_wait(&runtime->left, left, INT64_MAX);
        /* RT.3 acquire: the others notify nobody any more. */
        left = atomic_load_explicit(&runtime->left, memory_order_acquire);
    }
}

static void worker_main(void *arg)
{
    struct wf_worker *self = arg;
    struct wf_runtime *runtime = self->runtime;
    int error = 0;

    wf_tls_set(self);
    wf_os_block_sigpipe();
    wf_san_thread(&self->san);
    if (runtime->config.pin == 1)
        error = wf_topology_pin(runtime->topology, self->index);
    if (error == 0)
        error = wf_poller_create(&self->poller, runtime->config.ring_entries, &self->counters);
    wf_wheel_init(&self->wheel, wf_os_now());
    if (error == 0 && self->index == 0)
        error = wf_fiber_spawn_main(self);
    report_started(runtime, error);
    if (wait_for_start(runtime)) {
        wf_worker_loop(self);
        wait_for_others(runtime);
    }
    if (self->poller != NULL)
        wf_poller_destroy(self->poller);
    wf_tls_set(NULL);
}

static void set_phase(struct wf_runtime *runtime, enum wf_phase phase)
{
    /* RT.1 seq_cst: what we set up. */
    atomic_store_explicit(&runtime->phase, phase, memory_order_seq_cst);
    wf_os_futex_wake(&runtime->phase, INT32_MAX);
}

static void wait_until_started(struct wf_runtime *runtime, uint32_t count)
{
    uint32_t started;

    /* RT.2 seq_cst: the workers' set-up. */
    while ((started = atomic_load_explicit(&runtime->started, memory_order_seq_cst)) < count)
        wf_os_futex_wait(&runtime->started, started, INT64_MAX);
}

/* Starts the threads and waits for their end.  0 or the -errno of the start. */
static int run_workers(struct wf_runtime *runtime)
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
            wait_until_started(runtime, 1);
        /* relaxed: RT.2 published it. */
        if (atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
            break;
    }
    wait_until_started(runtime, running);
    wf_topology_release(runtime->topology);
    /* relaxed: RT.2 published it. */
    if (error == 0 && atomic_load_explicit(&runtime->failed, memory_order_relaxed) != 0)
        error = runtime->start_error;
    set_phase(runtime, error == 0 ? WF_PHASE_RUNNING : WF_PHASE_FAILED);
    for (uint32_t i = 0; i < running; i++)
        wf_os_thread_join(&runtime->workers[i]->thread);
    return error;
}

static void collect(struct wf_runtime *runtime, struct weft_stats *stats)
{
    struct wf_stack_depot *depot = &runtime->depot;

    *stats = (struct weft_stats){.workers = runtime->worker_count};
    for (uint32_t i = 0; i < runtime->worker_count; i++)
        wf_stats_collect(&runtime->workers[i]->counters, stats);
    wf_lock_acquire(&depot->lock);
    stats->stacks_mapped = depot->carved;
    stats->stacks_unguarded = depot->unguarded;
    stats->slab_bytes = depot->mapped_bytes;
    wf_lock_release(&depot->lock);
}

static void free_unjoined(struct wf_stack *stack, void *arg)
{
    struct weft_fiber *fiber = (struct weft_fiber *)(void *)stack;
    struct wf_worker *worker = arg;

    /* relaxed: every worker has ended. */
    if (atomic_load_explicit(&fiber->joiner, memory_order_relaxed) == WF_JOINER_DONE)
        wf_count(&worker->counters.fibers_freed, 1);
}

static void keep_last_run(struct wf_runtime *runtime)
{
    struct weft_stats stats;

    /* What has ended and was never joined goes with the slabs. */
    wf_stack_visit(&runtime->depot, free_unjoined, runtime->workers[0]);
    collect(runtime, &stats);
    wf_lock_acquire(&last_run.lock);
    last_run.stats = stats;
    last_run.is_set = true;
    wf_lock_release(&last_run.lock);
}

static int create_workers(struct wf_runtime *runtime)
{
    runtime->workers = wf_alloc(runtime->worker_count * sizeof(struct wf_worker *));
    if (runtime->workers == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < runtime->worker_count; i++) {
        runtime->workers[i] = create_worker(runtime, i);
        if (runtime->workers[i] == NULL)
            return -ENOMEM;
    }
    return 0;
}

static void destroy_runtime(struct wf_runtime *runtime)
{
    for (uint32_t i = 0; runtime->workers != NULL && i < runtime->worker_count; i++)
        if (runtime->workers[i] != NULL)
            destroy_worker(runtime->workers[i]);
    wf_free(runtime->workers);
    wf_stack_depot_destroy(&runtime->depot);
    if (runtime->topology != NULL)
        wf_topology_destroy(runtime->topology);
    wf_free(runtime);
}

/* `config` is resolved. */
static int create_runtime(const struct weft_config *config, struct wf_runtime **result)
{
    struct wf_runtime *runtime = wf_alloc(sizeof *runtime);
    int error;

    if (runtime == NULL)
        return -ENOMEM;
    runtime->config = *config;
    wf_stack_depot_init(&runtime->depot, sizeof(struct weft_fiber), (enum wf_guard)config->guard);
    error = wf_topology_create(&runtime->topology);
    if (error == 0) {
        runtime->worker_count = wf_runtime_count_workers(config, runtime->topology,
                                                         wf_os_cpu_quota(""));
        runtime->park.worker_count = runtime->worker_count;
        runtime->is_chaotic = config->chaos == 1;
        runtime->stack_class = wf_stack_class((size_t)config->stack_size_kib * 1024);
        error = create_workers(runtime);
    }
    if (error != 0) {
        destroy_runtime(runtime);
        return error;
    }
    *result = runtime;
    return 0;
}

int weft_run(const struct weft_config *config, int (*fn)(void *), void *arg)
{
    struct weft_config resolved;
    struct wf_runtime *runtime = NULL;
    int result;

    if (wf_self() != NULL)
        return -EDEADLK;
    result = wf_config_resolve(config, &resolved, NULL);
    if (result == 0)
        result = create_runtime(&resolved, &runtime);
    if (result != 0)
        return result;
    runtime->main_fn = fn;
    runtime->main_arg = arg;
    result = run_workers(runtime);
    if (result == 0) {
        result = runtime->main_result;
        keep_last_run(runtime);
    }
    destroy_runtime(runtime);
    return result;
}

int weft_stats_read(struct weft_stats *stats)
{
    struct wf_worker *self = wf_self();
    int result = -ENOENT;

    if (self != NULL) {
        collect(self->runtime, stats);
        return 0;
    }
    wf_lock_acquire(&last_run.lock);
    if (last_run.is_set) {
        *stats = last_run.stats;
        result = 0;
    }
    wf_lock_release(&last_run.lock);
    return result;
}

int weft_stats_read_worker(unsigned index, struct weft_stats *stats)
{
    struct wf_worker *self = wf_self();

    if (self == NULL)
        return -EPERM;
    if (index >= self->runtime->worker_count)
        return -ERANGE;
    *stats = (struct weft_stats){.workers = 1};
    wf_stats_collect(&self->runtime->workers[index]->counters, stats);
    return 0;
}

unsigned weft_worker_count(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->runtime->worker_count : 0;
}

int weft_worker_index(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? (int)self->index : -1;
}
