/* SPDX-License-Identifier: MIT */
/* See polls.h for the rules. */
#include "sync/polls.h"

#include "runtime/check.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <weft/select.h>

static_assert(sizeof(struct wf_poll) <= sizeof(weft_poll), "it fits");
static_assert(offsetof(struct wf_poll, fd) == offsetof(weft_poll, fd) &&
                  offsetof(struct wf_poll, events) == offsetof(weft_poll, events),
              "the program writes them");

int wf_poll_try(const struct wf_poll *poll)
{
    int events = wf_readiness_now(poll->fd, poll->events);

    return events == 0 ? -EAGAIN : events;
}

static void take_report(struct wf_worker *self, struct wf_readiness *asked, int result)
{
    struct wf_poll *poll = WF_CONTAINER_OF(asked, struct wf_poll, readiness);
    /* relaxed: written before the start, which publishes it. */
    struct wf_polls *polls = atomic_load_explicit(&poll->polls, memory_order_relaxed);
    struct wf_waiter *waiter = polls->waiter, *stopped = NULL;
    bool has_won;

    wf_lock_acquire(&polls->lock);
    poll->result = result;
    poll->has_reported = 1;
    has_won = wf_wait_claim_take(polls->claim, poll->entry);
    if (--polls->pending == 0)
        stopped = polls->stopped;
    wf_lock_release(&polls->lock);
    /* It waits for only one of the two: it is stopped when the claim has been taken. */
    if (has_won)
        wf_wake_later(self, waiter, 0);
    else if (stopped != NULL)
        wf_wake_later(self, stopped, 0);
}

void wf_polls_begin(struct wf_polls *polls, struct wf_wait_claim *claim, struct wf_waiter *waiter)
{
    /* relaxed: the starts publish it. */
    atomic_store_explicit(&polls->lock.word, WF_LOCK_FREE, memory_order_relaxed);
    polls->pending = 0;
    polls->waiter = waiter;
    polls->claim = claim;
    polls->stopped = NULL;
}

void wf_polls_start(struct wf_worker *self, struct wf_polls *polls, struct wf_poll *poll,
                    struct wf_wait_entry *entry)
{
    struct wf_polls *expected = NULL;

    /* relaxed: it finds mistakes, and the start publishes it. */
    if (!atomic_compare_exchange_strong_explicit(&poll->polls, &expected, polls,
                                                 memory_order_relaxed, memory_order_relaxed))
        wf_panic("weft_select: the weft_poll of descriptor %d is in two cases, or in another "
                 "select that waits",
                 poll->fd);
    poll->entry = entry;
    poll->has_reported = 0;
    poll->readiness.report = take_report;
    wf_lock_acquire(&polls->lock);
    polls->pending++;
    wf_lock_release(&polls->lock);
    wf_readiness_start(self, &poll->readiness, poll->fd, poll->events);
}

void wf_polls_stop(struct wf_worker *self, struct wf_polls *polls, struct wf_poll *poll)
{
    bool has_reported;

    wf_lock_acquire(&polls->lock);
    has_reported = poll->has_reported != 0;
    wf_lock_release(&polls->lock);
    if (!has_reported)
        wf_readiness_stop(self, &poll->readiness);
}

void wf_polls_await(struct wf_worker *self, struct wf_polls *polls)
{
    wf_lock_acquire(&polls->lock);
    if (polls->pending > 0) {
        polls->stopped = wf_wait_begin(self, NULL, polls);
        wf_lock_release(&polls->lock);
        self = wf_wait_end(self, WEFT_FOREVER);
        /* Whoever woke us has released the lock. */
        WF_ASSERT(polls->pending == 0);
        return;
    }
    wf_lock_release(&polls->lock);
}

int wf_polls_take(struct wf_poll *poll)
{
    /* relaxed: as in wf_polls_start(). */
    atomic_store_explicit(&poll->polls, NULL, memory_order_relaxed);
    return poll->result;
}
