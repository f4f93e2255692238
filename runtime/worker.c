/* SPDX-License-Identifier: MIT */
/*
 * The scheduler loop of a worker: next - switch - commit - poll - steal - sleep.
 *
 * Rules:
 *   1. Fresh fibers run youngest first, so that recursive spawning stays deep and narrow; woken and
 *      yielded fibers run in their order.  The two take turns.
 *   2. A fiber that the running one just woke is next, but at most three times in a row.
 *   3. Every FAIR_INTERVAL turns come the timers and the ring, a share of the injector, which goes
 *      behind the ready fibers, the tasks of fibers that wait, and the oldest fresh fiber, whatever
 *      else is there.
 *   (Rules 1 to 3 bound how long a fiber can wait for its turn: docs/fairness.md.)
 *   4. What a fiber asks for when it leaves (yield, wait, exit) is carried out by whatever the
 *      worker runs next, the loop or another fiber, as the first thing after the switch: only then
 *      are the fiber's registers saved, and only then may anyone else resume it.
 *
 * How load moves between workers is in balance.c.
 */
#include "runtime/worker.h"

#include "runtime/balance.h"
#include "runtime/chaos.h"
#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/poller.h"
#include "runtime/wait_internal.h"

enum {
    FAIR_INTERVAL = 61, /* turns; prime, so that it keeps no step with the program (Go's choice) */
    NEXT_RUNS_MAX = 3,  /* Tokio's MAX_LIFO_POLLS_PER_TICK */
    SHARE_MAX = 128,    /* guessed: so many fibers are moved under the injector's lock */
    TURNS_PER_LOOK = 8, /* guessed */
    SPAWNS_PER_LOOK = 64, /* guessed: a clock reading in 64 spawns is lost in their cost */
};

bool wf_worker_notify(struct wf_worker *self, struct wf_worker *worker)
{
    if (!wf_park_notify(worker->park, &worker->parker))
        return false;
    if (WF_LIKELY(self != NULL))
        wf_count(&self->counters.wakes_sent, 1);
    else
        wf_count_shared(&worker->runtime->outside.wakes_sent, 1);
    wf_poller_interrupt(worker->poller);
    return true;
}

void wf_worker_notify_all(struct wf_worker *self, struct weft_runtime *runtime)
{
    uint32_t crew = wf_runtime_crew(runtime);

    for (uint32_t i = 0; i < crew; i++)
        wf_worker_notify(self, runtime->workers[i]);
    wf_monitor_wake(&runtime->monitor);
}

void wf_worker_inject(struct wf_worker *self, struct wf_node *first, struct wf_node *last,
                      uint64_t count)
{
    wf_inject_push(&self->runtime->inject, first, last, count);
    if (wf_park_all_asleep(&self->runtime->park))
        wf_balance_wake(self, self->index);
}

/* There is no memory for a longer queue. */
static void spill(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_count(&self->counters.ready_spills, 1);
    wf_worker_inject(self, &fiber->node, &fiber->node, 1);
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic) && wf_chaos_divert(self, fiber))
        return;
    if (WF_UNLIKELY(!wf_ready_push(&self->ready, fiber)))
        spill(self, fiber);
}

/* Moves this worker's share of the injector to the end of its ready queue. */
static void receive_injected(struct wf_worker *self)
{
    struct wf_inject *inject = &self->runtime->inject;
    uint64_t share = wf_inject_size(inject) / self->runtime->worker_count + 1;
    struct wf_node *node = wf_inject_take(inject, share < SHARE_MAX ? share : SHARE_MAX);

    while (node != NULL) {
        struct weft_fiber *fiber = WF_CONTAINER_OF(node, struct weft_fiber, node);

        node = node->next;
        wf_worker_push_ready(self, fiber);
    }
}

/* Caller has nothing in its own queues. */
static struct weft_fiber *take_injected(struct wf_worker *self)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic))
        return wf_chaos_take_injected(self);
    receive_injected(self);
    return wf_ready_pop(&self->ready);
}

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: only this worker fills the slot; if a thief empties it meanwhile, the exchange
     * below finds it empty. */
    struct weft_fiber *old = atomic_load_explicit(&self->next, memory_order_relaxed);

    if (WF_UNLIKELY(self->runtime->is_chaotic) && wf_chaos_divert(self, fiber))
        return;
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

struct weft_fiber *wf_worker_take_next(struct wf_worker *worker)
{
    /* relaxed: the exchange decides; it is spared while the slot is empty. */
    if (atomic_load_explicit(&worker->next, memory_order_relaxed) == NULL)
        return NULL;
    /* NX.1 acq_rel: the fiber's fields. */
    return atomic_exchange_explicit(&worker->next, NULL, memory_order_acq_rel);
}

void wf_worker_push_fresh(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic) && wf_chaos_divert_fresh(self, fiber))
        return;
    /* A fiber that spawns without end passes no other place where this is looked at. */
    if (WF_UNLIKELY(++self->pushes % SPAWNS_PER_LOOK == 0)) {
        self->now = wf_os_now();
        wf_balance_consider(self);
    }
    if (WF_UNLIKELY(!wf_deque_push(&self->fresh, fiber)))
        spill(self, fiber);
}

bool wf_worker_serve(struct wf_worker *self, struct wf_worker *worker)
{
    bool made_ready = false;

    self->now = wf_os_now();
    if (wf_wheel_is_armed(&worker->wheel))
        made_ready = wf_wait_expire(self, worker);
    /* After the timers, which may have prepared cancels. */
    if (wf_poller_poll(worker->poller, self, 0) > 0)
        made_ready = true;
    return made_ready;
}

/* The next fiber of this worker's own queues; NULL when there is none, or when the loop has to look
 * further (rule 3).  Caller: the loop, or a fiber about to leave. */
static struct weft_fiber *find_next(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    if (WF_UNLIKELY(++self->tick >= self->fair_tick))
        return NULL;
    fiber = wf_worker_take_next(self);
    if (fiber != NULL) {
        if (++self->next_runs <= NEXT_RUNS_MAX)
            return fiber;
        wf_worker_push_ready(self, fiber);
    }
    self->next_runs = 0;
    /* A flag of its own: runs of the next slot in between can keep step with any count of turns. */
    self->is_fresh_first = !self->is_fresh_first;
    if (self->is_fresh_first) {
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
    (void)wf_worker_serve(self, self);
    (void)wf_balance_rescue(self);
    wf_balance_consider(self);
    if (WF_UNLIKELY(self->runtime->is_chaotic)) {
        fiber = wf_chaos_take_injected(self);
        wf_chaos_stir(self);
        if (fiber != NULL)
            return fiber;
    } else {
        receive_injected(self);
    }
    fiber = wf_task_take(self);
    return fiber != NULL ? fiber : wf_deque_steal(&self->fresh);
}

/* Carries out what the fiber asked for that the worker has just left. */
static void commit(struct wf_worker *self)
{
    struct weft_fiber *fiber = self->left;

    /* A turn can have lasted for seconds, and the fibers behind it have waited for as long.  The
     * clock is read only where a helper could be had, and not at each wait, where turns are short.
     */
    if (self->request == WF_REQUEST_EXIT || self->tick % TURNS_PER_LOOK == 0)
        wf_balance_look(self);
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

    if (WF_UNLIKELY(fiber->region != NULL))
        wf_region_leave(self, fiber->region);
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
    if (WF_UNLIKELY(fiber->region != NULL))
        wf_region_return(self, fiber->region);
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

/* Sleeps until there may be work.  Returns a fiber if the last look found one. */
static struct weft_fiber *sleep_for_work(struct wf_worker *self)
{
    struct wf_park *park = self->park;
    struct weft_fiber *fiber;

    wf_park_announce(park, &self->parker);
    fiber = take_injected(self);
    if (fiber == NULL && !wf_runtime_is_done(self->runtime) && !wf_task_look(self)) {
        wf_count(&self->counters.parks, 1);
        (void)wf_poller_poll(self->poller, self, wf_wheel_next(&self->wheel));
    }
    self->is_searching = wf_park_retract(park, &self->parker);
    wf_monitor_rouse(&self->runtime->monitor);
    return fiber;
}

/* Nothing is ready on this worker. */
static struct weft_fiber *find_elsewhere(struct wf_worker *self)
{
    struct weft_fiber *fiber = take_injected(self);

    if (fiber == NULL)
        fiber = wf_balance_steal(self);
    if (WF_UNLIKELY(self->runtime->is_chaotic) && fiber != NULL && wf_chaos_forbids(self, fiber) &&
        wf_chaos_divert(self, fiber))
        fiber = NULL;
    if (fiber == NULL && !wf_balance_rescue(self))
        fiber = sleep_for_work(self);
    /* A notified worker goes round once more with its right to search, unless it has work. */
    if (fiber != NULL || wf_balance_backlog(self) > 0)
        wf_balance_end_search(self);
    self->now = wf_os_now();
    if (wf_wheel_is_armed(&self->wheel))
        (void)wf_wait_expire(self, self);
    wf_balance_consider(self);
    return fiber;
}

void wf_worker_pass(struct wf_worker *self)
{
    struct weft_fiber *fiber = find_next(self);

    if (fiber == NULL && self->tick >= self->fair_tick)
        fiber = find_oldest(self);
    else if (fiber == NULL)
        fiber = find_elsewhere(self);
    if (fiber != NULL)
        run(self, fiber);
}

void wf_worker_loop(struct wf_worker *self)
{
    self->now = wf_os_now();
    self->busy_since = self->now;
    while (!wf_runtime_is_done(self->runtime))
        wf_worker_pass(self);
    wf_balance_end_search(self);
}
