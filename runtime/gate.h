/* SPDX-License-Identifier: MIT */
/*
 * The gate before a worker's queues.  While it is open no thief is there, and the owner takes by
 * plain loads and stores.  The first thief shuts it; from then on the owner claims what it takes,
 * as the thieves do, until it finds that it can open the gate again.
 *
 * It is Dekker's mutual exclusion, biased: each side writes its word first and reads the other's
 * second.  The owner comes by with each turn and has only a barrier for the compiler in between;
 * the thief comes seldom and makes up for it by a barrier in every running thread, membarrier(2).
 * (The pair is folly's asymmetric_thread_fence_light and _heavy; C++ proposal P1202.)  A locked
 * instruction takes some 5 ns and the way through an open gate 1, where the heavy barrier takes 0.3
 * us alone and 9 us while another thread runs: docs/adr/0042.
 *
 * The owner never waits here.  A thief gives up if the owner has lost its CPU inside.  If the
 * barrier fails, as after a filter that came late (seccomp(2)), the thief asks the owner to shut
 * the gate for good, and goes.
 *
 *   Edge   From                       To                       Promises
 *   GT.1   shut: thieves acq_rel      pass: thieves acquire    with the two barriers: an owner that
 *                                                              the thief missed sees the thief
 *   GT.2   leave: inside release      shut: inside acquire     what the owner took without a claim
 *   GT.3   shut: thieves acq_rel      shut: thieves acq_rel    the same, to later thieves
 *   GT.4   withdraw: thieves release  open: thieves acquire    what the thieves claimed
 *   GT.5   give up: thieves release   shut: thieves acq_rel    as GT.2, where there is no barrier
 */
#ifndef WF_RUNTIME_GATE_H
#define WF_RUNTIME_GATE_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "arch/cpu.h"
#include "arch/os.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WF_GATE_SHUT = 1,    /* every take is a claim */
    WF_GATE_REFUSED = 2, /* there is no heavy barrier: what is shut then stays shut */
    WF_GATE_THIEF = 4,   /* added for each thief that is there */
};

/* Looks whether the owner is still inside, which it is for 3 ns.  A model has fewer. */
#ifndef WF_GATE_PATIENCE
#define WF_GATE_PATIENCE 1000
#endif

/* A heavy barrier at most so often, ns: 9 us of 2 ms. */
#define WF_GATE_SHUT_NS INT64_C(2000000)

struct wf_gate {
    WF_ATOMIC(uint32_t) inside;  /* owner writes: 1 while it takes without a claim */
    WF_ATOMIC(uint32_t) thieves; /* how many there are, and whether it is shut */
    int64_t shut_since;          /* owner: when it was first seen shut; 0: not yet */
};

/* The struct is zeroed by the caller.  Without the heavy barrier the gate stays shut. */
static inline void wf_gate_init(struct wf_gate *gate, bool has_barrier)
{
    /* relaxed: no other thread knows it yet. */
    atomic_store_explicit(&gate->thieves, has_barrier ? 0 : WF_GATE_SHUT | WF_GATE_REFUSED,
                          memory_order_relaxed);
}

/* Caller: the owner, which is not inside. */
static inline void wf_gate_give_up(struct wf_gate *gate)
{
    /* GT.5 release: what we took without claims. */
    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_SHUT, memory_order_release);
}

/* Returns true if the caller may take without claims, and then calls wf_gate_leave().  Caller: the
 * owner. */
WF_INLINE bool wf_gate_pass(struct wf_gate *gate)
{
    uint32_t thieves;

    /* relaxed: the barriers order it. */
    atomic_store_explicit(&gate->inside, 1, memory_order_relaxed);
    wf_barrier_light();
    /* GT.1 acquire: our looks at the queues come after it. */
    thieves = atomic_load_explicit(&gate->thieves, memory_order_acquire);
    if (WF_LIKELY(thieves == 0))
        return true;
    /* relaxed: nothing was taken. */
    atomic_store_explicit(&gate->inside, 0, memory_order_relaxed);
    if (WF_UNLIKELY((thieves & (WF_GATE_SHUT | WF_GATE_REFUSED)) == WF_GATE_REFUSED))
        wf_gate_give_up(gate);
    return false;
}

WF_INLINE void wf_gate_leave(struct wf_gate *gate)
{
    WF_ATOMIC_POINT;
    /* GT.2 release: what was taken. */
    atomic_store_explicit(&gate->inside, 0, memory_order_release);
}

/* Opens a gate that has been shut for a while and where no thief is.  Caller: the owner, now and
 * then, with the time. */
static inline void wf_gate_open(struct wf_gate *gate, int64_t now)
{
    /* relaxed: a hint; a thief that waits for us has not shut it yet, and may give up. */
    uint32_t thieves = atomic_load_explicit(&gate->thieves, memory_order_relaxed);
    uint32_t shut = WF_GATE_SHUT;

    if (WF_LIKELY((thieves & (WF_GATE_SHUT | WF_GATE_REFUSED)) != WF_GATE_SHUT))
        return;
    if (gate->shut_since == 0)
        gate->shut_since = now;
    if (now - gate->shut_since < WF_GATE_SHUT_NS)
        return;
    /* GT.4 acquire: we look at the queues without claims next; relaxed on failure: a thief is
     * there. */
    if (atomic_compare_exchange_strong_explicit(&gate->thieves, &shut, 0, memory_order_acquire,
                                                memory_order_relaxed))
        gate->shut_since = 0;
}

/* Caller: a thief that leaves. */
static inline void wf_gate_withdraw(struct wf_gate *gate)
{
    /* GT.4 release: our claims. */
    atomic_fetch_sub_explicit(&gate->thieves, WF_GATE_THIEF, memory_order_release);
}

/* True if the owner has left. */
static inline bool wf_gate_await_leave(struct wf_gate *gate)
{
    for (int i = 0; i < WF_GATE_PATIENCE; i++) {
        /* GT.2 acquire: an owner that is not inside has taken what it took, and the next time it
         * sees us. */
        if (atomic_load_explicit(&gate->inside, memory_order_acquire) == 0)
            return true;
        wf_cpu_pause();
    }
    return false;
}

/* Caller: a thief whose barrier has failed, and that leaves. */
static inline void wf_gate_refuse(struct wf_gate *gate)
{
    /* relaxed: the owner learns nothing but that. */
    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_REFUSED, memory_order_relaxed);
    wf_gate_withdraw(gate);
}

/*
 * Shuts the gate.  Counts the heavy barrier in `barriers`, if it takes one.
 *
 * Returns true if the caller may claim, and then calls wf_gate_withdraw(); false if the owner does
 * not leave, or the barrier fails.  Caller: a thief.
 */
static inline bool wf_gate_shut(struct wf_gate *gate, uint64_t *barriers)
{
    /* GT.1, GT.3 and GT.5 acq_rel: before the heavy barrier; and if it is shut, what was taken
     * before. */
    uint32_t before = atomic_fetch_add_explicit(&gate->thieves, WF_GATE_THIEF,
                                                memory_order_acq_rel);

    if ((before & WF_GATE_SHUT) != 0)
        return true;
    (*barriers)++;
    if (!wf_os_barrier()) {
        wf_gate_refuse(gate);
        return false;
    }
    if (!wf_gate_await_leave(gate)) {
        wf_gate_withdraw(gate);
        return false;
    }
    /* GT.3 acq_rel: what the owner has taken. */
    atomic_fetch_or_explicit(&gate->thieves, WF_GATE_SHUT, memory_order_acq_rel);
    return true;
}

#endif
