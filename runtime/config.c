/* SPDX-License-Identifier: MIT */
#include "runtime/config.h"

#include "runtime/check.h"
#include "runtime/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OPTION(name, fallback, min, max, unit, help)                                           \
    {                                                                                          \
#name, offsetof(struct weft_config, name), fallback, min, max, unit, help, NULL, false \
    }

/* Without a number that means none: what it counts has fewer than that. */
#define LIMIT(name, min, max, unit, help)                                              \
    {                                                                                  \
#name, offsetof(struct weft_config, name), 0, min, max, unit, help, NULL, true \
    }

#define NAMED(name, fallback, names, help)                                                      \
    {                                                                                           \
#name, offsetof(struct weft_config, name), fallback, 1, sizeof(names) / sizeof(*names), \
            "", help, names, false                                                              \
    }

#if WF_CHECK_LEVEL >= 2
enum { LEAKS_DEFAULT = WF_LEAKS_REPORT };
#else
enum { LEAKS_DEFAULT = WF_LEAKS_IGNORE };
#endif

static const char *const backend_names[] = {"auto", "io_uring", "epoll", "sim"};

/* A field of 0 asks for the default, so no range includes 0 but where that is the default. */
const struct wf_config_option wf_config_options[] = {
    OPTION(workers, 0, 1, 1024, "threads", "worker threads; default: allowed CPUs or CPU quota"),
    OPTION(stack_size_kib, 256, 16, 8192, "KiB", "stack of a fiber that asks for none"),
    OPTION(max_fibers, UINT32_MAX, 1, UINT32_MAX, "fibers", "live fibers at most"),
    OPTION(pin, 0, 1, 2, "",
           "1: pin each worker to a CPU, 2: none; default: 1 while nobody else wants that CPU, "
           "2 where a quota rules"),
    OPTION(ring_entries, WF_RING_ENTRIES, WF_RING_ENTRIES_MIN, 32768, "entries",
           "submission slots per worker"),
    OPTION(wake_backlog_us, 2000, 1, 1000000, "us",
           "window of the look whether a worker is overloaded"),
    OPTION(guard, 1, 1, 3, "", "1: best stack guard, 2: mprotect, 3: canary"),
    OPTION(chaos, 0, 0, UINT32_MAX, "", "seed of chaos mode, for tests; 0: off"),
    OPTION(monitor, 1, 1, 3, "", "1: relieve stuck workers, 2: without spare workers, 3: off"),
    OPTION(stall_us, 4000, 100, 1000000, "us", "time in one fiber after which a worker is stuck"),
    OPTION(stall_report_ms, 1000, 1, UINT32_MAX, "ms",
           "time in one fiber after which it is reported; 4294967295: never"),
    OPTION(spare_workers, 4, 1, 64, "threads", "workers beyond the usual ones while all are stuck"),
    OPTION(blocking_threads, 64, 1, 1024, "threads", "threads for weft_blocking() calls at most"),
    OPTION(overflow_report, 1, 1, 2, "",
           "1: name the fiber whose stack overflows, 2: leave SIGSEGV and SIGBUS alone"),
    NAMED(backend, WEFT_BACKEND_AUTO, backend_names, "1: auto, 2: io_uring, 3: epoll, 4: sim"),
    OPTION(max_stack_memory_mib, UINT32_MAX, 1, UINT32_MAX, "MiB", "memory for stacks at most"),
    OPTION(stack_usage, 1, 1, 2, "", "1: off, 2: measure how much of its stack each fiber uses"),
    OPTION(deadlock, 1, 1, 2, "", "1: report a deadlock and end the run, 2: let it wait"),
    OPTION(leaks, LEAKS_DEFAULT, 1, 2, "",
           "1: report fibers that nobody joined or detached, 2: do not"),
    OPTION(max_operations, UINT32_MAX, 1, UINT32_MAX, "operations",
           "input and output operations under way at most; further ones wait"),
    OPTION(spin_us, 0, 1, 1000, "us",
           "look for work before a sleep; 1: none; default: measured, none on crowded CPUs"),
    LIMIT(max_connections, 1, WF_LIMIT_CONNECTIONS_MAX, "connections",
          "accepted and not closed at most; weft_accept() waits; default: no limit"),
    LIMIT(max_buffer_memory_kib, 16, WF_LIMIT_BUFFERS_KIB_MAX, "KiB",
          "buffers lent by weft_recv_lent() at most; it waits; default: no limit"),
};

const unsigned wf_config_option_count = sizeof wf_config_options / sizeof wf_config_options[0];

static uint32_t *field_of(struct weft_config *config, const struct wf_config_option *option)
{
    return (uint32_t *)(void *)((char *)config + option->offset);
}

void wf_config_variable(const struct wf_config_option *option, char *variable, size_t size)
{
    size_t length = 0;

    for (const char *prefix = "WEFT_"; *prefix != '\0' && length + 1 < size; prefix++)
        variable[length++] = *prefix;
    for (const char *at = option->name; *at != '\0' && length + 1 < size; at++)
        variable[length++] = (char)toupper((unsigned char)*at);
    variable[length] = '\0';
}

/* Returns false if the text names no value of the option. */
static bool read_name(const struct wf_config_option *option, const char *text, uint32_t *value)
{
    for (uint32_t i = option->min; option->names != NULL && i <= option->max; i++) {
        if (strcmp(text, option->names[i - option->min]) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

/* Returns 1 if the variable is set, 0 if it is not (or is empty), -EINVAL if it is no number. */
static int read_environment(const struct wf_config_option *option, uint32_t *value)
{
    char variable[64];
    const char *text;
    char *end;
    unsigned long long number;

    wf_config_variable(option, variable, sizeof variable);
    text = getenv(variable);
    if (text == NULL || *text == '\0')
        return 0;
    if (read_name(option, text, value))
        return 1;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || !isdigit((unsigned char)*text) || number < option->min ||
        number > option->max) {
        wf_complain("%s=%s is not a number from %u to %u (%s)", variable, text, option->min,
                    option->max, option->help);
        return -EINVAL;
    }
    *value = (uint32_t)number;
    return 1;
}

static int resolve_option(const struct wf_config_option *option, uint32_t given, uint32_t *value,
                          enum wf_config_origin *origin)
{
    int set = read_environment(option, value);

    if (set < 0)
        return set;
    if (set > 0) {
        *origin = WF_ORIGIN_ENVIRONMENT;
        return 0;
    }
    *origin = given != 0 ? WF_ORIGIN_PROGRAM : WF_ORIGIN_DEFAULT;
    *value = given != 0 ? given : option->fallback;
    if (given != 0 && (given < option->min || given > option->max)) {
        wf_complain("%s = %u is not within %u to %u (%s)", option->name, given, option->min,
                    option->max, option->help);
        return -EINVAL;
    }
    return 0;
}

/* What later versions will give a meaning to: a program that sets it expects more than we do. */
static int check_reserved(const struct weft_config *config)
{
    for (size_t i = 0; i < sizeof config->reserved / sizeof config->reserved[0]; i++) {
        if (config->reserved[i] != 0) {
            wf_complain("weft_config.reserved[%zu] is not zero", i);
            return -EINVAL;
        }
    }
    return 0;
}

int wf_config_resolve(const struct weft_config *config, struct weft_config *resolved,
                      enum wf_config_origin *origins)
{
    static const struct weft_config none = WEFT_CONFIG_INIT;

    if (config == NULL)
        config = &none;
    *resolved = none;
    if (check_reserved(config) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < wf_config_option_count; i++) {
        const struct wf_config_option *option = &wf_config_options[i];
        enum wf_config_origin origin;
        int error = resolve_option(option, wf_config_value(config, option),
                                   field_of(resolved, option), &origin);

        if (error != 0)
            return error;
        if (origins != NULL)
            origins[i] = origin;
    }
    if ((resolved->ring_entries & (resolved->ring_entries - 1)) != 0) {
        wf_complain("ring_entries (WEFT_RING_ENTRIES) = %u is not a power of two",
                    resolved->ring_entries);
        return -EINVAL;
    }
    return 0;
}
