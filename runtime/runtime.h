/* SPDX-License-Identifier: MIT */
/* A runtime as a whole: how it is made, described, and taken down. */
#ifndef WF_RUNTIME_RUNTIME_H
#define WF_RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

struct weft_config;
struct weft_runtime;
struct wf_worker;
struct wf_topology;

/* The number of workers: what is asked for, else the CPU quota rounded up or the allowed CPUs,
 * whichever is less. */
uint32_t wf_runtime_count_workers(const struct weft_config *config,
                                  const struct wf_topology *topology, uint64_t quota);

/* weft_config.spin_us of a run: 0 if it is to be measured.  Where workers share CPUs or a quota,
 * who looks for work keeps another from its own: none then, unless configured.  Nor in chaos, where
 * what is there may not be what this worker may take, nor in a simulation, where no time would
 * pass. */
uint32_t wf_runtime_spin_us(const struct weft_config *config, const struct wf_topology *topology,
                            uint64_t quota);

/* Whether each worker is pinned to a CPU: as configured; else unless a quota limits their number.
 * Every process under a quota would take the first CPUs, and leave the others idle. */
bool wf_runtime_pins(const struct weft_config *config, const struct wf_topology *topology,
                     uint32_t worker_count);

/* Makes a runtime that has no threads yet.  `config` is resolved.  0 or -errno. */
int wf_runtime_create(const struct weft_config *config, struct weft_runtime **result);

/* Makes worker number `index`, without its thread; NULL when there is no memory.  Caller: the
 * starter, or the monitor for a spare. */
struct wf_worker *wf_runtime_add_worker(struct weft_runtime *runtime, uint32_t index);
void wf_runtime_remove_worker(struct weft_runtime *runtime, uint32_t index);

/* Finds where the objects of a worker at this place lie, if workers are on several NUMA nodes: see
 * alloc.h.  0 or -ENOMEM. */
int wf_runtime_find_home(const struct wf_topology *topology, uint32_t index, uint32_t *home);

/* Gives a worker its queues, and the order in which it looks at the others'.  0 or -ENOMEM. */
int wf_runtime_make_queues(struct wf_worker *self);

/* The same, and its poller: all that is allocated for it.  It lies near to the caller: the worker,
 * once it is where it stays, or the monitor for a spare.  0 or -errno. */
int wf_runtime_furnish(struct wf_worker *self);

/* What a worker's thread does before its loop and after it: enters, has been furnished, and opens,
 * which returns 0 or -errno.  The exit waits, if the loop `ran`, until all others have left theirs.
 */
void wf_runtime_enter(struct wf_worker *self);
int wf_runtime_open(struct wf_worker *self);
void wf_runtime_exit(struct wf_worker *self, bool ran);

/* Waits until the starter has seen every worker set up.  Returns false if the start failed. */
bool wf_runtime_await_start(struct weft_runtime *runtime);

/* Tells how a worker's set-up went, and waits until `count` workers have told. */
void wf_runtime_report_started(struct weft_runtime *runtime, int error);
void wf_runtime_wait_until_started(struct weft_runtime *runtime, uint32_t count);

/* Notes that the caller, a worker or the monitor, no longer touches any worker.  Returns how many
 * have said so. */
uint32_t wf_runtime_leave(struct weft_runtime *runtime);

/* Keeps the counters for weft_stats_read().  Caller: the last user, after every worker has ended.
 */
void wf_runtime_keep_stats(struct weft_runtime *runtime);

/* Forgets them.  Caller: the child of a fork(). */
void wf_runtime_reset_stats(void);

/* Caller: the last user. */
void wf_runtime_destroy(struct weft_runtime *runtime);

#endif
