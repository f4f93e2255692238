/* SPDX-License-Identifier: MIT */
/* See chaos.h.  All numbers are guessed: often enough to matter, seldom enough to get on. */
#include "runtime/chaos.h"

#include "arch/cpu.h"
#include "arch/sim.h"
#include "runtime/balance.h"
#include "runtime/wait_internal.h"
#include "runtime/worker.h"

#include <sched.h>

enum {
    LOOK_INTERVAL_MAX = 8, /* turns */
    PAUSES_MAX = 64,
};

static bool one_in(struct wf_worker *self, uint32_t times)
{
    return wf_chaos_random(self) % times == 0;
}

void wf_chaos_begin(struct weft_runtime *runtime)
{
    if (!wf_sim_is_here()) /* there it belongs to the seed */
        wf_complain("chaos: WEFT_CHAOS=%u", runtime->config.chaos);
    wf_chaos_begin_points();
}

void wf_chaos_begin_points(void)
{
#ifdef WEFT_CHAOS_POINTS
    /* relaxed: a switch for delays, the thread's start publishes it. */
    atomic_store_explicit(&wf_atomic_delays, true, memory_order_relaxed);
#endif
}

uint32_t wf_chaos_seed(const struct weft_runtime *runtime, uint32_t worker_index)
{
    /* An odd factor spreads the indices over all numbers (Knuth's multiplicative hashing). */
    uint32_t state = (runtime->config.chaos + worker_index) * UINT32_C(2654435761);

    return state != 0 ? state : 1;
}

uint32_t wf_chaos_random(struct wf_worker *self)
{
    /* Who draws is about to decide something that others may have a hand in. */
    if (wf_sim_is_here())
        wf_sim_point();
    /* xorshift32 (Marsaglia, "Xorshift RNGs", 2003). */
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    /* The upper half is the more random one. */
    return self->random >> 8;
}

#ifdef WEFT_CHAOS_POINTS
WF_ATOMIC(bool) wf_atomic_delays;

void wf_atomic_point(void)
{
    if (wf_sim_is_here())
        wf_sim_point();
}

void wf_atomic_delay(void)
{
    struct wf_worker *self = wf_self();
    uint32_t number;

    if (wf_sim_is_here()) {
        wf_sim_point();
        return;
    }
    if (self == NULL || !self->runtime->is_chaotic)
        return;
    number = wf_chaos_random(self);
    if (number % 64 == 0)
        sched_yield();
    else if (number % 8 == 0)
        for (uint32_t i = 0; i < (number >> 8) % PAUSES_MAX; i++)
            wf_cpu_pause();
}
#endif

uint32_t wf_chaos_except(const struct weft_runtime *runtime, const struct weft_fiber *fiber)
{
    return runtime->worker_count > 1 ? fiber->last_worker : UINT32_MAX;
}

bool wf_chaos_forbids(const struct wf_worker *self, const struct weft_fiber *fiber)
{
    return self->index == wf_chaos_except(self->runtime, fiber);
}

bool wf_chaos_divert(struct wf_worker *self, struct weft_fiber *fiber)
{
    uint32_t except = wf_chaos_except(self->runtime, fiber);

    if (!wf_chaos_forbids(self, fiber) && !one_in(self, 4))
        return false;
    wf_inject_push(&self->runtime->inject, &fiber->node, &fiber->node, 1);
    wf_balance_wake(self, except);
    return true;
}

bool wf_chaos_divert_fresh(struct wf_worker *self, struct weft_fiber *fiber)
{
    fiber->last_worker = UINT32_MAX;
    return wf_chaos_divert(self, fiber);
}

static bool may_run_here(const struct wf_node *node, const void *arg)
{
    return !wf_chaos_forbids(arg, WF_CONTAINER_OF(node, const struct weft_fiber, node));
}

struct dice {
    struct wf_worker *self;
};

static bool may_run_here_and_luck(const struct wf_node *node, const void *arg)
{
    const struct dice *dice = arg;

    return may_run_here(node, dice->self) && !one_in(dice->self, 3);
}

struct weft_fiber *wf_chaos_take_injected(struct wf_worker *self)
{
    struct dice dice = {self};
    struct wf_inject *inject = &self->runtime->inject;
    struct wf_node *node = wf_inject_pop(inject, may_run_here_and_luck, &dice);

    /* Whoever looks a last time before it sleeps must find what is there. */
    if (node == NULL)
        node = wf_inject_pop(inject, may_run_here, self);
    return node != NULL ? WF_CONTAINER_OF(node, struct weft_fiber, node) : NULL;
}

void wf_chaos_stir(struct wf_worker *self)
{
    struct weft_runtime *runtime = self->runtime;
    struct weft_fiber **seen = &self->seen[wf_chaos_random(self) % WF_CHAOS_SEEN];

    self->fair_turn = wf_counter_read(&self->counters.turns) + 1 +
                      wf_chaos_random(self) % LOOK_INTERVAL_MAX;
    self->oldest_due = 0;
    self->is_fresh_first = one_in(self, 2);
    if (one_in(self, 8))
        wf_worker_notify(self, runtime->workers[wf_chaos_random(self) % runtime->worker_count]);
    /* A cancel that comes when its fiber has ended, or has been replaced, does no more than this.
     * The record stays mapped until the runtime ends. */
    if (*seen != NULL && one_in(self, 2))
        wf_wait_cancel(self, &(*seen)->waiter);
    if (self->left != NULL)
        *seen = self->left;
}
