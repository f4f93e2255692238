/* SPDX-License-Identifier: MIT */
#include "runtime/stall.h"

#include "arch/probe.h"
#include "runtime/check.h"
#include "runtime/config.h"
#include "runtime/model.h"

#include <stdio.h>
#include <string.h>

enum {
    REPORTS_APART_MS = 1000, /* guessed: a line that a person may read, not a flood */
    ANSWER_MS = 1000,        /* guessed: one that waits for a CPU comes to it, one that waits for a
                                disk may not */
};

/* The signal is the process's: several runs share it. */
static struct {
    struct wf_lock lock;
    unsigned users;
} claim;

/* In the handler, on the stuck thread. */
static void take_sample(void *pc, void *frame)
{
    struct wf_worker *self = wf_self();
    struct wf_sample *sample;
    struct weft_fiber *fiber;
    uint32_t expected;

    if (self == NULL)
        return;
    sample = &self->runtime->monitor.stall.sample;
    fiber = self->current;
    expected = WF_SAMPLE_WANTED + self->index;
    /* SL.1 acquire: the sample is ours; relaxed on failure: nobody asks us. */
    if (!atomic_compare_exchange_strong_explicit(&sample->state, &expected, WF_SAMPLE_BEING_TAKEN,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    sample->turns = wf_counter_read(&self->counters.turns);
    sample->fiber_id = fiber != NULL ? fiber->id : 0;
    sample->depth = 0;
    if (fiber != NULL) {
        memcpy(sample->fiber_name, fiber->name, sizeof sample->fiber_name);
        sample->spawn_site = fiber->spawn_site;
        sample->addresses[0] = pc;
        sample->depth = 1 + wf_probe_walk(frame,
                                          wf_stack_bottom(&self->runtime->depot, &fiber->stack),
                                          fiber, sample->addresses + 1, WF_SAMPLE_DEPTH - 1);
    }
    /* SL.2 release: the fields. */
    atomic_store_explicit(&sample->state, WF_SAMPLE_TAKEN, memory_order_release);
}

bool wf_stall_is_reported(const struct weft_config *config)
{
    return config->monitor != WF_MONITOR_OFF && config->stall_report_ms != UINT32_MAX;
}

void wf_stall_start(struct weft_runtime *runtime)
{
    struct wf_stall *stall = &runtime->monitor.stall;

    stall->report_ns = INT64_MAX;
    if (!wf_stall_is_reported(&runtime->config))
        return;
    stall->report_ns = (int64_t)runtime->config.stall_report_ms * WEFT_MILLISECOND;
    wf_lock_acquire(&claim.lock);
    stall->has_signal = claim.users > 0 || wf_probe_claim(take_sample) == 0;
    claim.users += stall->has_signal;
    wf_lock_release(&claim.lock);
}

void wf_stall_forget_parent(void)
{
    if (claim.users > 0)
        wf_probe_release();
    memset(&claim, 0, sizeof claim);
}

void wf_stall_end(struct weft_runtime *runtime)
{
    if (!runtime->monitor.stall.has_signal)
        return;
    wf_lock_acquire(&claim.lock);
    if (--claim.users == 0)
        wf_probe_release();
    wf_lock_release(&claim.lock);
}

static void ask(struct wf_stall *stall, struct wf_worker *worker, int64_t now)
{
    stall->asked = worker;
    stall->asked_turns = worker->watch.turns;
    stall->asked_at = now;
    stall->stuck_for = now - worker->watch.since;
    if (!stall->has_signal)
        return;
    /* SL.1 release: we have done with the last sample. */
    atomic_store_explicit(&stall->sample.state, WF_SAMPLE_WANTED + worker->index,
                          memory_order_release);
    wf_probe_send(worker->thread_number);
}

static const char *describe_state(char state)
{
    switch (state) {
    case 'R':
        return "computing";
    case 'S':
        return "blocked in a system call";
    case 'D':
        return "blocked in a system call that no signal ends";
    default:
        return "stopped";
    }
}

static void print_sample(const struct wf_sample *sample)
{
    char text[512];

    if (sample->fiber_id == 0) {
        wf_complain("  between two fibers, in the scheduler itself");
        return;
    }
    if (sample->spawn_site == NULL)
        snprintf(text, sizeof text, "the first of its run");
    else
        wf_probe_describe(sample->spawn_site, text, sizeof text);
    wf_complain("  fiber %lu \"%s\", spawned at: %s", (unsigned long)sample->fiber_id,
                sample->fiber_name, text);
    for (size_t i = 0; i < sample->depth; i++) {
        wf_probe_describe(sample->addresses[i], text, sizeof text);
        wf_complain("  #%zu %s", i, text);
    }
}

static bool has_answered(struct wf_stall *stall)
{
    /* SL.2 acquire: the sample. */
    return atomic_load_explicit(&stall->sample.state, memory_order_acquire) == WF_SAMPLE_TAKEN;
}

/* True if the thread has answered, or was asked long ago and will not any more. */
static bool is_settled(struct wf_stall *stall, int64_t now)
{
    uint32_t wanted = WF_SAMPLE_WANTED + stall->asked->index;

    if (!stall->has_signal || has_answered(stall))
        return true;
    if (now - stall->asked_at < ANSWER_MS * WEFT_MILLISECOND)
        return false;
    /* relaxed: if it fails, the answer is being written, and we look again. */
    return atomic_compare_exchange_strong_explicit(&stall->sample.state, &wanted, WF_SAMPLE_NONE,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static void print(struct wf_stall *stall, int64_t now)
{
    struct wf_worker *worker = stall->asked;
    bool answered = stall->has_signal && has_answered(stall);

    if (answered && stall->sample.turns != stall->asked_turns)
        return; /* it has moved on meanwhile */
    wf_complain("worker %u has been in one fiber for %ld ms, %s", worker->index,
                (long)(stall->stuck_for / WEFT_MILLISECOND),
                describe_state(wf_probe_thread_state(worker->thread_number)));
    if (answered)
        print_sample(&stall->sample);
    else
        wf_complain("  which one is not known: %s", stall->has_signal
                                                        ? "its thread takes no signal now"
                                                        : "the program uses SIGURG itself");
    if (stall->suppressed > 0)
        wf_complain("  %lu such reports were left out in the seconds before",
                    (unsigned long)stall->suppressed);
    stall->suppressed = 0;
    stall->reported_at = now;
}

static void finish_report(struct wf_stall *stall, int64_t now)
{
    if (!is_settled(stall, now))
        return;
    /* The worker may have gone on without an answer. */
    if (stall->asked->watch.turns == stall->asked_turns)
        print(stall, now);
    stall->asked = NULL;
}

void wf_stall_look(struct weft_runtime *runtime, int64_t now)
{
    struct wf_stall *stall = &runtime->monitor.stall;
    uint32_t crew = wf_runtime_crew(runtime);

    if (stall->asked != NULL)
        finish_report(stall, now);
    for (uint32_t i = 0; i < crew; i++) {
        struct wf_watch *watch = &runtime->workers[i]->watch;

        if (!watch->is_stuck || watch->is_reported || now - watch->since < stall->report_ns)
            continue;
        if (stall->asked != NULL ||
            (stall->reported_at != 0 &&
             now - stall->reported_at < REPORTS_APART_MS * WEFT_MILLISECOND)) {
            watch->is_left_out = true;
            continue;
        }
        watch->is_reported = true;
        watch->is_left_out = false;
        ask(stall, runtime->workers[i], now);
    }
}
