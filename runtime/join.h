/* SPDX-License-Identifier: MIT */
/*
 * The handshake between the end of a fiber and whoever joins or detaches it.  It goes over one
 * word, the fiber's join slot:
 *
 *   slot       means                                    who changes it, and to what
 *   NULL       the fiber is alive, and nobody waits     its joiner: a waiter; its end: DONE;
 *                                                       whoever detaches it: DETACHED
 *   a waiter   somebody waits for its end               the end: DONE; who gives up: NULL
 *   DONE       it has ended, and its result stands      who joins or detaches and frees it: GONE
 *   DETACHED   nobody will come                         the end, which frees it: GONE
 *
 * Whoever takes the waiter out wakes it, or has given up (wait.h).  Once the slot says DONE the
 * record is the joiner's: the end must not touch it any more.
 *
 *   Edge   From                        To                          Promises
 *   JN.1   end: joiner acq_rel         join: joiner acquire        the result
 *   JN.2   join: joiner acq_rel        end: joiner acq_rel         the waiter's fields
 */
#ifndef WF_RUNTIME_JOIN_H
#define WF_RUNTIME_JOIN_H

#include "runtime/fiber.h"
#include "runtime/model.h"
#include "runtime/wait_internal.h"

#define WF_JOINER_DONE ((struct wf_waiter *)1)
#define WF_JOINER_DETACHED ((struct wf_waiter *)2)
#define WF_JOINER_GONE ((struct wf_waiter *)3)

static inline bool wf_join_is_waiter(const struct wf_waiter *joiner)
{
    return joiner != NULL && joiner != WF_JOINER_DONE && joiner != WF_JOINER_DETACHED;
}

/* True if the result can be read and the record be freed.  Caller: the joiner. */
static inline bool wf_join_is_done(struct weft_fiber *fiber)
{
    /* JN.1 acquire: the result. */
    return atomic_load_explicit(&fiber->joiner, memory_order_acquire) == WF_JOINER_DONE;
}

/* Caller: a joiner that is no fiber of the runtime, before it looks at the slot. */
static inline void wf_join_from_outside(struct weft_fiber *fiber)
{
    /* relaxed: JN.2 publishes it. */
    atomic_store_explicit(&fiber->joined_outside, 1, memory_order_relaxed);
}

/* Puts the waiter where the end of the fiber looks for it.  Returns false if that has come.
 * `is_held`: the caller holds the fiber, which can neither run nor end before it is handed on. */
static inline bool wf_join_put(struct weft_fiber *fiber, struct wf_waiter *waiter, bool is_held)
{
    struct wf_waiter *found = NULL;

    if (is_held) {
        /* relaxed: whoever handed the fiber to us published it. */
        found = atomic_load_explicit(&fiber->joiner, memory_order_relaxed);
        /* relaxed: whoever we hand it to sees it; it is JN.2 that the queues spare us. */
        atomic_store_explicit(&fiber->joiner, waiter, memory_order_relaxed);
    } else {
        /* JN.2 acq_rel: our waiter for the end; JN.1 acquire on failure: the result. */
        (void)atomic_compare_exchange_strong_explicit(&fiber->joiner, &found, waiter,
                                                      memory_order_acq_rel, memory_order_acquire);
    }
    if (WF_UNLIKELY(found != NULL) && found != WF_JOINER_DONE)
        wf_panic("weft_join: fiber %lu is joined twice, or was detached", (unsigned long)fiber->id);
    return found == NULL;
}

/* Takes the waiter out again; false if the end has it.  Caller: the interrupter of its wait. */
static inline bool wf_join_take_out(struct weft_fiber *fiber, struct wf_waiter *waiter)
{
    struct wf_waiter *expected = waiter;

    /* relaxed: taking ourselves out publishes nothing; on failure the end has our waiter. */
    return atomic_compare_exchange_strong_explicit(&fiber->joiner, &expected, NULL,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Waits until the fiber has ended.  0 or -errno.  Caller: a fiber, of any runtime.
 *
 * Whom to leave for is found first: often it is the fiber itself.  We hold it then, so it cannot
 * end before we have left, and nobody else is there to race with for its joiner. */
static inline int wf_join_await(struct wf_worker *self, struct weft_fiber *fiber, int64_t deadline)
{
    struct weft_fiber *joiner = self->current;
    struct wf_waiter *waiter;
    struct weft_fiber *next;
    int refusal = wf_self_refusal(self);

    if (fiber == joiner)
        wf_panic("weft_join: a fiber cannot join itself (fiber %lu)", (unsigned long)fiber->id);
    if (refusal != 0)
        return refusal;
    waiter = wf_wait_begin(self, wf_fiber_interrupt_join, fiber);
    next = wf_worker_find_next(self);
    if (wf_join_put(fiber, waiter, next == fiber)) {
        wf_wait_arm(self, joiner, deadline);
        self = wf_worker_leave(self, WF_REQUEST_WAIT, next);
        wf_wait_disarm(joiner, deadline);
        return waiter->result;
    }
    /* It has just ended on another worker; what we have found instead is to run. */
    if (next != NULL)
        self = wf_worker_leave(self, WF_REQUEST_YIELD, next);
    (void)self;
    return 0;
}

/* Returns true if the end of the fiber frees it; false if it has ended, and the caller must. */
static inline bool wf_join_detach(struct weft_fiber *fiber)
{
    struct wf_waiter *expected = NULL;

    /* JN.2 acq_rel: what we have read of the record, before its end frees it; JN.1 acquire on
     * failure: the fiber has ended, and its record is ours to free. */
    if (atomic_compare_exchange_strong_explicit(&fiber->joiner, &expected, WF_JOINER_DETACHED,
                                                memory_order_acq_rel, memory_order_acquire))
        return true;
    if (expected != WF_JOINER_DONE)
        wf_panic("weft_detach: fiber %lu is being joined, or was detached before",
                 (unsigned long)fiber->id);
    return false;
}

/* Ends the wait of the joiner, if it is in one: it then runs right after this fiber, without a turn
 * through the queues and through the loop.  NULL: wf_join_end() will see to it.  Caller: the fiber,
 * as the last thing that it does.
 *
 * Such a turn counts as one of the next slot.  Else a chain of joins, which unwinds without a look
 * at the queues, would keep all others from their turns. */
static inline struct weft_fiber *wf_join_take(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* JN.2 acquire: the waiter's fields. */
    struct wf_waiter *joiner = atomic_load_explicit(&fiber->joiner, memory_order_acquire);

    if (!wf_join_is_waiter(joiner) || self->runtime->is_chaotic)
        return NULL;
    if (WF_UNLIKELY(++self->next_runs > WF_NEXT_RUNS_MAX))
        return NULL;
    /* A waiter from outside may be gone by now, with the memory that it was in.  relaxed: set
     * before JN.2 by whoever is such a waiter. */
    if (WF_UNLIKELY(atomic_load_explicit(&fiber->joined_outside, memory_order_relaxed) != 0))
        return NULL;
    return wf_wait_take(self, &fiber->joiner, joiner, WF_JOINER_DONE, 0);
}

/* The fiber has ended, and its joiner is woken.  Returns true if it is detached: the caller frees
 * it then.  Else the record is no longer ours.  Caller: the worker that ran it, after its last
 * switch. */
static inline bool wf_join_end(struct wf_worker *self, struct weft_fiber *fiber)
{
    /* relaxed: if wf_join_take() has been successful, it was on this worker. */
    struct wf_waiter *joiner = atomic_load_explicit(&fiber->joiner, memory_order_relaxed);

    if (joiner != WF_JOINER_DONE)
        /* JN.1 and JN.2 acq_rel: the result for the joiner, its waiter for us. */
        joiner = atomic_exchange_explicit(&fiber->joiner, WF_JOINER_DONE, memory_order_acq_rel);
    if (joiner == WF_JOINER_DETACHED)
        return true;
    if (wf_join_is_waiter(joiner)) /* else it has been taken, or comes later */
        wf_wake(self, joiner, 0);
    return false;
}

#endif
