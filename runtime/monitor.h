/* SPDX-License-Identifier: MIT */
/*
 * The monitor: one thread per runtime that sees to it that no fiber waits behind another's burst
 * of computing or blocking call.  (docs/adr/0015)
 *
 * A worker that is awake and has switched to no other fiber for `stall_us` is stuck.  While it is,
 * others may take its fibers at once, and serve its timers and its ring for it.  The monitor wakes
 * a helper when something waits there; when every worker is stuck it calls a spare one (spare.h).
 * After `stall_report_ms` it reports the fiber (stall.h).
 *
 * It looks several times in `stall_us` while any worker is awake, and sleeps without a limit after
 * a tenth of a second in which none was (watcher.h); with a limit only while threads of the
 * program's own hide what may be a deadlock (deadlock.h).  It also gives memory back that stacks no
 * longer need (trim.h), and lets workers go whose CPUs others want (pin.h).
 */
#ifndef WF_RUNTIME_MONITOR_H
#define WF_RUNTIME_MONITOR_H

#include "arch/atomic.h"
#include "arch/os.h"
#include "runtime/stall.h"
#include "runtime/stats.h"
#include "runtime/trim.h"
#include "runtime/watcher.h"

#include <stdbool.h>
#include <stdint.h>

struct weft_runtime;
struct wf_worker;

/* What the monitor knows of one worker.  The monitor's alone. */
struct wf_watch {
    uint64_t turns; /* when it last looked */
    int64_t since;  /* for how long they have been that many */
    bool is_stuck;
    bool is_reported;
    bool is_left_out; /* so far: its report has to wait for others */
    uint64_t changes; /* spawns and ends when it was last asked for all its stacks: see trim.h */
};

/* All but the atomics are the monitor's alone once it runs. */
struct wf_monitor {
    struct wf_os_thread thread;
    bool is_started;
    int64_t stall_ns;
    int64_t quiet_since;   /* no worker has been awake since then */
    int64_t freed_since;   /* not all workers have been stuck since then; 0: they are */
    bool cannot_start;     /* spares: the system refused one */
    struct wf_stall stall; /* see stall.h */
    struct wf_trim trim;   /* see trim.h */
    int64_t pins_looked;   /* see pin.h */
    struct wf_watcher watcher;
    WF_CACHE_ALIGNED WF_ATOMIC(uint32_t) stuck_count; /* stuck workers, a hint for the others */
    struct wf_counters counters;
};

/* Starts the thread, if one is configured.  0 or -errno.  Caller: the starter, before any worker
 * enters its loop. */
int wf_monitor_start(struct weft_runtime *runtime);

/* Waits for the thread's end.  Caller: the starter; the runtime is done. */
void wf_monitor_join(struct weft_runtime *runtime);

/* Ends the sleep of a worker, if it sleeps.  Caller: the monitor, after publishing what the worker
 * shall see. */
bool wf_monitor_notify(struct weft_runtime *runtime, struct wf_worker *worker);

/* Ends the monitor's sleep.  Caller: anyone but the monitor. */
WF_COLD void wf_monitor_wake(struct wf_monitor *monitor);

/* Caller: who has just made what the monitor looks at before it sleeps, as a worker that has
 * retracted its sleep. */
static inline void wf_monitor_rouse(struct wf_monitor *monitor)
{
    if (WF_UNLIKELY(wf_watcher_is_dozing(&monitor->watcher)))
        wf_monitor_wake(monitor);
}

/* True if some worker is stuck.  A hint. */
static inline bool wf_monitor_sees_stuck(struct wf_monitor *monitor)
{
    /* relaxed: a hint. */
    return WF_UNLIKELY(atomic_load_explicit(&monitor->stuck_count, memory_order_relaxed) != 0);
}

#endif
