/* SPDX-License-Identifier: MIT */
/* weft_doctor(): what a runtime would use, and why. */
#include "arch/os.h"
#include "arch/topology.h"
#include "runtime/alloc.h"
#include "runtime/arena.h"
#include "runtime/check.h"
#include "runtime/config.h"
#include "runtime/overflow.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/sim.h"
#include "runtime/spin.h"
#include "runtime/stack.h"

#include <weft/runtime.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ROW "%-18s "

/* Ascending numbers as taskset(1) writes them: "0-3,8,16-30:2"; cut where the space ends. */
struct list {
    char text[48];
    size_t length;
    unsigned first, last; /* of the stretch not yet written */
    unsigned step;        /* 0: it has one number */
    bool is_started;
};

static void append(struct list *list, const char *format, unsigned number)
{
    size_t room = sizeof list->text - list->length;
    int length = snprintf(list->text + list->length, room, format, number);

    if (length > 0 && (size_t)length < room)
        list->length += (size_t)length;
    else
        memcpy(list->text + sizeof list->text - 4, "...", 4);
}

static void end_stretch(struct list *list)
{
    bool is_pair = list->step > 1 && list->last == list->first + list->step;

    append(list, list->length > 0 ? ",%u" : "%u", list->first);
    if (list->step > 0)
        append(list, is_pair ? ",%u" : "-%u", list->last);
    if (list->step > 1 && !is_pair)
        append(list, ":%u", list->step);
}

static void list_number(struct list *list, unsigned number)
{
    if (list->is_started && list->step == 0) {
        list->step = number - list->last;
    } else if (!list->is_started || number != list->last + list->step) {
        if (list->is_started)
            end_stretch(list);
        list->first = number;
        list->step = 0;
    }
    list->is_started = true;
    list->last = number;
}

static void print_cpus(FILE *out, const struct wf_topology *topology)
{
    unsigned count = wf_topology_cpu_count(topology), nodes = wf_topology_node_count(topology);

    fprintf(out, ROW "%u allowed, %u NUMA node%s\n", "CPUs", count, nodes, nodes == 1 ? "" : "s");
}

/* The workers from `first` on that are neighbours.  Returns the first of the next line. */
static unsigned print_neighbours(FILE *out, const struct wf_topology *topology, unsigned first,
                                 unsigned end)
{
    struct wf_place start = wf_topology_place(topology, first), place = start;
    struct list cpus = {.step = 0}, cores = cpus, caches = cpus, workers = cpus;
    unsigned index = first;

    do {
        list_number(&workers, index);
        list_number(&cpus, place.cpu);
        list_number(&cores, place.core);
        list_number(&caches, place.cache);
        start = place;
        if (++index == end)
            break;
        place = wf_topology_place(topology, index);
    } while (place.group == start.group && place.core > start.core && place.cpu > start.cpu);
    end_stretch(&workers);
    end_stretch(&cpus);
    end_stretch(&cores);
    end_stretch(&caches);
    fprintf(out, ROW "worker %s on CPU %s: core %s, cache %s, node %u, package %u\n", "",
            workers.text, cpus.text, cores.text, caches.text, start.node, start.package);
    return index;
}

static void print_placement(FILE *out, const struct wf_topology *topology, uint32_t count)
{
    unsigned cpus = wf_topology_cpu_count(topology);
    unsigned end = count < cpus ? count : cpus;

    for (unsigned index = 0; index < end;)
        index = print_neighbours(out, topology, index, end);
    if (count > cpus)
        fprintf(out, ROW "worker %u and up share these CPUs in turn\n", "", cpus);
}

static void print_workers(FILE *out, const struct weft_config *config,
                          const struct wf_topology *topology, uint64_t quota)
{
    uint32_t count = wf_runtime_count_workers(config, topology, quota);
    bool is_pinned = wf_runtime_pins(config, topology, count);
    const char *why = "one for each allowed CPU";

    if (quota != 0)
        fprintf(out, ROW "%lu.%03lu CPUs\n", "cgroup quota", (unsigned long)(quota / 1000),
                (unsigned long)(quota % 1000));
    else
        fprintf(out, ROW "none\n", "cgroup quota");
    if (config->workers != 0)
        why = "as configured";
    else if (count < wf_topology_cpu_count(topology))
        why = "the cgroup quota, rounded up";
    fprintf(out, ROW "%u, %s, %s\n", "workers", count, why,
            !is_pinned         ? "not pinned"
            : config->pin == 1 ? "each pinned to a CPU"
                               : "each pinned to a CPU while nobody else wants it");
    fprintf(out, ROW "%s\n", "before a sleep",
            wf_runtime_spin_us(config, topology, quota) == WF_SPIN_NONE_US
                ? "workers do not look for work"
                : "workers look for work, for as long as a wake takes (spin_us)");
    fprintf(out, ROW "%s\n", "own queues",
            wf_os_barrier_prepare() ? "taken from without locked instructions (membarrier)"
                                    : "taken from by compare-and-swap: membarrier is refused");
    if (quota != 0 && (quota + 999) / 1000 < count)
        fprintf(out, ROW "more than the quota: the kernel will stop them all now and then\n", "");
    if (is_pinned)
        print_placement(out, topology, count);
}

static void print_guard(FILE *out, const struct weft_config *config)
{
    enum wf_guard guard = (enum wf_guard)config->guard;
    unsigned size_class = wf_stack_class((size_t)config->stack_size_kib * 1024);

    fprintf(out, ROW "%zu KiB, ", "stacks", wf_stack_class_size(size_class) / 1024);
    switch (guard == WF_GUARD_MARKER ? wf_stack_guard_probe() : guard) {
    case WF_GUARD_MARKER:
        fprintf(out, "guard markers (MADV_GUARD_INSTALL), no limit\n");
        break;
    case WF_GUARD_MAPPING:
        fprintf(out,
                "mprotect for %lu stacks (a quarter of vm.max_map_count), then canaries, which "
                "stacks_unguarded counts\n",
                wf_os_max_map_count() / 4);
        break;
    default:
        fprintf(out, "canaries, checked at each switch\n");
        break;
    }
    fprintf(out, ROW "%s\n", "",
            wf_overflow_is_reported(config)
                ? "an overflow is reported, by a handler for SIGSEGV and SIGBUS"
                : "an overflow is a plain SIGSEGV (overflow_report = 2)");
}

/* The first worker on its node says where the objects of all of them will lie. */
static int print_arena(FILE *out, const struct wf_topology *topology, unsigned index)
{
    unsigned node = wf_topology_place(topology, index).node, first = 0;
    uint32_t home;
    char text[160];
    int error;

    while (wf_topology_place(topology, first).node != node)
        first++;
    if (first < index)
        return 0;
    error = wf_runtime_find_home(topology, index, &home);
    if (error != 0 || home == WF_HOME_NONE)
        return error;
    wf_arena_describe(node, wf_topology_is_real(topology), text, sizeof text);
    fprintf(out, ROW "workers of NUMA node %u: %s\n", "", node, text);
    return 0;
}

static int print_allocator(FILE *out, const struct weft_config *config,
                           const struct wf_topology *topology, uint64_t quota)
{
    uint32_t count = wf_runtime_count_workers(config, topology, quota);
    unsigned cpus = wf_topology_cpu_count(topology);
    char text[128];
    int error = 0;

    wf_alloc_describe(text, sizeof text);
    fprintf(out, ROW "%s\n", "allocator", text);
    if (wf_runtime_pins(config, topology, count) && wf_topology_is_spread(topology, count))
        for (unsigned i = 0; i < count && i < cpus && error == 0; i++)
            error = print_arena(out, topology, i);
    return error;
}

static void print_options(FILE *out, const struct weft_config *config,
                          const enum wf_config_origin *origins)
{
    fprintf(out, "\n%-22s %-10s %-20s %-20s %s\n", "option", "value", "from", "range", "meaning");
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        const struct wf_config_option *option = &wf_config_options[i];
        uint32_t value = wf_config_value(config, option);
        char text[16] = "auto";
        char range[32];
        char from[64] = "default";

        if (origins[i] == WF_ORIGIN_PROGRAM)
            strcpy(from, "program");
        else if (origins[i] == WF_ORIGIN_ENVIRONMENT)
            wf_config_variable(option, from, sizeof from);

        if (value == UINT32_MAX || (value == 0 && option->is_limit))
            strcpy(text, "unlimited");
        else if (value != 0 || option->min == 0)
            snprintf(text, sizeof text, "%u", value);
        snprintf(range, sizeof range, "%u-%u %s", option->min, option->max, option->unit);
        fprintf(out, "%-22s %-10s %-20s %-20s %s\n", option->name, text, from, range, option->help);
    }
    fprintf(out, "Each is set by the variable WEFT_ and its name in capitals.\n");
}

int weft_doctor(const struct weft_config *config, FILE *out)
{
    enum wf_config_origin origins[32];
    struct weft_config resolved;
    struct wf_topology *topology;
    uint64_t quota;
    char backend[512];
    int error = wf_config_resolve(config, &resolved, origins), shadow, arenas;

    if (error == 0 && resolved.backend == WEFT_BACKEND_SIM)
        error = wf_sim_check();
    if (error == 0)
        error = wf_alloc_check();
    if (error == 0)
        error = wf_topology_create(&topology);
    if (error != 0)
        return error;
    quota = wf_os_cpu_quota("");
    fprintf(out, ROW "%s\n", "weft", weft_version());
    print_cpus(out, topology);
    print_workers(out, &resolved, topology, quota);
    shadow = wf_check_shadow_stack();
    error = wf_poller_describe(resolved.backend, backend, sizeof backend);
    fprintf(out, ROW "%s\n", "I/O backend", backend);
    print_guard(out, &resolved);
    fprintf(out, ROW "%s\n", "shadow stacks",
            shadow != 0 ? "on, so that nothing can run here" : "off");
    arenas = print_allocator(out, &resolved, topology, quota);
    print_options(out, &resolved, origins);
    wf_topology_destroy(topology);
    if (shadow != 0)
        return shadow;
    return error != 0 ? error : arenas;
}
