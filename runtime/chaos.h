/* SPDX-License-Identifier: MIT */
/*
 * Chaos mode (WEFT_CHAOS=SEED): whatever the scheduler may do in any order it does in a random one,
 * so that tests meet in seconds what a program meets in years.
 *
 *   - A fiber that has run resumes on another worker, if there is one.
 *   - Queues begin with room for four, and grow; the shared queue gives out what it likes; victims
 *     of thieves are chosen at random, whether they are overloaded or not; the loop looks further
 *     after one to eight turns instead of 61 or more.
 *   - Workers are woken for nothing, and waiting fibers pinned as by a cancel that is late.
 *   - In builds with WEFT_CHAOS_POINTS, some compare-and-swaps come late (arch/atomic.h).
 *
 * Each worker has a generator of its own, so a seed repeats the choices of each worker, but not how
 * the kernel runs their threads.
 */
#ifndef WF_RUNTIME_CHAOS_H
#define WF_RUNTIME_CHAOS_H

#include "runtime/model.h"

#include <stdbool.h>
#include <stdint.h>

enum { WF_CHAOS_QUEUE_CAPACITY = 4 };

/* Switches the delays on, and says so.  Caller: the starter, before any worker runs. */
void wf_chaos_begin(struct weft_runtime *runtime);

/* Switches the delays on for a simulation, where they are points (arch/sim.h). */
void wf_chaos_begin_points(void);

/* The worker's state of its generator; never 0. */
uint32_t wf_chaos_seed(const struct weft_runtime *runtime, uint32_t worker_index);

/* The next number of the worker's generator. */
uint32_t wf_chaos_random(struct wf_worker *self);

/* The worker that must not run the fiber now, and need not be woken for it; UINT32_MAX: none. */
uint32_t wf_chaos_except(const struct weft_runtime *runtime, const struct weft_fiber *fiber);

/* True if the fiber must not run on this worker now. */
bool wf_chaos_forbids(const struct wf_worker *self, const struct weft_fiber *fiber);

/* Puts a fiber into the shared queue that must not run here, and some that may.  False: the caller
 * keeps it, for its own queues. */
bool wf_chaos_divert(struct wf_worker *self, struct weft_fiber *fiber);

/* The same for one that has never run: it may do so anywhere. */
bool wf_chaos_divert_fresh(struct wf_worker *self, struct weft_fiber *fiber);

/* Takes a fiber from the shared queue that may run here; NULL if there is none. */
struct weft_fiber *wf_chaos_take_injected(struct wf_worker *self);

/* Wakes and pins for nothing, and chooses when the loop looks further again. */
void wf_chaos_stir(struct wf_worker *self);

#endif
