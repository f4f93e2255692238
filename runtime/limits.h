/* SPDX-License-Identifier: MIT */
/*
 * What a runtime has a limited number of, beside operations under way, for which there is a
 * semaphore (wait.h): connections, and lent buffers.  io/ implements it, and the linker binds it,
 * as for poller.h.
 */
#ifndef WF_RUNTIME_LIMITS_H
#define WF_RUNTIME_LIMITS_H

enum {
    WF_LIMIT_CONNECTIONS_MAX = (1 << 20) - 1,
    WF_LIMIT_BUFFERS_KIB_MAX = 64 << 20, /* all have their turns from the start: some 0.1 s */
};

struct weft_config;
struct weft_stats;
struct wf_limits;

/* 0, and `*result` is NULL where the configuration limits none of them; or -ENOMEM. */
int wf_limits_create(struct wf_limits **result, const struct weft_config *config);

/* NULL is allowed.  Caller: whoever frees the runtime, which has no fiber left. */
void wf_limits_destroy(struct wf_limits *limits);

/* Writes the fields of `*stats` that tell of them.  NULL is allowed. */
void wf_limits_collect(struct wf_limits *limits, struct weft_stats *stats);

#endif
