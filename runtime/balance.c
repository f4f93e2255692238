/* SPDX-License-Identifier: MIT */
#include "runtime/balance.h"

#include "arch/cpu.h"
#include "runtime/chaos.h"
#include "runtime/model.h"
#include "runtime/worker.h"

enum {
    STEAL_BATCH = 128,
    OVERLOAD_FRESH = 5,  /* windows without sleep before others take fresh fibers */
    OVERLOAD_READY = 50, /* and ready ones, whose I/O would move along */
    WATCH_PAUSES = 64,   /* guessed: about the time that a worker takes to come to its next slot */
};

void wf_balance_wake(struct wf_worker *self, uint32_t except)
{
    struct weft_runtime *runtime = self->runtime;

    /* Spares come last among the victims, and nobody but the monitor wakes them. */
    uint32_t count = runtime->worker_count - (self->index < runtime->worker_count ? 1 : 0);

    for (uint32_t i = 0; i < count; i++)
        if (self->victims[i] != except &&
            wf_worker_notify(self, runtime->workers[self->victims[i]]))
            return;
}

uint64_t wf_balance_backlog(struct wf_worker *worker)
{
    return wf_ready_size(&worker->ready) + (uint64_t)wf_deque_size(&worker->fresh);
}

static uint32_t overload_of(struct wf_worker *worker)
{
    if (WF_UNLIKELY(worker->runtime->is_chaotic))
        return OVERLOAD_READY;
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->overload, memory_order_relaxed);
}

static bool is_stuck(struct wf_worker *worker)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->stuck, memory_order_relaxed) != 0;
}

/* A worker that is stuck in one fiber does nothing for the others. */
static uint32_t plight_of(struct wf_worker *worker)
{
    return is_stuck(worker) ? UINT32_MAX : overload_of(worker);
}

/* The kernel knows best whether this thread has slept: it counts the times. */
void wf_balance_consider(struct wf_worker *self)
{
    int64_t window = (int64_t)self->runtime->config.wake_backlog_us * WEFT_MICROSECOND;
    uint64_t sleeps;
    uint32_t overload, windows;

    if (self->now - self->busy_since < window)
        return;
    sleeps = wf_os_thread_sleeps();
    windows = (uint32_t)((self->now - self->busy_since) / window);
    overload = sleeps == self->sleeps ? overload_of(self) + windows : 0;
    self->sleeps = sleeps;
    self->busy_since = self->now;
    /* relaxed: a hint to thieves. */
    atomic_store_explicit(&self->overload, overload, memory_order_relaxed);
    if ((overload >= OVERLOAD_FRESH &&
         (wf_deque_size(&self->fresh) >= 2 || wf_inject_size(&self->runtime->inject) >= 2)) ||
        (overload >= OVERLOAD_READY && wf_balance_backlog(self) >= 2))
        if (wf_park_wants_helper(&self->runtime->park))
            wf_balance_wake(self, self->index);
}

void wf_balance_look(struct wf_worker *self)
{
    /* What came from outside waits in the injector, and is in no worker's backlog. */
    if (!wf_park_wants_helper(&self->runtime->park) ||
        (wf_balance_backlog(self) < 2 && wf_inject_size(&self->runtime->inject) < 2))
        return;
    self->now = wf_os_now();
    wf_balance_consider(self);
}

static struct weft_fiber *steal_from(struct wf_worker *self, struct wf_worker *victim)
{
    void *items[STEAL_BATCH];
    struct weft_fiber *fiber;
    uint64_t count = 0;

    if (plight_of(victim) >= OVERLOAD_READY && wf_ready_size(&victim->ready) > 0)
        count = wf_ready_take_half(&victim->ready, items, STEAL_BATCH);
    if (count > 0) {
        for (uint64_t i = 1; i < count; i++)
            wf_worker_push_ready(self, items[i]);
        wf_count(&self->counters.steals, count);
        return items[0];
    }
    fiber = wf_deque_steal(&victim->fresh);
    if (fiber != NULL)
        wf_count(&self->counters.steals, 1);
    return fiber;
}

/* The next slot belongs to a fiber that is about to run where its data is warm.  It is taken only
 * from a worker that does not come to it. */
static struct weft_fiber *steal_next_of(struct wf_worker *self, struct wf_worker *victim)
{
    struct weft_fiber *fiber;
    uint64_t turns;

    /* relaxed: a hint. */
    if (atomic_load_explicit(&victim->next, memory_order_relaxed) == NULL)
        return NULL;
    turns = wf_counter_read(&victim->counters.turns);
    for (int i = 0; i < WATCH_PAUSES; i++)
        wf_cpu_pause();
    if (turns != wf_counter_read(&victim->counters.turns))
        return NULL;
    fiber = wf_worker_take_next(victim);
    if (fiber != NULL)
        wf_count(&self->counters.steals, 1);
    return fiber;
}

bool wf_balance_rescue(struct wf_worker *self)
{
    uint32_t crew, rescued = 0;

    if (!wf_monitor_sees_stuck(&self->runtime->monitor))
        return false;
    crew = wf_runtime_crew(self->runtime);
    for (uint32_t i = 0; i < crew; i++) {
        struct wf_worker *worker = self->runtime->workers[i];

        if (worker != self && is_stuck(worker))
            rescued += wf_worker_serve(self, worker);
    }
    wf_count(&self->counters.rescues, rescued);
    return rescued > 0;
}

/* One pass over the other workers: near ones before far ones, from a random start within each
 * distance, so that thieves do not queue up at the same victim. */
static struct weft_fiber *steal_pass(struct wf_worker *self,
                                     struct weft_fiber *(*from)(struct wf_worker *,
                                                                struct wf_worker *))
{
    uint32_t crew = wf_runtime_crew(self->runtime);
    uint32_t first = 0;

    for (unsigned distance = 0; distance < WF_DISTANCES; distance++) {
        uint32_t count = self->near[distance] - first;
        uint32_t start = count > 1 ? wf_chaos_random(self) % count : 0;

        for (uint32_t i = 0; i < count; i++) {
            uint32_t index = self->victims[first + (start + i) % count];
            struct wf_worker *victim = index < crew ? self->runtime->workers[index] : NULL;
            struct weft_fiber *fiber;

            if (victim == NULL || plight_of(victim) < OVERLOAD_FRESH)
                continue;
            fiber = from(self, victim);
            if (fiber != NULL)
                return fiber;
        }
        first = self->near[distance];
    }
    return NULL;
}

void wf_balance_end_search(struct wf_worker *self)
{
    if (self->is_searching)
        wf_park_end_search(self->park);
    self->is_searching = false;
}

struct weft_fiber *wf_balance_steal(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    if (!self->is_searching && !wf_park_begin_search(self->park))
        return NULL;
    self->is_searching = true;
    fiber = steal_pass(self, steal_from);
    if (fiber == NULL)
        fiber = steal_pass(self, steal_next_of);
    if (fiber == NULL)
        fiber = wf_task_steal(self);
    wf_balance_end_search(self);
    return fiber;
}
