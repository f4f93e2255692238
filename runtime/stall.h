/* SPDX-License-Identifier: MIT */
/*
 * Reports of fibers that hold their workers for longer than `stall_report_ms`, on standard error:
 * which fiber, where it was spawned, for how long, whether it computes or blocks, and where it is.
 *
 * The last of these is known to the stuck thread alone.  It is sent a signal (SIGURG), and its
 * handler writes a sample: that is the price of a report, since a blocking call that the signal
 * interrupts can fail with EINTR.  There is at most one report in a second.
 *
 *   Edge   From                    To                      Promises
 *   SL.1   ask: state release      take: state acquire     the sample is the handler's
 *   SL.2   take: state release     print: state acquire    the sample is complete
 */
#ifndef WF_RUNTIME_STALL_H
#define WF_RUNTIME_STALL_H

#include "arch/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/fiber.h>

struct weft_config;
struct weft_runtime;
struct wf_worker;

enum {
    WF_SAMPLE_DEPTH = 32,
};

enum wf_sample_state {
    WF_SAMPLE_NONE,
    WF_SAMPLE_BEING_TAKEN,
    WF_SAMPLE_TAKEN,
    WF_SAMPLE_WANTED, /* plus the number of the worker that shall take it */
};

/* What the stuck thread says of itself. */
struct wf_sample {
    WF_ATOMIC(uint32_t) state; /* enum above: whose the fields below are */
    uint64_t turns;            /* of the worker */
    uint64_t fiber_id;         /* 0: it was in no fiber */
    char fiber_name[WEFT_FIBER_NAME_MAX];
    const void *spawn_site; /* NULL: the run's first fiber */
    size_t depth;
    void *addresses[WF_SAMPLE_DEPTH];
};

/* The monitor's alone, but for the sample. */
struct wf_stall {
    int64_t report_ns; /* INT64_MAX: never */
    bool has_signal;
    struct wf_worker *asked; /* NULL: no report is under way */
    uint64_t asked_turns;
    int64_t asked_at;
    int64_t stuck_for;   /* when it was asked: the signal can end what it was stuck in */
    int64_t reported_at; /* the last time; 0: never */
    uint64_t suppressed; /* since then */
    struct wf_sample sample;
};

/* True if a runtime so configured reports at all. */
bool wf_stall_is_reported(const struct weft_config *config);

/* Caller: the starter, before the monitor runs, and after it has ended. */
void wf_stall_start(struct weft_runtime *runtime);
void wf_stall_end(struct weft_runtime *runtime);

/* In the child of a fork(): its parent's runs have no claim on the signal here. */
void wf_stall_forget_parent(void);

/* Reports what is due.  Caller: the monitor, after each look at the workers. */
void wf_stall_look(struct weft_runtime *runtime, int64_t now);

#endif
