/* SPDX-License-Identifier: MIT */
/*
 * The counters of one worker.  Their names are those of struct weft_stats.  Whoever sums those of
 * several workers reads them in this order, each of all workers before the next: of the fibers
 * whose end it counts it then counts the spawns as well.
 *
 *   Edge   From              To                 Promises
 *   ST.1   count: release    read: acquire      whoever sees the end of a fiber counted sees its
 *                                               spawn and its spawns counted: "finished as many
 *                                               as spawned", read in this order, means that none
 *                                               is alive, and more than that is never read
 */
#ifndef WF_RUNTIME_STATS_H
#define WF_RUNTIME_STATS_H

#include "arch/atomic.h"

#include <stdint.h>

#define WF_COUNTERS(X)  \
    X(fibers_freed)     \
    X(fibers_finished)  \
    X(fibers_started)   \
    X(fibers_spawned)   \
    X(turns)            \
    X(steals)           \
    X(barriers)         \
    X(parks)            \
    X(wakes_sent)       \
    X(polls)            \
    X(ops_submitted)    \
    X(ops_completed)    \
    X(ops_cancelled)    \
    X(timers_armed)     \
    X(timers_fired)     \
    X(ready_spills)     \
    X(cq_overflows)     \
    X(sq_full)          \
    X(io_refusals)      \
    X(io_interrupts)    \
    X(late_cancels)     \
    X(stalls)           \
    X(rescues)          \
    X(spare_calls)      \
    X(tasks_stolen)     \
    X(gathered)         \
    X(spins)            \
    X(spins_won)        \
    X(node_allocations) \
    X(unpins)           \
    X(wakes_received)

struct wf_counters {
#define WF_DECLARE_COUNTER(name) WF_ATOMIC(uint64_t) name; /* its worker writes, anyone reads */
    WF_COUNTERS(WF_DECLARE_COUNTER)
#undef WF_DECLARE_COUNTER
};

struct weft_stats;

/* Caller: the worker that owns the counter. */
static inline void wf_count(WF_ATOMIC(uint64_t) * counter, uint64_t amount)
{
    /* relaxed: nobody else writes it. */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    /* ST.1 release: after what this worker counted before. */
    atomic_store_explicit(counter, value + amount, memory_order_release);
}

/* Caller: anyone, for a counter that no worker owns. */
static inline void wf_count_shared(WF_ATOMIC(uint64_t) * counter, uint64_t amount)
{
    /* ST.1 and RT.4 seq_cst: before the caller's look whether the runtime is ending. */
    atomic_fetch_add_explicit(counter, amount, memory_order_seq_cst);
}

/* Caller: anyone. */
static inline uint64_t wf_counter_read(WF_ATOMIC(uint64_t) * counter)
{
    /* ST.1 acquire: counters that are read after this one are no older. */
    return atomic_load_explicit(counter, memory_order_acquire);
}

/* Adds the counters to `stats`. */
void wf_stats_collect(struct wf_counters *counters, struct weft_stats *stats);

#endif
