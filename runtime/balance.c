/* SPDX-License-Identifier: MIT */
#include "runtime/balance.h"

#include "arch/cpu.h"
#include "runtime/chaos.h"
#include "runtime/config.h"
#include "runtime/load.h"
#include "runtime/own.h"
#include "runtime/worker.h"

enum {
    STEAL_BATCH = 128,
    WATCH_PAUSES = 64, /* guessed: about the time that a worker takes to come to its next slot */
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

bool wf_self_is_alone(struct wf_worker *self)
{
    return wf_own_backlog(self) == 0 && !self->runtime->is_chaotic && self->thread_locks == 0 &&
           /* relaxed: only this worker fills the slot. */
           atomic_load_explicit(&self->next, memory_order_relaxed) == NULL;
}

static uint32_t overload_of(struct wf_worker *worker)
{
    if (WF_UNLIKELY(worker->runtime->is_chaotic))
        return WF_OVERLOAD_READY;
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->overload, memory_order_relaxed);
}

static int64_t window_ns(struct weft_runtime *runtime)
{
    return (int64_t)runtime->config.wake_backlog_us * WEFT_MICROSECOND;
}

static int64_t look_ns(struct weft_runtime *runtime)
{
    return window_ns(runtime) * WF_LOAD_WINDOWS;
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

static uint32_t load_of(struct wf_worker *worker)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&worker->load, memory_order_relaxed);
}

/* Whoever gives its fibers away needs the monitor: the one that takes them may get stuck. */
static bool may_give(struct wf_worker *self)
{
    return !self->runtime->is_chaotic && self->runtime->config.monitor != WF_MONITOR_OFF &&
           self->index < self->runtime->worker_count;
}

static bool is_calm(struct wf_worker *worker, int64_t now)
{
    /* relaxed: a hint. */
    return now < atomic_load_explicit(&worker->calm_end, memory_order_relaxed);
}

/* The nearest worker that would carry this one's load as well, or NULL. */
static struct wf_worker *find_host(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;

    if (!may_give(self))
        return NULL;
    if (self->trial.failed != NULL && is_calm(self->trial.failed, self->now))
        return self->trial.failed;
    for (uint32_t i = 0; i + 1 < runtime->worker_count; i++) {
        struct wf_worker *worker = runtime->workers[self->victims[i]];

        if (wf_load_goes(load_of(self), self->index, load_of(worker), worker->index))
            return worker;
    }
    return NULL;
}

static uint64_t turns_of_two(struct wf_worker *self, struct wf_worker *other)
{
    return wf_counter_read(&self->counters.turns) + wf_counter_read(&other->counters.turns);
}

static int64_t ran_by_two(struct wf_worker *self, struct wf_worker *other)
{
    return wf_os_thread_ran(&self->thread) + wf_os_thread_ran(&other->thread);
}

/* True if nobody has much to do but these two. */
static bool are_alone(struct wf_worker *self, struct wf_worker *other)
{
    struct weft_runtime *runtime = self->runtime;

    for (uint32_t i = 0; i < runtime->worker_count; i++)
        if (i != self->index && i != other->index && load_of(runtime->workers[i]) > WF_LOAD_IDLE)
            return false;
    return other->index < runtime->worker_count;
}

/* The worker takes ready fibers of another one.  One that is stuck needs help in any case. */
static void begin_trial(struct wf_worker *self, struct wf_worker *victim)
{
    struct wf_trial *trial = &self->trial;

    if (trial->of != NULL || load_of(self) > WF_LOAD_IDLE || !may_give(self) || is_stuck(victim) ||
        !are_alone(self, victim))
        return;
    trial->of = victim;
    trial->since = self->now;
    trial->turns = turns_of_two(self, victim);
    trial->ran = ran_by_two(self, victim);
    /* relaxed: a hint. */
    trial->alone_per_s = atomic_load_explicit(&victim->turns_per_s, memory_order_relaxed);
}

static void end_trial(struct wf_worker *self)
{
    struct wf_trial *trial = &self->trial;
    struct wf_worker *victim = trial->of;
    uint64_t turns = turns_of_two(self, victim) - trial->turns;
    int64_t ran = ran_by_two(self, victim) - trial->ran, elapsed = self->now - trial->since;
    uint64_t ms = (uint64_t)elapsed / WEFT_MILLISECOND + 1;
    uint32_t use = 2 * wf_load_part(ran, 2 * elapsed); /* thousandths of one CPU: up to 2000 */
    uint32_t calm_ms = 0;

    trial->of = NULL;
    if (are_alone(self, victim) && !is_stuck(victim) &&
        wf_load_trial_fails(turns * 1000 / ms, trial->alone_per_s, use)) {
        trial->failed = victim;
        /* relaxed: a hint. */
        calm_ms = wf_load_calm(atomic_load_explicit(&victim->calm_ms, memory_order_relaxed));
    }
    /* relaxed: hints. */
    atomic_store_explicit(&victim->calm_ms, calm_ms, memory_order_relaxed);
    atomic_store_explicit(&victim->calm_end, self->now + calm_ms * WEFT_MILLISECOND,
                          memory_order_relaxed);
}

/* Keeps how many turns the worker makes while it is busy: what a trial is compared with. */
static void note_turns(struct wf_worker *self, uint32_t seen, int64_t elapsed)
{
    uint64_t turns = wf_counter_read(&self->counters.turns);
    uint64_t per_s = (turns - self->turns_judged) * WEFT_SECOND / (uint64_t)elapsed;

    self->turns_judged = turns;
    self->busy_looks = seen >= WF_LOAD_BUSY ? self->busy_looks + 1 : 0;
    /* relaxed: only this worker writes it. */
    if (self->busy_looks > 1)
        per_s = (per_s + atomic_load_explicit(&self->turns_per_s, memory_order_relaxed)) / 2;
    /* relaxed: a hint to the others. */
    atomic_store_explicit(&self->turns_per_s, per_s, memory_order_relaxed);
}

void wf_balance_begin_wait(struct wf_worker *self)
{
    if (WF_LIKELY(self->used_at >= self->judged) || self->runtime->worker_count == 1)
        return;
    wf_os_thread_use(&self->used);
    self->used_at = wf_os_now();
}

/* How much the worker has had to do since the last look, some of which it has waited. */
static uint32_t measure_load(struct wf_worker *self)
{
    int64_t busy = self->used_at - self->judged; /* before its first wait: all of the time */
    struct wf_os_use used;
    int64_t ran, waited;

    wf_os_thread_use(&used);
    ran = used.ran - self->used.ran - self->spin.spent;
    if (ran < 0) /* the two clocks do not keep step */
        ran = 0;
    waited = used.waited - self->used.waited;
    self->used = used;
    self->used_at = self->now;
    return wf_load_seen(busy + ran + waited, self->asleep_ns, self->now - self->judged);
}

/* Looks how much that was.  Of a worker that has not waited it is known, and no system call is made
 * for it. */
static void judge_load(struct wf_worker *self)
{
    uint32_t seen = WF_LOAD_FULL;

    /* To look for work is to have none. */
    self->asleep_ns += self->spin.spent;
    if (self->asleep_ns > 0)
        seen = measure_load(self);
    self->spin.spent = 0;
    self->asleep_ns = 0;
    /* relaxed: a hint to the others. */
    atomic_store_explicit(&self->load, wf_load_mean(load_of(self), seen), memory_order_relaxed);
    note_turns(self, seen, self->now - self->judged);
    self->judged = self->now;
    if (self->trial.of != NULL &&
        self->now - self->trial.since >= WF_TRIAL_LOOKS * look_ns(self->runtime))
        end_trial(self);
    self->host = find_host(self);
}

static void share(struct wf_worker *self, uint32_t overload)
{
    if ((overload >= WF_OVERLOAD_FRESH &&
         (wf_deque_size(&self->fresh) >= 2 || wf_inject_size(&self->runtime->inject) >= 2)) ||
        (overload >= WF_OVERLOAD_READY && wf_own_backlog(self) >= 2))
        if (wf_park_wants_helper(&self->runtime->park))
            wf_balance_wake(self, self->index);
}

/* Whether the worker has slept since the last look.  Some of its waits are over at once, and the
 * kernel knows which: it counts the sleeps of the thread.  It is asked only if there was a wait.
 * A look for work is as good as a sleep. */
static bool has_slept(struct wf_worker *self)
{
    uint64_t spins = wf_counter_read(&self->counters.spins);
    uint64_t waits = wf_counter_read(&self->counters.parks) + spins;
    uint64_t sleeps_before = self->sleeps;

    if (waits == self->waits)
        return false;
    self->waits = waits;
    self->sleeps = wf_os_thread_sleeps() + spins;
    return self->sleeps != sleeps_before;
}

void wf_balance_consider(struct wf_worker *self)
{
    int64_t window = window_ns(self->runtime);
    uint32_t overload;

    if (self->now - self->busy_since < window)
        return;
    overload = wf_load_score(overload_of(self), (uint64_t)((self->now - self->busy_since) / window),
                             has_slept(self));
    self->busy_since = self->now;
    if (self->now - self->judged >= look_ns(self->runtime) && self->runtime->worker_count > 1) {
        judge_load(self);
        if (load_of(self) >= WF_LOAD_HIGH)
            overload = WF_OVERLOAD_MAX;
    }
    if (overload >= WF_OVERLOAD_READY &&
        (self->busy_looks < WF_LOAD_BUSY_LOOKS || is_calm(self, self->now)))
        overload = WF_OVERLOAD_READY - 1;
    /* relaxed: a hint to thieves. */
    atomic_store_explicit(&self->overload, overload, memory_order_relaxed);
    share(self, overload);
}

bool wf_balance_gives(struct wf_worker *self)
{
    /* Whoever was woken was woken for what it would leave to the other one. */
    return self->host != NULL && !self->is_searching && plight_of(self->host) < WF_OVERLOAD_READY;
}

void wf_balance_give(struct wf_worker *self)
{
    struct wf_node *first = NULL, **last = &first;
    struct weft_fiber *fiber;
    struct wf_node *node = NULL;
    uint64_t count = 0;

    while ((fiber = wf_ready_pop(&self->ready)) != NULL) {
        node = &fiber->node;
        *last = node;
        last = &node->next;
        count++;
    }
    if (count == 0)
        return;
    wf_inject_push(&self->runtime->inject, first, node, count);
    wf_count(&self->counters.gathered, count);
    wf_worker_notify(self, self->host);
}

void wf_balance_look(struct wf_worker *self)
{
    if (!wf_own_has_backlog(self) || !wf_park_wants_helper(&self->runtime->park))
        return;
    self->now = wf_os_now();
    wf_balance_consider(self);
}

/* Puts a thief before the queues of another worker.  False: its owner does not leave, or does not
 * know yet that there is no barrier. */
static bool begin_theft(struct wf_worker *self, struct wf_worker *victim)
{
    uint64_t barriers = 0;
    bool is_shut = wf_gate_shut(&victim->gate, &barriers);

    wf_count(&self->counters.barriers, barriers);
    return is_shut;
}

static struct weft_fiber *steal_from(struct wf_worker *self, struct wf_worker *victim)
{
    bool may_take_ready = plight_of(victim) >= WF_OVERLOAD_READY;
    bool has_ready = may_take_ready && wf_ready_size(&victim->ready) > 0;
    void *items[STEAL_BATCH];
    uint64_t count = 0;

    if ((!has_ready && wf_deque_size(&victim->fresh) == 0) || !begin_theft(self, victim))
        return NULL;
    if (has_ready)
        count = wf_ready_take_half(&victim->ready, items, STEAL_BATCH);
    if (count == 0)
        items[0] = wf_deque_steal(&victim->fresh);
    wf_gate_withdraw(&victim->gate);
    if (count > 0)
        begin_trial(self, victim);
    for (uint64_t i = 1; i < count; i++)
        wf_worker_push_ready(self, items[i]);
    wf_count(&self->counters.steals, count > 0 ? count : items[0] != NULL);
    return items[0];
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
    if (turns != wf_counter_read(&victim->counters.turns) || !begin_theft(self, victim))
        return NULL;
    fiber = wf_worker_take_next(victim);
    wf_gate_withdraw(&victim->gate);
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

            if (victim == NULL || plight_of(victim) < WF_OVERLOAD_FRESH)
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
    wf_thief_enter(&self->thief);
    fiber = steal_pass(self, steal_from);
    wf_thief_leave(&self->thief);
    if (fiber == NULL)
        fiber = steal_pass(self, steal_next_of);
    if (fiber != NULL)
        self->host = NULL; /* it would have to be given away again at its next wake */
    if (fiber == NULL)
        fiber = wf_task_steal(self);
    wf_balance_end_search(self);
    return fiber;
}
