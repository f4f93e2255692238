/* SPDX-License-Identifier: MIT */
#include "runtime/monitor.h"

#include "runtime/balance.h"
#include "runtime/check.h"
#include "runtime/config.h"
#include "runtime/deadlock.h"
#include "runtime/model.h"
#include "runtime/own.h"
#include "runtime/pin.h"
#include "runtime/poller.h"
#include "runtime/runtime.h"
#include "runtime/spare.h"
#include "runtime/worker.h"

#include <weft/base.h>

enum {
    LOOKS_PER_STALL = 2, /* a burst is seen after 1 to 1.5 times stall_us */
    DISMISS_MS = 100,    /* guessed */
    QUIET_MS = 100,      /* guessed: waking the monitor costs about as much as ten of its looks */
    TRIM_MS = 1,         /* guessed: between two bouts of giving memory back */
    LOOK_AGAIN_S = 1,    /* guessed; then twice as long each time, up to the next */
    LOOK_SELDOM_S = 60,  /* guessed: too seldom to keep a CPU from its deep sleep */
};

void wf_monitor_wake(struct wf_monitor *monitor)
{
    if (wf_watcher_end_sleep(&monitor->watcher))
        wf_os_futex_wake(&monitor->watcher.state, 1);
}

static bool is_awake(struct wf_worker *worker)
{
    /* relaxed: a hint; if it is wrong now it is right at the next look. */
    return atomic_load_explicit(&worker->parker.state, memory_order_relaxed) == WF_PARKER_AWAKE;
}

static void mark(struct weft_runtime *runtime, struct wf_worker *worker, bool is_stuck)
{
    if (is_stuck && !worker->watch.is_stuck)
        wf_count(&runtime->monitor.counters.stalls, 1);
    worker->watch.is_stuck = is_stuck;
    /* relaxed: a hint to thieves, and to the fiber that it should yield. */
    atomic_store_explicit(&worker->stuck, is_stuck, memory_order_relaxed);
}

/* Decides whether the worker is stuck.  One that the system keeps from running looks the same, and
 * is helped in the same way. */
static void look_at(struct weft_runtime *runtime, struct wf_worker *worker, int64_t now)
{
    struct wf_watch *watch = &worker->watch;
    uint64_t turns = wf_counter_read(&worker->counters.turns);

    if (is_awake(worker))
        runtime->monitor.quiet_since = now;
    if (is_awake(worker) && turns == watch->turns) {
        if (!watch->is_stuck && now - watch->since >= runtime->monitor.stall_ns)
            mark(runtime, worker, true);
        return;
    }
    if (turns != watch->turns)
        runtime->monitor.quiet_since = now;
    watch->turns = turns;
    watch->since = now;
    runtime->monitor.stall.suppressed += watch->is_left_out;
    watch->is_reported = watch->is_left_out = false;
    if (watch->is_stuck)
        mark(runtime, worker, false);
}

/* True if something waits behind the stuck worker that a helper could do. */
static bool has_waiting(struct wf_worker *worker, int64_t now)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->next, memory_order_relaxed) != NULL ||
           wf_own_backlog(worker) > 0 || wf_wheel_next(&worker->wheel) <= now ||
           wf_poller_needs_service(worker->poller);
}

static bool is_help_wanted(struct weft_runtime *runtime, uint32_t crew, int64_t now)
{
    if (wf_inject_size(&runtime->inject) > 0)
        return true;
    for (uint32_t i = 0; i < crew; i++)
        if (runtime->workers[i]->watch.is_stuck && has_waiting(runtime->workers[i], now))
            return true;
    return false;
}

bool wf_monitor_notify(struct weft_runtime *runtime, struct wf_worker *worker)
{
    if (!wf_park_notify(worker->park, &worker->parker))
        return false;
    wf_count(&runtime->monitor.counters.wakes_sent, 1);
    wf_poller_interrupt(worker->poller);
    return true;
}

static bool is_on_duty(struct wf_worker *worker)
{
    /* relaxed: only the monitor writes it. */
    return atomic_load_explicit(&worker->duty, memory_order_relaxed) == WF_DUTY_WORK;
}

/* Something waits behind a stuck worker: wakes one that sleeps, or calls a spare when all are
 * stuck. Those that are awake look there by themselves when their turns are over. */
static void call_helper(struct weft_runtime *runtime, uint32_t crew)
{
    /* In chaos mode the worker that is free can be the one that may not run the fiber. */
    bool is_chaotic = runtime->is_chaotic;
    bool all_stuck = true;

    for (uint32_t i = 0; i < crew; i++) {
        struct wf_worker *worker = runtime->workers[i];

        if (!is_on_duty(worker))
            continue;
        if (wf_spare_is_hindered(worker)) {
            /* It tries again, but another one may come meanwhile. */
            (void)wf_monitor_notify(runtime, worker);
            continue;
        }
        if (wf_monitor_notify(runtime, worker) && !is_chaotic)
            return;
        all_stuck &= worker->watch.is_stuck;
    }
    if (all_stuck || is_chaotic)
        wf_spare_call(runtime);
}

/* Spares leave when the others have kept going for a while: calling them again has its price. */
static void review_spares(struct weft_runtime *runtime, int64_t now)
{
    struct wf_monitor *monitor = &runtime->monitor;
    uint32_t stuck = 0;

    for (uint32_t i = 0; i < runtime->worker_count; i++)
        stuck += runtime->workers[i]->watch.is_stuck;
    if (stuck == runtime->worker_count)
        monitor->freed_since = 0;
    else if (monitor->freed_since == 0)
        monitor->freed_since = now;
    else if (now - monitor->freed_since >= DISMISS_MS * WEFT_MILLISECOND)
        wf_spare_dismiss(runtime);
}

static void look(struct weft_runtime *runtime, int64_t now)
{
    uint32_t crew = wf_runtime_crew(runtime);
    uint32_t stuck = 0;

    for (uint32_t i = 0; i < crew; i++) {
        look_at(runtime, runtime->workers[i], now);
        stuck += runtime->workers[i]->watch.is_stuck;
    }
    /* relaxed: a hint. */
    atomic_store_explicit(&runtime->monitor.stuck_count, stuck, memory_order_relaxed);
    if (stuck > 0 && is_help_wanted(runtime, crew, now))
        call_helper(runtime, crew);
    review_spares(runtime, now);
    if (stuck > 0 || runtime->monitor.stall.asked != NULL)
        wf_stall_look(runtime, now);
    wf_trim_look(runtime, now);
    wf_pin_look(runtime, now);
}

static bool all_asleep(struct weft_runtime *runtime)
{
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++)
        if (!wf_watcher_sees_asleep(&runtime->workers[i]->parker))
            return false;
    return true;
}

/* Sleeps until a worker wakes, or stacks are wanted; not at all if one is awake.  The end of a
 * thread that keeps a deadlock from being certain wakes nobody: only for such a one it looks again.
 */
static void doze(struct weft_runtime *runtime)
{
    struct wf_watcher *watcher = &runtime->monitor.watcher;
    int64_t pause = LOOK_AGAIN_S * WEFT_SECOND, last = LOOK_SELDOM_S * WEFT_SECOND;

    wf_watcher_doze(watcher);
    while (wf_watcher_is_dozing(watcher) && all_asleep(runtime) && !wf_trim_is_wanted(runtime)) {
        int64_t deadline = INT64_MAX;

        if (wf_deadlock_look(runtime)) {
            deadline = wf_os_now() + pause;
            pause = 2 * pause < last ? 2 * pause : last;
        }
        wf_os_futex_wait(&watcher->state, WF_WATCHER_DOZING, deadline);
    }
    (void)wf_watcher_end_sleep(watcher);
}

static void nap(struct weft_runtime *runtime, int64_t deadline)
{
    struct wf_watcher *watcher = &runtime->monitor.watcher;

    /* relaxed: whoever misses it only lets us sleep until the next tick. */
    atomic_store_explicit(&watcher->state, WF_WATCHER_NAPPING, memory_order_relaxed);
    if (!wf_runtime_is_done(runtime))
        wf_os_futex_wait(&watcher->state, WF_WATCHER_NAPPING, deadline);
    (void)wf_watcher_end_sleep(watcher);
}

/* What was seen before a long sleep says nothing about the present. */
static void forget(struct weft_runtime *runtime, int64_t now)
{
    uint32_t crew = wf_runtime_crew(runtime);

    runtime->monitor.quiet_since = now;
    for (uint32_t i = 0; i < crew; i++)
        runtime->workers[i]->watch.since = now;
}

static int64_t until_next_look(const struct wf_monitor *monitor)
{
    int64_t tick = monitor->stall_ns / LOOKS_PER_STALL, bout = TRIM_MS * WEFT_MILLISECOND;

    return monitor->trim.has_more && bout < tick ? bout : tick;
}

static void monitor_main(void *arg)
{
    struct weft_runtime *runtime = arg;
    struct wf_monitor *monitor = &runtime->monitor;
    int64_t now;

    wf_os_thread_hurry();
    /* A worker that waits for the start looks stuck, and its spare would run the first fiber to its
     * end before the start has happened. */
    if (!wf_runtime_await_start(runtime))
        return;
    now = wf_os_now();
    forget(runtime, now);
    while (!wf_runtime_is_done(runtime)) {
        nap(runtime, now + until_next_look(monitor));
        now = wf_os_now();
        look(runtime, now);
        if (now - monitor->quiet_since >= QUIET_MS * WEFT_MILLISECOND &&
            wf_trim_settle(runtime, now)) {
            doze(runtime);
            now = wf_os_now();
            forget(runtime, now);
        }
    }
    wf_runtime_leave(runtime);
}

int wf_monitor_start(struct weft_runtime *runtime)
{
    struct wf_monitor *monitor = &runtime->monitor;
    int error;

    if (runtime->config.monitor == WF_MONITOR_OFF)
        return 0;
    monitor->stall_ns = (int64_t)runtime->config.stall_us * WEFT_MICROSECOND;
    error = wf_os_thread_start(&monitor->thread, "weft-monitor", monitor_main, runtime);
    if (error != 0)
        wf_complain("cannot start the monitor's thread: error %d", -error);
    monitor->is_started = error == 0;
    return error;
}

void wf_monitor_join(struct weft_runtime *runtime)
{
    if (runtime->monitor.is_started)
        wf_os_thread_join(&runtime->monitor.thread);
    wf_stall_end(runtime);
}
