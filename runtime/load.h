/* SPDX-License-Identifier: MIT */
/*
 * The policy of balance.c as arithmetic: how much a worker has to do, when it is more than it can,
 * whether a second one was worth its price, and when two have so little that one would do.
 * (docs/adr/0008)
 *
 * Overload is a score: up by one for each window in which the worker never slept, down by three for
 * each in which it did.  A worker that runs dry now and then, because a client was slow for a
 * moment, keeps most of its score; one that sleeps in every fourth window gains none.
 *
 * Load is the part of the time, in thousandths, in which the worker's thread ran, wanted to, or at
 * any rate did not wait for work; use is what two threads ran, in thousandths of a CPU.
 */
#ifndef WF_RUNTIME_LOAD_H
#define WF_RUNTIME_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WF_OVERLOAD_FRESH = 5,  /* from this score on others take fresh fibers */
    WF_OVERLOAD_READY = 50, /* and ready ones, whose I/O moves along */
    WF_OVERLOAD_MAX = 64,   /* so that it is forgotten after five windows with a sleep */
    WF_OVERLOAD_FALL = 3,
    WF_LOAD_WINDOWS = 32, /* between two looks at the load */
    WF_LOAD_FULL = 1000,
    WF_LOAD_IDLE = 100,   /* a worker with no more is not at work */
    WF_LOAD_GATHER = 600, /* two workers whose loads together are no more become one */
    WF_LOAD_BUSY = 800,   /* ready fibers stay unless four looks in a row have seen so much */
    WF_LOAD_BUSY_LOOKS = 4,
    WF_LOAD_HIGH = 950,     /* overload, whether the worker slept or not */
    WF_TRIAL_LOOKS = 4,     /* so long a second worker is on trial */
    WF_CALM_MS_MIN = 2000,  /* after it has failed no other is tried for so long, */
    WF_CALM_MS_MAX = 64000, /* and twice as long each further time */
};

/* The score after `windows` more of them; `has_slept`: at least once meanwhile. */
static inline uint32_t wf_load_score(uint32_t score, uint64_t windows, bool has_slept)
{
    if (has_slept)
        return windows * WF_OVERLOAD_FALL < score ? score - (uint32_t)windows * WF_OVERLOAD_FALL
                                                  : 0;
    return windows < WF_OVERLOAD_MAX - score ? score + (uint32_t)windows : WF_OVERLOAD_MAX;
}

/* The part of `elapsed_ns` that `ns` is, in thousandths. */
static inline uint32_t wf_load_part(int64_t ns, int64_t elapsed_ns)
{
    if (ns <= 0 || elapsed_ns <= 0)
        return 0;
    return ns < elapsed_ns ? (uint32_t)(ns * WF_LOAD_FULL / elapsed_ns) : WF_LOAD_FULL;
}

/*
 * What one look has seen of a load: the thread ran or wanted to, as the kernel counts it, or at
 * least it did not wait for work.  Neither alone is enough.  What a hypervisor takes away
 * counts as running for nobody; and some of the waits for work are work, since they submit.
 */
static inline uint32_t wf_load_seen(int64_t ran_or_waited_ns, int64_t asleep_ns, int64_t elapsed_ns)
{
    uint32_t counted = wf_load_part(ran_or_waited_ns, elapsed_ns);
    uint32_t awake = wf_load_part(elapsed_ns - asleep_ns, elapsed_ns);

    return counted > awake ? counted : awake;
}

/* The load after a look that has seen `seen`: one odd stretch does not decide. */
static inline uint32_t wf_load_mean(uint32_t load, uint32_t seen)
{
    return (load + seen + 1) / 2;
}

/*
 * True if a second worker has not been worth it: the two make fewer turns than the first one alone
 * did, by a twentieth, and use hardly more than one CPU together.  That is how it looks when the
 * clients are what limits the server, above all on the same machine.  Turns alone would not tell: a
 * program may have come to longer ones.
 */
static inline bool wf_load_trial_fails(uint64_t turns_per_s, uint64_t alone_per_s, uint32_t use)
{
    return turns_per_s * 20 < alone_per_s * 19 && use < WF_LOAD_FULL + WF_LOAD_IDLE;
}

/* For how long no other trial follows one that has failed; `calm_ms`: after the one before. */
static inline uint32_t wf_load_calm(uint32_t calm_ms)
{
    if (calm_ms < WF_CALM_MS_MIN)
        return WF_CALM_MS_MIN;
    return calm_ms < WF_CALM_MS_MAX / 2 ? calm_ms * 2 : WF_CALM_MS_MAX;
}

/* True if a worker with the one load should leave its work to the other one.  Of two at most one
 * does, and chains of givers have an end: the order by load and index is strict. */
static inline bool wf_load_goes(uint32_t load, uint32_t index, uint32_t other, uint32_t other_index)
{
    if (load + other > WF_LOAD_GATHER)
        return false;
    return load < other || (load == other && index > other_index);
}

#endif
