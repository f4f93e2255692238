/* SPDX-License-Identifier: MIT */
/* weft_doctor(): what a runtime would use, and why. */
#include "arch/os.h"
#include "arch/topology.h"
#include "runtime/alloc.h"
#include "runtime/config.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/stack.h"

#include <weft/runtime.h>

#include <stdio.h>
#include <string.h>

#define ROW "%-18s "

static void print_cpus(FILE *out, const struct wf_topology *topology)
{
    unsigned count = wf_topology_cpu_count(topology);

    fprintf(out, ROW "%u allowed:", "CPUs", count);
    for (unsigned i = 0; i < count && i < 32; i++)
        fprintf(out, " %u", wf_topology_cpu_number(topology, i));
    fprintf(out, "%s, %u NUMA node%s\n", count > 32 ? " ..." : "", wf_topology_node_count(topology),
            wf_topology_node_count(topology) == 1 ? "" : "s");
}

static void print_workers(FILE *out, const struct weft_config *config,
                          const struct wf_topology *topology)
{
    uint64_t quota = wf_os_cpu_quota("");
    uint32_t count = wf_runtime_count_workers(config, topology, quota);
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
            config->pin == 1 ? "each pinned to a CPU" : "not pinned");
}

static const char *guard_name(const struct weft_config *config)
{
    enum wf_guard guard = (enum wf_guard)config->guard;

    switch (guard == WF_GUARD_MARKER ? wf_stack_guard_probe() : guard) {
    case WF_GUARD_MARKER:
        return "guard markers (MADV_GUARD_INSTALL), no limit";
    case WF_GUARD_MAPPING:
        return "mprotect, as many stacks as a quarter of vm.max_map_count, then canaries";
    default:
        return "canaries, checked when a fiber ends";
    }
}

static void print_options(FILE *out, const struct weft_config *config,
                          const enum wf_config_origin *origins)
{
    fprintf(out, "\n%-16s %-10s %-20s %-20s %s\n", "option", "value", "from", "range", "meaning");
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

        if (value == UINT32_MAX)
            strcpy(text, "unlimited");
        else if (value != 0)
            snprintf(text, sizeof text, "%u", value);
        snprintf(range, sizeof range, "%u-%u %s", option->min, option->max, option->unit);
        fprintf(out, "%-16s %-10s %-20s %-20s %s\n", option->name, text, from, range, option->help);
    }
    fprintf(out, "Each is set by the variable WEFT_ and its name in capitals.\n");
}

int weft_doctor(const struct weft_config *config, FILE *out)
{
    enum wf_config_origin origins[16];
    struct weft_config resolved;
    struct wf_topology *topology;
    char backend[256];
    int error = wf_config_resolve(config, &resolved, origins);

    if (error == 0)
        error = wf_topology_create(&topology);
    if (error != 0)
        return error;
    fprintf(out, ROW "%s\n", "weft", weft_version());
    print_cpus(out, topology);
    print_workers(out, &resolved, topology);
    error = wf_poller_describe(backend, sizeof backend);
    fprintf(out, ROW "%s\n", "I/O backend", backend);
    fprintf(out, ROW "%u KiB, %s\n", "stacks", resolved.stack_size_kib, guard_name(&resolved));
    fprintf(out, ROW "%s\n", "allocator", wf_alloc_name());
    print_options(out, &resolved, origins);
    wf_topology_destroy(topology);
    return error;
}
