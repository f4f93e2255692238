/* SPDX-License-Identifier: MIT */
/*
 * The scheduler loop of a worker: next - switch - commit - poll - steal - sleep.
 *
 * Rules:
 *   1. Fresh fibers run youngest first, so that recursive spawning stays deep and narrow; woken and
 *      yielded fibers run in their order.  The two take turns.
 *   2. A fiber that the running one just woke is next, but at most three times in a row.
 *   3. Every FAIR_INTERVAL turns come the oldest fresh fiber, the injector, the timers and the
 *      ring, whatever else is there.
 *   4. What a fiber asks for when it leaves (yield, wait, exit) is carried out by whatever the
 *      worker runs next, the loop or another fiber, as the first thing after the switch: only then
 *      are the fiber's registers saved, and only then may anyone else resume it.
 *   5. One worker is enough for as long as it is enough: a wake costs more than ten thousand
 *      instructions, and fibers that moved take their I/O along.  So a worker counts as overloaded
 *      only when it has not slept for a while; then it wakes a helper if it has a backlog, and
 *      only from overloaded workers do others steal: fresh fibers soon, ready ones, whose I/O would
 *      move along, when it has lasted.
 */
#include "runtime/worker.h"

#include "arch/cpu.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/wait_internal.h"

enum {
    FAIR_INTERVAL = 61, /* turns; prime, so that it keeps no step with the program (Go's choice) */
    NEXT_RUNS_MAX = 3,  /* Tokio's MAX_LIFO_POLLS_PER_TICK */
    STEAL_BATCH = 128,
    TURNS_PER_LOOK = 8,   /* guessed */
    SPAWNS_PER_LOOK = 64, /* guessed: a clock reading in 64 spawns is lost in their cost */
    OVERLOAD_FRESH = 5,   /* windows without sleep before others take fresh fibers */
    OVERLOAD_READY = 50,  /* and ready ones, whose I/O would move along */
    WATCH_PAUSES = 64,    /* guessed: about the time that a worker takes to come to its next slot */
};

bool wf_worker_notify(struct wf_worker *self, struct wf_worker *worker)
{
    if (!wf_park_notify(&worker->runtime->park, &worker->parker))
        return false;
    wf_count(&self->counters.wakes_sent, 1);
    wf_poller_interrupt(worker->poller);
    return true;
}

void wf_worker_notify_all(struct wf_worker *self)
{
    for (uint32_t i = 0; i < self->runtime->worker_count; i++)
        wf_worker_notify(self, self->runtime->workers[i]);
}

/* Wakes the nearest sleeper other than `except`. */
static void notify_one(struct wf_worker *self, uint32_t except)
{
    struct wf_runtime *runtime = self->runtime;

    for (uint32_t i = 0; i + 1 < runtime->worker_count; i++)
        if (self->victims[i] != except &&
            wf_worker_notify(self, runtime->workers[self->victims[i]]))
            return;
}

static void inject(struct wf_worker *self, struct wf_node *first, struct wf_node *last,
                   uint64_t count)
{
    wf_inject_push(&self->runtime->inject, first, last, count);
    if (wf_park_all_asleep(&self->runtime->park))
        notify_one(self, self->index);
}

/* Chaos: the shared queue takes everything, and only another worker may take it from there. */
static void inject_elsewhere(struct wf_worker *self, struct weft_fiber *fiber)
{
    uint32_t last_worker = fiber->last_worker;

    wf_inject_push(&self->runtime->inject, &fiber->node, &fiber->node, 1);
    notify_one(self, last_worker);
}

static bool may_run_here(const struct wf_node *node, const void *arg)
{
    const struct wf_worker *self = arg;
    const struct weft_fiber *fiber = WF_CONTAINER_OF(node, const struct weft_fiber, node);

    return fiber->last_worker != self->index;
}

static struct weft_fiber *take_injected(struct wf_worker *self)
{
    bool is_picky = self->runtime->is_chaotic && self->runtime->worker_count > 1;
    struct wf_node *node = wf_inject_pop(&self->runtime->inject, is_picky ? may_run_here : NULL,
                                         self);

    return node != NULL ? WF_CONTAINER_OF(node, struct weft_fiber, node) : NULL;
}

/* The ready queue is full: its older half moves to the injector. */
static void spill_ready(struct wf_worker *self)
{
    void *items[STEAL_BATCH];
    uint64_t count = wf_ready_take_half(&self->ready, items, STEAL_BATCH);

    if (count == 0)
        return; /* thieves have made room */
    for (uint64_t i = 0; i + 1 < count; i++)
        ((struct weft_fiber *)items[i])->node.next = &((struct weft_fiber *)items[i + 1])->node;
    wf_count(&self->counters.ready_spills, 1);
    inject(self, &((struct weft_fiber *)items[0])->node,
           &((struct weft_fiber *)items[count - 1])->node, count);
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic)) {
        inject_elsewhere(self, fiber);
        return;
    }
    while (WF_UNLIKELY(!wf_ready_push(&self->ready, fiber)))
        spill_ready(self);
}

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: only this worker fills the slot; if a thief empties it meanwhile, the exchange
     * below finds it empty. */
    struct weft_fiber *old = atomic_load_explicit(&self->next, memory_order_relaxed);

    if (WF_UNLIKELY(self->runtime->is_chaotic)) {
        inject_elsewhere(self, fiber);
        return;
    }
    if (old == NULL) {
        /* NX.1 release: the fiber's fields. */
        atomic_store_explicit(&self->next, fiber, memory_order_release);
        return;
    }
    /* NX.1 acq_rel: the fiber's fields, and those of the old one. */
    old = atomic_exchange_explicit(&self->next, fiber, memory_order_acq_rel);
    if (old != NULL)
        wf_worker_push_ready(self, old);
}

/* Caller: anyone. */
static struct weft_fiber *take_next(struct wf_worker *worker)
{
    /* relaxed: the exchange decides; it is spared while the slot is empty. */
    if (atomic_load_explicit(&worker->next, memory_order_relaxed) == NULL)
        return NULL;
    /* NX.1 acq_rel: the fiber's fields. */
    return atomic_exchange_explicit(&worker->next, NULL, memory_order_acq_rel);
}

static uint64_t backlog(struct wf_worker *worker)
{
    return wf_ready_size(&worker->ready) + (uint64_t)wf_deque_size(&worker->fresh);
}

static uint32_t overload_of(struct wf_worker *worker)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->overload, memory_order_relaxed);
}

/* Rule 5.  The kernel knows best whether this thread has slept: it counts the times. */
static void consider_helper(struct wf_worker *self)
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
    if ((overload >= OVERLOAD_FRESH && wf_deque_size(&self->fresh) >= 2) ||
        (overload >= OVERLOAD_READY && backlog(self) >= 2))
        if (wf_park_wants_helper(&self->runtime->park))
            notify_one(self, self->index);
}

void wf_worker_push_fresh(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic)) {
        inject_elsewhere(self, fiber);
        return;
    }
    /* A fiber that spawns without end passes no other place where this is looked at. */
    if (WF_UNLIKELY(++self->pushes % SPAWNS_PER_LOOK == 0)) {
        self->now = wf_os_now();
        consider_helper(self);
    }
    if (WF_UNLIKELY(!wf_deque_push(&self->fresh, fiber)))
        inject(self, &fiber->node, &fiber->node, 1);
}

/* Carries out the interrupts that others have posted, and those of timers.  Reads the clock. */
static void serve_interrupts(struct wf_worker *self)
{
    wf_wait_drain_inbox(self);
    self->now = wf_os_now();
    if (wf_wheel_is_armed(&self->wheel))
        wf_wait_expire(self);
}

/* Expires timers, submits, reaps.  Costs a clock reading and, with I/O under way, a system call. */
static void poll_without_waiting(struct wf_worker *self)
{
    serve_interrupts(self);
    if (wf_poller_has_work(self->poller))
        wf_poller_poll(self->poller, self, 0);
    consider_helper(self);
}

/* The next fiber of this worker's own queues; NULL when there is none, or when the loop has to look
 * further (rule 3).  Caller: the loop, or a fiber about to leave. */
static struct weft_fiber *find_next(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    if (WF_UNLIKELY(++self->tick >= self->fair_tick))
        return NULL;
    fiber = take_next(self);
    if (fiber != NULL) {
        if (++self->next_runs <= NEXT_RUNS_MAX)
            return fiber;
        wf_worker_push_ready(self, fiber);
    }
    self->next_runs = 0;
    if (self->tick % 2 == 0) {
        fiber = wf_deque_pop(&self->fresh);
        return fiber != NULL ? fiber : wf_ready_pop(&self->ready);
    }
    fiber = wf_ready_pop(&self->ready);
    return fiber != NULL ? fiber : wf_deque_pop(&self->fresh);
}

/* Rule 3. */
static struct weft_fiber *find_oldest(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    self->fair_tick = self->tick + FAIR_INTERVAL;
    poll_without_waiting(self);
    fiber = take_injected(self);
    return fiber != NULL ? fiber : wf_deque_steal(&self->fresh);
}

/* A turn can have lasted for seconds, and the fibers behind it have waited for as long.  The clock
 * is read only where a helper could be had, and not at each wait, where turns are short. */
static void look_for_overload(struct wf_worker *self)
{
    if (self->request != WF_REQUEST_EXIT && self->tick % TURNS_PER_LOOK != 0)
        return;
    if (!wf_park_wants_helper(&self->runtime->park) || backlog(self) < 2)
        return;
    self->now = wf_os_now();
    consider_helper(self);
}

/* Carries out what the fiber asked for that the worker has just left. */
static void commit(struct wf_worker *self)
{
    struct weft_fiber *fiber = self->left;

    look_for_overload(self);
    switch (self->request) {
    case WF_REQUEST_YIELD:
        /* relaxed: the queue publishes it. */
        atomic_store_explicit(&fiber->waiter.state, WF_WAIT_READY, memory_order_relaxed);
        wf_worker_push_ready(self, fiber);
        break;
    case WF_REQUEST_WAIT:
        wf_wait_park(self, fiber);
        break;
    case WF_REQUEST_EXIT:
        wf_fiber_finish(self, fiber);
        break;
    }
}

/* Marks the fiber as the one that runs; the switch follows. */
static void begin_turn(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: the queue that handed the fiber over published its fields, and READY is left by
     * nobody else. */
    atomic_store_explicit(&fiber->waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
    fiber->last_worker = self->index;
    self->current = fiber;
    wf_count(&self->counters.turns, 1);
}

/* The switch is the last thing here so that it can be a jump: the fiber then resumes in the caller
 * of this function.  Each `ret` between here and the program costs a misprediction, since the
 * return predictor still holds the calls of the fiber that ran before. */
void wf_worker_leave(struct wf_worker *self)
{
    struct weft_fiber *fiber = self->current;
    struct weft_fiber *next = find_next(self);
    struct wf_context *to = &self->context;
    struct wf_san *to_san = &self->san;

    self->left = fiber;
    self->current = next;
    if (next != NULL) {
        begin_turn(self, next);
        to = &next->context;
        to_san = &next->san;
    }
    wf_san_switch(&fiber->san, to_san, self->request == WF_REQUEST_EXIT);
    wf_context_switch(&fiber->context, to);
}

struct wf_worker *wf_worker_land(struct weft_fiber *fiber)
{
    struct wf_worker *self = wf_self();

    if (self->left != NULL) {
        wf_san_switched(&fiber->san, &self->left->san);
        commit(self);
    } else {
        wf_san_switched(&fiber->san, &self->san);
    }
    return self;
}

/* Runs the fiber, and all those that follow it directly, until one finds no successor. */
static void run(struct wf_worker *self, struct weft_fiber *fiber)
{
    begin_turn(self, fiber);
    self->left = NULL;
    wf_san_switch(&self->san, &fiber->san, false);
    wf_context_switch(&self->context, &fiber->context);
    wf_san_switched(&self->san, &self->left->san);
    commit(self);
}

static struct weft_fiber *steal_from(struct wf_worker *self, struct wf_worker *victim)
{
    void *items[STEAL_BATCH];
    struct weft_fiber *fiber;
    uint64_t count = 0;

    if (overload_of(victim) >= OVERLOAD_READY && wf_ready_size(&victim->ready) > 0)
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
    fiber = take_next(victim);
    if (fiber != NULL)
        wf_count(&self->counters.steals, 1);
    return fiber;
}

static uint32_t next_random(struct wf_worker *self)
{
    /* xorshift32 (Marsaglia, "Xorshift RNGs", 2003). */
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random;
}

/* One pass over the other workers: near ones before far ones, from a random start within each
 * distance, so that thieves do not queue up at the same victim. */
static struct weft_fiber *steal_pass(struct wf_worker *self,
                                     struct weft_fiber *(*from)(struct wf_worker *,
                                                                struct wf_worker *))
{
    uint32_t first = 0;

    for (unsigned distance = 0; distance < 3; distance++) {
        uint32_t count = self->near_count[distance] - first;
        uint32_t start = count > 1 ? next_random(self) % count : 0;

        for (uint32_t i = 0; i < count; i++) {
            uint32_t index = self->victims[first + (start + i) % count];
            struct wf_worker *victim = self->runtime->workers[index];
            struct weft_fiber *fiber;

            if (overload_of(victim) < OVERLOAD_FRESH)
                continue;
            fiber = from(self, victim);
            if (fiber != NULL)
                return fiber;
        }
        first = self->near_count[distance];
    }
    return NULL;
}

static void end_search(struct wf_worker *self)
{
    if (self->is_searching)
        wf_park_end_search(&self->runtime->park);
    self->is_searching = false;
}

static struct weft_fiber *steal(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    if (!self->is_searching && !wf_park_begin_search(&self->runtime->park))
        return NULL;
    self->is_searching = true;
    fiber = steal_pass(self, steal_from);
    if (fiber == NULL)
        fiber = steal_pass(self, steal_next_of);
    end_search(self);
    return fiber;
}

static bool has_mail(struct wf_worker *self)
{
    /* PK.2 seq_cst: after our announcement. */
    return atomic_load_explicit(&self->inbox, memory_order_seq_cst) != NULL;
}

/* Sleeps until there may be work.  Returns a fiber if the last look found one. */
static struct weft_fiber *sleep_for_work(struct wf_worker *self)
{
    struct wf_park *park = &self->runtime->park;
    struct weft_fiber *fiber;

    wf_park_announce(park, &self->parker);
    fiber = take_injected(self);
    if (fiber == NULL && !has_mail(self) && !wf_runtime_is_done(self->runtime)) {
        wf_count(&self->counters.parks, 1);
        wf_poller_poll(self->poller, self, wf_wheel_next(&self->wheel));
    }
    self->is_searching = wf_park_retract(park, &self->parker);
    return fiber;
}

/* Nothing is ready on this worker. */
static struct weft_fiber *find_elsewhere(struct wf_worker *self)
{
    struct weft_fiber *fiber = take_injected(self);

    if (fiber == NULL)
        fiber = steal(self);
    if (fiber == NULL)
        fiber = sleep_for_work(self);
    /* A notified worker goes round once more with its right to search, unless it has work. */
    if (fiber != NULL || backlog(self) > 0)
        end_search(self);
    serve_interrupts(self);
    consider_helper(self);
    return fiber;
}

void wf_worker_loop(struct wf_worker *self)
{
    self->now = wf_os_now();
    self->busy_since = self->now;
    while (!wf_runtime_is_done(self->runtime)) {
        struct weft_fiber *fiber = find_next(self);

        if (fiber == NULL && self->tick >= self->fair_tick)
            fiber = find_oldest(self);
        else if (fiber == NULL)
            fiber = find_elsewhere(self);
        if (fiber != NULL)
            run(self, fiber);
    }
    end_search(self);
}
