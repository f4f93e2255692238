/* SPDX-License-Identifier: MIT */
/*
 * The scheduler loop of a worker: next - switch - commit - poll - steal - sleep.
 *
 * Rules:
 *   1. Fresh fibers run youngest first, so that recursive spawning stays deep and narrow; woken and
 *      yielded fibers run in their order.  The two take turns.
 *   2. A fiber that the running one just woke, or whose join its end ends, is next, but at most
 *      three times in a row.
 *   3. Every FAIR_INTERVAL turns (LONG_INTERVAL if they were short) come the timers and the ring, a
 *      share of the injector, which goes behind the ready fibers, the tasks of fibers that wait,
 *      and, at most once in `stall_us`, the oldest fresh fiber, whatever else is there.
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
#include "runtime/modes.h"
#include "runtime/own.h"
#include "runtime/poller.h"
#include "runtime/take.h"
#include "runtime/trim.h"
#include "runtime/wait_internal.h"

#include <errno.h>

enum {
    FAIR_INTERVAL = 61,  /* turns; prime, so that it keeps no step with the program (Go's choice) */
    LONG_INTERVAL = 251, /* where turns are short: the look takes some 100 ns */
    SHORT_TURN_NS = 32,  /* so that it is a twentieth of the time at most */
    SHARE_MAX = 128,     /* guessed: so many fibers are moved under the injector's lock */
    SPAWNS_PER_LOOK = 64, /* guessed: a clock reading in 64 spawns is lost in their cost */
};

bool wf_worker_notify(struct wf_worker *self, struct wf_worker *worker)
{
    if (!wf_park_notify(worker->park, &worker->parker))
        return false;
    /* relaxed: for a mean; see wf_spin_note_wake(). */
    atomic_store_explicit(&worker->woken, wf_os_now(), memory_order_relaxed);
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

void wf_worker_inject(struct wf_worker *self, struct weft_fiber *fiber)
{
    bool is_chaotic = self->runtime->is_chaotic;
    uint32_t except = is_chaotic ? wf_chaos_except(self->runtime, fiber) : self->index;

    wf_inject_push(&self->runtime->inject, &fiber->node, &fiber->node, 1);
    /* In chaos whoever is awake may be the one that must not take it. */
    if (is_chaotic || wf_park_all_asleep(&self->runtime->park))
        wf_balance_wake(self, except);
}

/* There is no memory for a longer queue. */
static void spill_fiber(struct wf_worker *self, struct weft_fiber *fiber)
{
    wf_count(&self->counters.ready_spills, 1);
    wf_worker_inject(self, fiber);
}

static WF_COLD void push_ready_slowly(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (self->runtime->is_chaotic && wf_chaos_divert(self, fiber))
        return;
    if (!wf_ready_push(&self->ready, fiber))
        spill_fiber(self, fiber);
}

void wf_worker_push_ready(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic) ||
        WF_UNLIKELY(!wf_ready_push_if_room(&self->ready, fiber)))
        push_ready_slowly(self, fiber);
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
    if (WF_UNLIKELY(wf_balance_gives(self))) {
        /* The host is awake then, or wakes, and looks here before it sleeps. */
        if (wf_inject_size(&self->runtime->inject) > 0)
            wf_worker_notify(self, self->host);
        return NULL;
    }
    receive_injected(self);
    return wf_ready_pop(&self->ready);
}

WF_INLINE void push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    struct weft_fiber *old = wf_next_put(&self->next, fiber);

    if (old != NULL)
        wf_worker_push_ready(self, old);
}

static WF_COLD void push_next_in_chaos(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (!wf_chaos_divert(self, fiber))
        push_next(self, fiber);
}

void wf_worker_push_next(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (WF_UNLIKELY(self->runtime->is_chaotic))
        push_next_in_chaos(self, fiber);
    else
        push_next(self, fiber);
}

struct weft_fiber *wf_worker_take_next(struct wf_worker *worker)
{
    return wf_next_take(&worker->next);
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
        spill_fiber(self, fiber);
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

WF_INLINE uint64_t turns_of(struct wf_worker *self)
{
    return wf_counter_read(&self->counters.turns);
}

/* The next fiber of this worker's own queues; NULL when there is none, or when the loop has to look
 * further (rule 3).  Caller: the loop, or a fiber about to leave. */
WF_INLINE struct weft_fiber *find_next(struct wf_worker *self)
{
    return WF_UNLIKELY(turns_of(self) >= self->fair_turn) ? NULL : wf_take(self);
}

/* It may be a branch of a tree that unfolds, and each one that is begun before its turn lives
 * beside the others: so there is a time between two of them.  (docs/fairness.md) */
static struct weft_fiber *take_oldest_fresh(struct wf_worker *self)
{
    struct weft_fiber *fiber = NULL;

    if (self->now >= self->oldest_due)
        fiber = wf_deque_steal(&self->fresh);
    if (fiber != NULL)
        self->oldest_due = self->now + (int64_t)self->runtime->config.stall_us * WEFT_MICROSECOND;
    return fiber;
}

/* Decides when the next look is due.  (Tokio adapts its look at the injector in the same way:
 * runtime/scheduler/multi_thread/stats.rs.) */
static void plan_look(struct wf_worker *self)
{
    uint64_t turns = turns_of(self);
    int64_t taken = (int64_t)(turns - self->looked_turn);
    bool are_short = self->now - self->looked < taken * SHORT_TURN_NS;

    self->looked = self->now;
    self->looked_turn = turns;
    self->fair_turn = turns + (are_short ? LONG_INTERVAL : FAIR_INTERVAL);
}

/* Rule 3. */
static struct weft_fiber *find_oldest(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    wf_trim_serve(self);
    wf_modes_mend(self);
    (void)wf_worker_serve(self, self);
    plan_look(self);
    (void)wf_balance_rescue(self);
    wf_balance_consider(self);
    wf_gate_open(&self->gate, self->now);
    if (WF_UNLIKELY(self->runtime->is_chaotic)) {
        fiber = wf_chaos_take_injected(self);
        wf_chaos_stir(self);
        if (fiber != NULL)
            return fiber;
    } else {
        receive_injected(self);
    }
    /* In turns: neither can keep the other waiting. */
    self->is_task_first = !self->is_task_first;
    fiber = self->is_task_first ? wf_task_take(self) : take_oldest_fresh(self);
    if (fiber != NULL)
        return fiber;
    return self->is_task_first ? take_oldest_fresh(self) : wf_task_take(self);
}

WF_INLINE void make_ready_again(struct weft_fiber *fiber)
{
    /* relaxed: the queue publishes it. */
    atomic_store_explicit(&fiber->waiter.state, WF_WAIT_READY, memory_order_relaxed);
}

/* Carries out what the fiber asked for that the worker has just left. */
WF_INLINE void commit(struct wf_worker *self, struct weft_fiber *fiber)
{
    fiber->last_worker = self->index;
    if (WF_UNLIKELY(fiber->stack.guard == WF_GUARD_CANARY))
        wf_overflow_check(self->runtime, fiber);
    switch (self->request) {
    case WF_REQUEST_NOTHING:
        break;
    case WF_REQUEST_YIELD:
        make_ready_again(fiber);
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

/* Commits a yield, where that takes no call and needs no look around.  Returns false if that is
 * not so. */
WF_INLINE bool commit_yield(struct wf_worker *self, struct weft_fiber *fiber)
{
    if (self->request != WF_REQUEST_YIELD || fiber->stack.guard == WF_GUARD_CANARY ||
        ((turns_of(self) & self->short_turns) == 0 &&
         (self->runtime->is_chaotic || wf_own_has_backlog(self))))
        return false;
    make_ready_again(fiber);
    return wf_ready_push_if_room(&self->ready, fiber);
}

/* Marks the fiber as the one that runs; the switch follows. */
WF_INLINE void begin_turn(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: the queue that handed the fiber over published its fields, and READY is left by
     * nobody else. */
    atomic_store_explicit(&fiber->waiter.state, WF_WAIT_RUNNING, memory_order_relaxed);
    self->current = fiber;
    wf_count(&self->counters.turns, 1);
}

static WF_NOINLINE void look_and_commit(struct wf_worker *self)
{
    wf_balance_look(self);
    commit(self, self->left);
}

static WF_NOINLINE void land_slowly(struct wf_worker *self)
{
    if (self->request == WF_REQUEST_NOTHING)
        return;
    /* A turn can have lasted for seconds, and the fibers behind it have waited for as long.  The
     * clock is read where a helper could be had, not at each wait, where turns are short. */
    if (self->request == WF_REQUEST_EXIT || turns_of(self) % WF_TURNS_PER_LOOK == 0)
        look_and_commit(self);
    else
        commit(self, self->left);
}

/* What a worker does first after each switch, on the stack of what it runs next (rule 4).  The way
 * of a yield is kept free of calls. */
WF_INLINE void land(struct wf_worker *self, struct wf_san *san)
{
    wf_san_switched(san, self->request != WF_REQUEST_NOTHING ? &self->left->san : &self->san);
    if (!commit_yield(self, self->left))
        land_slowly(self);
}

void wf_worker_land(struct wf_worker *self)
{
    land(self, &self->current->san);
}

/* Returns the worker that the fiber runs on when it is continued.  The switch is inline, so that no
 * call lies between here and the program: each `ret` costs a misprediction where the fiber that ran
 * before left by another way. */
WF_INLINE struct wf_worker *leave_for(struct wf_worker *self, struct weft_fiber *fiber,
                                      struct weft_fiber *next)
{
    struct wf_context *to = &self->context;
    struct wf_san *to_san = &self->san;

    wf_modes_check(fiber);
    self->left = fiber;
    if (WF_LIKELY(next != NULL)) {
        begin_turn(self, next);
        to = &next->context;
        to_san = &next->san;
    } else {
        /* Who holds a lock of its thread finds nobody: see weft_pthread_taken(). */
        if (WF_UNLIKELY(self->thread_locks != 0))
            wf_thread_lock_panic(self);
        self->current = NULL;
    }
    wf_san_switch(&fiber->san, to_san, self->request == WF_REQUEST_EXIT);
    self = wf_context_switch(&fiber->context, to, self);
    land(self, &fiber->san);
    return self;
}

/* Keeps the calls out of the way of the others. */
static WF_NOINLINE struct wf_worker *
leave_in_region(struct wf_worker *self, struct weft_fiber *fiber, struct weft_fiber *next)
{
    wf_region_leave(self, fiber->region);
    self = leave_for(self, fiber, next);
    wf_region_return(self, fiber->region);
    return self;
}

WF_INLINE struct wf_worker *leave(struct wf_worker *self, struct weft_fiber *fiber,
                                  enum wf_request request, struct weft_fiber *next)
{
    self->request = request;
    if (WF_UNLIKELY(fiber->region != NULL))
        return leave_in_region(self, fiber, next);
    return leave_for(self, fiber, next);
}

struct wf_worker *wf_worker_wait(struct wf_worker *self)
{
    return leave(self, self->current, WF_REQUEST_WAIT, find_next(self));
}

struct weft_fiber *wf_worker_find_next(struct wf_worker *self)
{
    return find_next(self);
}

struct wf_worker *wf_worker_leave(struct wf_worker *self, enum wf_request request,
                                  struct weft_fiber *next)
{
    return leave(self, self->current, request, next);
}

int weft_yield(void)
{
    struct wf_worker *self = wf_self();
    struct weft_fiber *fiber;

    if (WF_UNLIKELY(self == NULL))
        return -EPERM;
    fiber = self->current;
    self = leave(self, fiber, WF_REQUEST_YIELD, find_next(self));
    return wf_fiber_refusal(self->runtime, fiber);
}

void wf_self_give_way(struct wf_worker *self)
{
    self->fair_turn = 0; /* the loop has to look further (rule 3) */
    (void)!weft_yield();
}

void wf_worker_exit(struct wf_worker *self, struct weft_fiber *next)
{
    self->request = WF_REQUEST_EXIT;
    /* What find_next() says does not count where the joiner is next. */
    if (WF_UNLIKELY(self->thread_locks != 0))
        wf_thread_lock_panic(self);
    (void)leave_for(self, self->current, next != NULL ? next : find_next(self));
}

/* Runs the fiber, and all those that follow it directly, until one finds no successor. */
static void run(struct wf_worker *self, struct weft_fiber *fiber)
{
    begin_turn(self, fiber);
    self->request = WF_REQUEST_NOTHING;
    wf_san_switch(&self->san, &fiber->san, false);
    (void)wf_context_switch(&self->context, &fiber->context, self);
    land(self, &self->san);
}

/* Sleeps until there may be work.  Returns a fiber if the last look found one. */
static struct weft_fiber *sleep_for_work(struct wf_worker *self)
{
    struct weft_fiber *fiber;

    wf_park_announce(self->park, &self->parker);
    fiber = take_injected(self);
    if (fiber == NULL && !wf_runtime_is_done(self->runtime) && !wf_task_look(self)) {
        wf_count(&self->counters.parks, 1);
        (void)wf_poller_poll(self->poller, self, wf_wheel_next(&self->wheel));
    }
    self->is_searching = wf_park_retract(self->park, &self->parker);
    wf_count(&self->counters.wakes_received, self->is_searching);
    wf_monitor_rouse(&self->runtime->monitor);
    return fiber;
}

/* Nothing is ready on this worker. */
static struct weft_fiber *find_elsewhere(struct wf_worker *self)
{
    struct weft_fiber *fiber = take_injected(self);
    int64_t asleep_since = INT64_MAX;

    wf_trim_serve(self);
    if (fiber == NULL)
        fiber = wf_balance_steal(self);
    if (WF_UNLIKELY(self->runtime->is_chaotic) && fiber != NULL && wf_chaos_forbids(self, fiber) &&
        wf_chaos_divert(self, fiber))
        fiber = NULL;
    if (fiber == NULL)
        wf_balance_begin_wait(self);
    if (fiber == NULL && !wf_spin_for_work(self) && !wf_balance_rescue(self)) {
        asleep_since = wf_os_now();
        fiber = sleep_for_work(self);
    }
    /* A notified worker goes round once more with its right to search, unless it has work. */
    if (fiber != NULL || wf_own_backlog(self) > 0)
        wf_balance_end_search(self);
    self->now = wf_os_now();
    if (self->now > asleep_since) {
        self->asleep_ns += self->now - asleep_since;
        wf_spin_note_wake(self, asleep_since);
    }
    if (wf_wheel_is_armed(&self->wheel))
        (void)wf_wait_expire(self, self);
    wf_balance_consider(self);
    if (WF_UNLIKELY(wf_balance_gives(self)) && fiber == NULL)
        wf_balance_give(self);
    return fiber;
}

void wf_worker_pass(struct wf_worker *self)
{
    struct weft_fiber *fiber = find_next(self);

    if (fiber == NULL && turns_of(self) >= self->fair_turn)
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
    self->judged = self->now;
    self->used_at = self->now; /* the thread has used next to nothing */
    while (!wf_runtime_is_done(self->runtime))
        wf_worker_pass(self);
    wf_balance_end_search(self);
}
