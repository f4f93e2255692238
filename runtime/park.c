/* SPDX-License-Identifier: MIT */
#include "runtime/park.h"

#include "runtime/check.h"

void wf_park_announce(struct wf_park *park, struct wf_parker *parker)
{
    /* PK.1 seq_cst: before the caller's last look at the injector. */
    atomic_fetch_add_explicit(&park->sleeping, 1, memory_order_seq_cst);
    /* PK.2 seq_cst: before the caller's last look whether the runtime is done. */
    atomic_store_explicit(&parker->state, WF_PARKER_SLEEPING, memory_order_seq_cst);
}

bool wf_park_retract(struct wf_park *park, struct wf_parker *parker)
{
    /* PK.3 seq_cst: what the notifier published is visible. */
    uint32_t old = atomic_exchange_explicit(&parker->state, WF_PARKER_AWAKE, memory_order_seq_cst);

    WF_ASSERT(old != WF_PARKER_AWAKE);
    if (old == WF_PARKER_NOTIFIED)
        return true;
    /* relaxed: a count that is too high for a moment costs a needless look, never a lost wake. */
    atomic_fetch_sub_explicit(&park->sleeping, 1, memory_order_relaxed);
    return false;
}

bool wf_park_notify(struct wf_park *park, struct wf_parker *parker)
{
    uint32_t expected = WF_PARKER_SLEEPING;

    /* PK.2 seq_cst: after the caller's publication; if the worker is awake, it looks after that. */
    if (atomic_load_explicit(&parker->state, memory_order_seq_cst) != WF_PARKER_SLEEPING)
        return false;
    /* relaxed: limits the number of searchers, publishes nothing.  Before the state: a worker that
     * wakes by itself at this moment ends the search as soon as it finds itself notified. */
    atomic_fetch_add_explicit(&park->searching, 1, memory_order_relaxed);
    /* PK.2 and PK.3 seq_cst: after the caller's publication, which the worker sees when it
     * retracts; on failure the worker is awake and looks after our publication. */
    if (!atomic_compare_exchange_strong_explicit(&parker->state, &expected, WF_PARKER_NOTIFIED,
                                                 memory_order_seq_cst, memory_order_seq_cst)) {
        wf_park_end_search(park);
        return false;
    }
    /* relaxed: as in wf_park_retract(). */
    atomic_fetch_sub_explicit(&park->sleeping, 1, memory_order_relaxed);
    return true;
}

bool wf_park_all_asleep(struct wf_park *park)
{
    /* PK.1 seq_cst: after the caller's publication. */
    return atomic_load_explicit(&park->sleeping, memory_order_seq_cst) >= park->worker_count;
}

bool wf_park_wants_helper(struct wf_park *park)
{
    /* relaxed: a hint. */
    return atomic_load_explicit(&park->sleeping, memory_order_relaxed) > 0 &&
           /* relaxed: a hint. */
           atomic_load_explicit(&park->searching, memory_order_relaxed) == 0;
}

bool wf_park_begin_search(struct wf_park *park)
{
    uint32_t limit = (park->worker_count + 1) / 2;

    /* relaxed: the limit saves work, nothing depends on it. */
    if (atomic_load_explicit(&park->searching, memory_order_relaxed) >= limit)
        return false;
    /* relaxed: as above. */
    atomic_fetch_add_explicit(&park->searching, 1, memory_order_relaxed);
    return true;
}

void wf_park_end_search(struct wf_park *park)
{
    /* relaxed: as above. */
    uint32_t old = atomic_fetch_sub_explicit(&park->searching, 1, memory_order_relaxed);

    /* An underflow would look like a crowd of searchers and stop every wake for good. */
    WF_ASSERT(old > 0);
}
