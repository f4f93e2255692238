/* SPDX-License-Identifier: MIT */
/* What a runtime consists of, and its counters. */
#include "runtime/runtime.h"

#include "arch/probe.h"
#include "arch/sim.h"
#include "runtime/alloc.h"
#include "runtime/chaos.h"
#include "runtime/config.h"
#include "runtime/join.h"
#include "runtime/limits.h"
#include "runtime/model.h"
#include "runtime/outside.h"
#include "runtime/poller.h"
#include "runtime/spare.h"

#include <errno.h>
#include <stddef.h>

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

uint32_t wf_runtime_spin_us(const struct weft_config *config, const struct wf_topology *topology,
                            uint64_t quota)
{
    uint32_t cpus = wf_topology_cpu_count(topology);
    uint64_t workers = wf_runtime_count_workers(config, topology, quota);

    if (config->chaos != 0 || wf_sim_is_here())
        return WF_SPIN_NONE_US;
    if (config->spin_us != 0)
        return config->spin_us;
    if (cpus == 1 || workers > cpus || (quota != 0 && quota < workers * 1000))
        return WF_SPIN_NONE_US;
    return 0;
}

bool wf_runtime_pins(const struct weft_config *config, const struct wf_topology *topology,
                     uint32_t worker_count)
{
    if (config->pin != 0)
        return config->pin == 1;
    return config->workers != 0 || worker_count >= wf_topology_cpu_count(topology);
}

/* Spares are pinned to no CPU: to them everything is far. */
static unsigned distance_to(const struct wf_worker *worker, uint32_t index)
{
    const struct weft_runtime *runtime = worker->runtime;

    return worker->index < runtime->worker_count
               ? wf_topology_distance(runtime->topology, worker->index, index)
               : WF_DISTANCES - 1;
}

/* Lists the other workers, nearest first, and spares last. */
static int rank_victims(struct wf_worker *worker)
{
    struct weft_runtime *runtime = worker->runtime;
    uint32_t filled = 0;

    worker->victims = wf_alloc(runtime->crew_max * sizeof *worker->victims);
    if (worker->victims == NULL)
        return -ENOMEM;
    for (unsigned distance = 0; distance < WF_DISTANCES; distance++) {
        for (uint32_t i = 0; i < runtime->worker_count; i++)
            if (i != worker->index && distance_to(worker, i) == distance)
                worker->victims[filled++] = i;
        worker->near[distance] = filled;
    }
    for (uint32_t i = runtime->worker_count; i < runtime->crew_max; i++)
        if (i != worker->index)
            worker->victims[filled++] = i;
    worker->near[WF_DISTANCES - 1] = filled;
    return 0;
}

static void destroy_worker(struct wf_worker *worker)
{
    if (worker->poller != NULL)
        wf_poller_destroy(worker->poller);
    wf_deque_destroy(&worker->fresh);
    wf_ready_destroy(&worker->ready);
    wf_free(worker->victims);
    wf_free(worker);
}

int wf_runtime_find_home(const struct wf_topology *topology, uint32_t index, uint32_t *home)
{
    return wf_alloc_find_home(wf_topology_place(topology, index).node,
                              wf_topology_is_real(topology), home);
}

uint32_t wf_alloc_home(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->home : WF_HOME_NONE;
}

void wf_alloc_count_home(void)
{
    wf_count(&wf_self()->counters.node_allocations, 1);
}

int wf_runtime_make_queues(struct wf_worker *self)
{
    int64_t capacity = self->runtime->is_chaotic ? WF_CHAOS_QUEUE_CAPACITY : WF_DEQUE_KEPT;

    return wf_deque_init(&self->fresh, capacity) && wf_ready_init(&self->ready, capacity)
               ? rank_victims(self)
               : -ENOMEM;
}

static struct wf_worker *create_worker(struct weft_runtime *runtime, uint32_t index)
{
    uint32_t home = WF_HOME_NONE;
    struct wf_worker *worker;

    if (runtime->is_spread && index < runtime->worker_count &&
        wf_runtime_find_home(runtime->topology, index, &home) != 0)
        return NULL;
    worker = wf_alloc_at(sizeof *worker, home);
    if (worker == NULL)
        return NULL;
    worker->home = home;
    worker->runtime = runtime;
    worker->index = index;
    worker->park = index < runtime->worker_count ? &runtime->park : &runtime->spare_park;
    worker->random = wf_chaos_seed(runtime, index);
    worker->short_turns = runtime->is_chaotic ? 0 : WF_TURNS_PER_LOOK - 1;
    wf_gate_init(&worker->gate, runtime->has_barrier);
    wf_spin_init(&worker->spin,
                 index < runtime->worker_count ? runtime->config.spin_us : WF_SPIN_NONE_US,
                 runtime->config.stall_us);
    /* Without a place of its own it is as near to one group as to another. */
    if (runtime->is_pinned && index < runtime->worker_count)
        worker->stacks.group = wf_topology_place(runtime->topology, index).group;
    return worker;
}

struct wf_worker *wf_runtime_add_worker(struct weft_runtime *runtime, uint32_t index)
{
    runtime->workers[index] = create_worker(runtime, index);
    return runtime->workers[index];
}

void wf_runtime_remove_worker(struct weft_runtime *runtime, uint32_t index)
{
    destroy_worker(runtime->workers[index]);
    runtime->workers[index] = NULL;
}

static uint64_t read_at(struct wf_counters *counters, size_t offset)
{
    return wf_counter_read((void *)((char *)counters + offset));
}

static uint64_t sum(struct weft_runtime *runtime, size_t offset)
{
    uint64_t total = read_at(&runtime->outside, offset) +
                     read_at(&runtime->monitor.counters, offset);
    /* Anew for each: a spare that has joined meanwhile may have spawned what others have ended. */
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++)
        total += read_at(&runtime->workers[i]->counters, offset);
    return total;
}

static void collect(struct weft_runtime *runtime, struct weft_stats *stats)
{
    struct wf_stack_depot *depot = &runtime->depot;

    *stats = (struct weft_stats){.workers = runtime->worker_count,
                                 .spares = wf_runtime_crew(runtime) - runtime->worker_count};
#define SUM(name) stats->name = sum(runtime, offsetof(struct wf_counters, name));
    WF_COUNTERS(SUM)
#undef SUM
    wf_limits_collect(runtime->limits, stats);
    stats->allocated_bytes = wf_alloc_bytes();
    wf_lock_acquire(&depot->lock);
    stats->stacks_mapped = depot->carved_max;
    stats->stacks_unguarded = depot->unguarded_max;
    stats->stacks_trimmed = depot->trimmed;
    stats->slab_bytes = depot->mapped_bytes;
    wf_lock_release(&depot->lock);
}

enum { LEAK_SITES = 8 }; /* guessed: what a person may read */

/* Fibers that have ended and that nobody has joined or detached. */
struct leaks {
    uint64_t count;
    struct {
        const void *spawn_site;
        uint64_t count;
    } sites[LEAK_SITES]; /* as many as there is room for */
};

static void count_unjoined(struct wf_stack *stack, void *arg)
{
    struct weft_fiber *fiber = (struct weft_fiber *)(void *)stack;
    struct leaks *leaks = arg;

    /* relaxed: every worker has ended. */
    if (atomic_load_explicit(&fiber->joiner, memory_order_relaxed) != WF_JOINER_DONE)
        return;
    leaks->count++;
    for (unsigned i = 0; i < LEAK_SITES; i++)
        if (leaks->sites[i].count == 0 || leaks->sites[i].spawn_site == fiber->spawn_site) {
            leaks->sites[i].spawn_site = fiber->spawn_site;
            leaks->sites[i].count++;
            break;
        }
}

static void report_leaks(const struct leaks *leaks)
{
    wf_complain("%lu fibers were neither joined nor detached; they kept their stacks until now",
                (unsigned long)leaks->count);
    for (unsigned i = 0; i < LEAK_SITES && leaks->sites[i].count > 0; i++) {
        char place[512];

        wf_probe_describe(leaks->sites[i].spawn_site, place, sizeof place);
        wf_complain("  %lu spawned at: %s", (unsigned long)leaks->sites[i].count, place);
    }
}

void wf_runtime_keep_stats(struct weft_runtime *runtime)
{
    struct leaks leaks = {.count = 0};
    struct weft_stats stats;

    /* What has ended and was never joined goes with the slabs. */
    wf_stack_visit(&runtime->depot, count_unjoined, &leaks);
    wf_count(&runtime->workers[0]->counters.fibers_freed, leaks.count);
    if (leaks.count > 0 && runtime->config.leaks == WF_LEAKS_REPORT)
        report_leaks(&leaks);
    collect(runtime, &stats);
    wf_lock_acquire(&last_run.lock);
    last_run.stats = stats;
    last_run.is_set = true;
    wf_lock_release(&last_run.lock);
}

static int create_workers(struct weft_runtime *runtime)
{
    runtime->workers = wf_alloc(runtime->crew_max * sizeof(struct wf_worker *));
    if (runtime->workers == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < runtime->worker_count; i++)
        if (wf_runtime_add_worker(runtime, i) == NULL)
            return -ENOMEM;
    /* SP.1 seq_cst: no other thread exists yet. */
    atomic_store_explicit(&runtime->crew, runtime->worker_count, memory_order_seq_cst);
    return 0;
}

void wf_runtime_destroy(struct weft_runtime *runtime)
{
    for (uint32_t i = 0; runtime->workers != NULL && i < runtime->crew_max; i++)
        if (runtime->workers[i] != NULL)
            destroy_worker(runtime->workers[i]);
    wf_free(runtime->workers);
    wf_task_pool_destroy(&runtime->tasks);
    wf_usage_destroy(runtime);
    wf_limits_destroy(runtime->limits);
    wf_stack_depot_destroy(&runtime->depot);
    wf_spare_unmap(runtime);
    if (runtime->topology != NULL)
        wf_topology_destroy(runtime->topology);
    wf_free(runtime);
}

int wf_runtime_create(const struct weft_config *config, struct weft_runtime **result)
{
    struct weft_runtime *runtime = wf_alloc(sizeof *runtime);
    int error;

    if (runtime == NULL)
        return -ENOMEM;
    runtime->config = *config;
    wf_offload_init(&runtime->offload, config->blocking_threads);
    runtime->operations = (weft_semaphore)WEFT_SEMAPHORE_INIT(config->max_operations);
    wf_task_pool_init(&runtime->tasks);
    error = wf_usage_create(runtime);
    if (error == 0)
        error = wf_limits_create(&runtime->limits, config);
    if (error == 0)
        error = wf_topology_create(&runtime->topology);
    if (error == 0)
        error = wf_stack_depot_init(
            &runtime->depot, sizeof(struct weft_fiber), (enum wf_guard)config->guard,
            wf_topology_group_count(runtime->topology), wf_topology_group_order(runtime->topology));
    if (error == 0) {
        uint64_t quota = wf_os_cpu_quota("");

        if (config->max_stack_memory_mib != UINT32_MAX)
            wf_stack_depot_limit(&runtime->depot, (uint64_t)config->max_stack_memory_mib << 20);
        runtime->worker_count = wf_runtime_count_workers(config, runtime->topology, quota);
        runtime->crew_max = runtime->worker_count +
                            (config->monitor == WF_MONITOR_ON ? config->spare_workers : 0);
        runtime->park.worker_count = runtime->worker_count;
        runtime->config.spin_us = wf_runtime_spin_us(config, runtime->topology, quota);
        runtime->is_pinned = wf_runtime_pins(config, runtime->topology, runtime->worker_count);
        runtime->is_spread = runtime->is_pinned &&
                             wf_topology_is_spread(runtime->topology, runtime->worker_count);
        runtime->spare_park.worker_count = config->spare_workers;
        runtime->is_chaotic = config->chaos != 0;
        runtime->has_barrier = wf_os_barrier_prepare();
        if (runtime->is_chaotic)
            wf_chaos_begin(runtime);
        runtime->stack_class = wf_stack_class((size_t)config->stack_size_kib * 1024);
        error = wf_spare_map(runtime);
        if (error == 0)
            error = create_workers(runtime);
    }
    if (error != 0) {
        wf_runtime_destroy(runtime);
        return error;
    }
    *result = runtime;
    return 0;
}

void wf_runtime_reset_stats(void)
{
    last_run.is_set = false;
    /* relaxed: there is one thread. */
    atomic_store_explicit(&last_run.lock.word, WF_LOCK_FREE, memory_order_relaxed);
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

static int read_worker(weft_runtime *runtime, unsigned index, struct weft_stats *stats)
{
    if (index >= wf_runtime_crew(runtime))
        return -ERANGE;
    *stats = (struct weft_stats){.workers = 1};
    wf_stats_collect(&runtime->workers[index]->counters, stats);
    return 0;
}

int weft_stats_read_worker(unsigned index, struct weft_stats *stats)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? read_worker(self->runtime, index, stats) : -EPERM;
}

int weft_stats_read_worker_on(weft_runtime *runtime, unsigned index, struct weft_stats *stats)
{
    int result;

    if (wf_outside_is_child(runtime))
        return -ECHILD;
    wf_outside_enter(runtime);
    result = read_worker(runtime, index, stats);
    wf_outside_leave(runtime);
    return result;
}

int weft_stats_read_on(weft_runtime *runtime, struct weft_stats *stats)
{
    if (wf_outside_is_child(runtime))
        return -ECHILD;
    wf_outside_enter(runtime);
    collect(runtime, stats);
    wf_outside_leave(runtime);
    return 0;
}

weft_runtime *weft_runtime_self(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->runtime : NULL;
}

unsigned weft_worker_count(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->runtime->worker_count : 0;
}

unsigned weft_worker_limit(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? self->runtime->crew_max : 0;
}

int weft_worker_index(void)
{
    struct wf_worker *self = wf_self();

    return self != NULL ? (int)self->index : -1;
}
