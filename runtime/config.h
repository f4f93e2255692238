/* SPDX-License-Identifier: MIT */
/* The configuration: struct weft_config, the environment, defaults and ranges, in one table. */
#ifndef WF_RUNTIME_CONFIG_H
#define WF_RUNTIME_CONFIG_H

#include <weft/runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wf_config_origin {
    WF_ORIGIN_DEFAULT,
    WF_ORIGIN_PROGRAM,
    WF_ORIGIN_ENVIRONMENT,
};

/* Values of weft_config.monitor. */
enum {
    WF_MONITOR_ON = 1,
    WF_MONITOR_WITHOUT_SPARES = 2,
    WF_MONITOR_OFF = 3,
};

/* Values of weft_config.stack_usage. */
enum {
    WF_STACK_USAGE_OFF = 1,
    WF_STACK_USAGE_ON = 2,
};

/* Values of weft_config.overflow_report. */
enum {
    WF_OVERFLOW_REPORT_ON = 1,
    WF_OVERFLOW_REPORT_OFF = 2,
};

/* Values of weft_config.leaks. */
enum {
    WF_LEAKS_REPORT = 1,
    WF_LEAKS_IGNORE = 2,
};

/* Values of weft_config.deadlock. */
enum {
    WF_DEADLOCK_REPORT = 1,
    WF_DEADLOCK_IGNORE = 2,
};

/* Submission slots: the default and the least. */
enum { WF_RING_ENTRIES = 1024, WF_RING_ENTRIES_MIN = 8 };

struct wf_config_option {
    const char *name;  /* of the field; the variable is WEFT_ and the name in capitals */
    size_t offset;     /* of the uint32_t in struct weft_config */
    uint32_t fallback; /* 0: computed at the start, but for a limit */
    uint32_t min, max;
    const char *unit;
    const char *help;
    const char *const *names; /* of the values from `min` to `max`, which the environment may use
                                 instead of numbers; NULL: none */
    bool is_limit;            /* 0 limits nothing */
};

extern const struct wf_config_option wf_config_options[];
extern const unsigned wf_config_option_count;

/* Writes the name of the option's environment variable: WEFT_ and the option's name in capitals. */
void wf_config_variable(const struct wf_config_option *option, char *variable, size_t size);

/*
 * Fills every field of `resolved` from the environment, else from `config` (may be NULL), else
 * with its default; `origins`, unless NULL, has one entry for each option.
 *
 * Returns 0; -EINVAL after printing a line that names the value and its range.
 */
int wf_config_resolve(const struct weft_config *config, struct weft_config *resolved,
                      enum wf_config_origin *origins);

static inline uint32_t wf_config_value(const struct weft_config *config,
                                       const struct wf_config_option *option)
{
    return *(const uint32_t *)(const void *)((const char *)config + option->offset);
}

#endif
