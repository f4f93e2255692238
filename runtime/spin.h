/* SPDX-License-Identifier: MIT */
/*
 * Whether a worker that has run dry looks for work for a while before it sleeps, and for how long
 * (docs/adr/0033).
 *
 * A sleep costs a wake: its sender's time, and its own until it is there.  So a worker looks for as
 * long as a wake takes on this machine, which it measures by those that it gets: then a look in
 * vain costs no more than what it would have spared.  After looks in vain it leaves more and more
 * of them out, so a program that waits long each time pays for one sleep in a thousand.
 *
 * What it looks for comes from other threads: calls on the pool that are over, fibers that plain
 * threads spawn or wake.  A worker with I/O under way does not look: the kernel ends that wait, and
 * a server's clients may want the CPU.
 */
#ifndef WF_RUNTIME_SPIN_H
#define WF_RUNTIME_SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WF_SPIN_NONE_US = 1,        /* of weft_config.spin_us: shorter than one look takes */
    WF_SPIN_GUESS_NS = 20000,   /* until the first wakes have been measured */
    WF_SPIN_MAX_NS = 50000,     /* guessed: longer ones are no wakes, but waits for a CPU */
    WF_SPIN_MEAN_OF = 8,        /* guessed */
    WF_SPIN_SKIPS_LOG_MAX = 10, /* guessed: one in 1,025 sleeps then begins with a look */
};

/* A worker's own. */
struct wf_spin {
    int64_t limit;    /* ns; 0: never */
    bool is_measured; /* the limit follows the wakes */
    uint32_t vain;    /* looks in vain, one after another */
    uint32_t skips;   /* sleeps without a look that are still due */
    int64_t spent;    /* ns, since whoever judges the load has looked */
};

/* `us` is the configured time, 0 to measure it.  It ends well before the worker would count as
 * stuck, after `stall_us`. */
static inline void wf_spin_init(struct wf_spin *spin, uint32_t us, uint32_t stall_us)
{
    int64_t most = (int64_t)stall_us * 1000 / 2;

    spin->is_measured = us == 0;
    spin->limit = us == 0 ? WF_SPIN_GUESS_NS : us == WF_SPIN_NONE_US ? 0 : (int64_t)us * 1000;
    if (spin->limit > most)
        spin->limit = most;
}

/* For how long to look now, in nanoseconds; 0: not at all. */
static inline int64_t wf_spin_begin(struct wf_spin *spin)
{
    if (spin->skips == 0)
        return spin->limit;
    spin->skips--;
    return 0;
}

static inline void wf_spin_end(struct wf_spin *spin, bool found, int64_t took)
{
    spin->spent += took;
    if (found) {
        spin->vain = 0;
        return;
    }
    if (spin->vain < WF_SPIN_SKIPS_LOG_MAX)
        spin->vain++;
    spin->skips = UINT32_C(1) << spin->vain;
}

/* A wake took so long, from the sender's call to the worker's return from its sleep. */
static inline void wf_spin_woke(struct wf_spin *spin, int64_t took)
{
    if (!spin->is_measured || spin->limit == 0)
        return;
    if (took > WF_SPIN_MAX_NS)
        took = WF_SPIN_MAX_NS;
    spin->limit = (spin->limit * (WF_SPIN_MEAN_OF - 1) + took) / WF_SPIN_MEAN_OF;
}

struct wf_worker;

/* Looks for work until something has come, or until a wake would not have taken longer.  Returns
 * true in the former case.  Caller: the loop, with nothing to run. */
bool wf_spin_for_work(struct wf_worker *self);

/* Caller: the worker, after a sleep that began at `since` and was over at self->now. */
void wf_spin_note_wake(struct wf_worker *self, int64_t since);

#endif
