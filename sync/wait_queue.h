/* SPDX-License-Identifier: MIT */
/*
 * The queue in which fibers and plain threads wait for an object: a channel, a lock, an event.
 * It is the only one in sync/: every object has a struct wf_lock and one such queue or two.
 *
 * First in, first out.  An entry lies in the frame of whoever waits, so that waiting allocates
 * nothing, and a queue is one pointer, so that an object stays small.  A queue and what is in it
 * are under the lock of the object; "caller holds the lock" below means that one.
 *
 * Who takes an entry out of its queue owns the wake (runtime/wait.h), and wakes after it has
 * released the lock:
 *
 *   wf_lock_acquire(&object->lock);
 *   entry = wf_wait_queue_take(&object->waiting);
 *   ... hand over what it waits for ...
 *   wf_lock_release(&object->lock);
 *   if (entry != NULL)
 *       wf_wake(self, entry->waiter, 0);
 *
 * The waiter is woken nowhere else in between, so its frame stays; and the waker touches the object
 * no more, so the one that is woken may free it.
 *
 * A wait in one place alone is ended by a deadline or a cancel as by a waker: the interrupter takes
 * the entry out, under the lock.  wf_wait_queue_sleep() does all that.
 *
 * But an interrupter that has yet to come to the lock when a waker takes the entry out finds an
 * object there that others may have freed since, having been told that all is over.  Where an
 * object promises that they may, its waits have a claim (wf_wait_queue_sleep_claimed()), which is
 * in the frame of whoever waits, and so there as long as an interrupter has it pinned.  Whoever
 * takes the entry out must also change the claim from NULL.  An interrupter does so before it looks
 * at the object at all, and goes to the lock only if it has won.  A waker that finds it on its way
 * drops the entry, tells it so through the claim, and keeps the lock until it has turned back.
 *
 * A wait in several places at once (a select) has an entry in each, under several locks.  Its
 * claim, one word that all its entries point to, says which place has won: a waker that cannot
 * change it has an entry of a wait that has ended elsewhere, and drops it.  A deadline or a cancel
 * changes the claim alone, without any lock.  The one that waited then takes the lock of each place
 * once more and removes what is left there: claims are changed under the lock of the place, so
 * after that nobody looks at its frame.
 *
 *   Edge   From                  To                          Promises
 *   WQ.1   drop: claim release   interrupt: claim acquire    the waker has done with the entry
 */
#ifndef WF_SYNC_WAIT_QUEUE_H
#define WF_SYNC_WAIT_QUEUE_H

#include "arch/atomic.h"
#include "arch/compiler.h"
#include "runtime/lock.h"
#include "runtime/wait.h"

#include <stdbool.h>
#include <stdint.h>

struct wf_wait_entry;

/* Zero before the wait. */
struct wf_wait_claim {
    WF_ATOMIC(struct wf_wait_entry *) winner; /* NULL: the wait goes on */
};

/* The winner of a wait that a deadline or a cancel has ended. */
#define WF_WAIT_INTERRUPTED ((struct wf_wait_entry *)1)

/* That of a wait in one place whose interrupter goes to the lock, to take the entry out.  What
 * follows is a lock in the frame of a waker, which holds it: the interrupter gives that free, goes
 * no further, and has done. */
#define WF_WAIT_LEAVING ((struct wf_wait_entry *)2)

/* Whoever waits sets `waiter` and `claim` before it queues the entry; the rest is zero then. */
struct wf_wait_entry {
    struct wf_wait_entry *next;     /* under the lock; NULL: in no queue */
    struct wf_wait_entry *previous; /* under the lock; of one taken out: see take_all() */
    struct wf_waiter *waiter;
    struct wf_wait_claim *claim; /* NULL: the lock alone decides who takes it out */
};

/* Zero is empty. */
struct wf_wait_queue {
    struct wf_wait_entry *first; /* under the lock; a ring, so that first->previous is the last */
};

/* Caller holds the lock. */
static inline bool wf_wait_queue_is_empty(const struct wf_wait_queue *queue)
{
    return queue->first == NULL;
}

/* Behind all others.  Caller holds the lock. */
static inline void wf_wait_queue_push(struct wf_wait_queue *queue, struct wf_wait_entry *entry)
{
    struct wf_wait_entry *first = queue->first;

    if (first == NULL) {
        entry->next = entry;
        entry->previous = entry;
        queue->first = entry;
        return;
    }
    entry->next = first;
    entry->previous = first->previous;
    first->previous->next = entry;
    first->previous = entry;
}

/* Before all others.  Caller holds the lock. */
static inline void wf_wait_queue_push_first(struct wf_wait_queue *queue,
                                            struct wf_wait_entry *entry)
{
    wf_wait_queue_push(queue, entry);
    queue->first = entry; /* of a ring, the last is the one before the first */
}

/* Returns false if the entry is in no queue; if it is in one, it is in this one.  Caller holds the
 * lock. */
static inline bool wf_wait_queue_remove(struct wf_wait_queue *queue, struct wf_wait_entry *entry)
{
    if (entry->next == NULL)
        return false;
    if (entry->next == entry) {
        queue->first = NULL;
    } else {
        entry->previous->next = entry->next;
        entry->next->previous = entry->previous;
        if (queue->first == entry)
            queue->first = entry->next;
    }
    entry->next = NULL;
    return true;
}

/* Decides for `entry`, or for WF_WAIT_INTERRUPTED.  Returns false if the wait has been decided
 * already. */
static inline bool wf_wait_claim_take(struct wf_wait_claim *claim, struct wf_wait_entry *entry)
{
    struct wf_wait_entry *expected = NULL;

    /* relaxed: it decides and publishes nothing: what is handed over is published by the wake,
     * and what is seen of the entry by the lock of its place. */
    return atomic_compare_exchange_strong_explicit(&claim->winner, &expected, entry,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Caller has taken an entry out, for whose wait something else was decided before; it holds the
 * lock.  When this returns nobody comes for the entry, nor looks at the object because of it. */
WF_COLD void wf_wait_claim_lost(struct wf_wait_claim *claim);

/* Takes out the first entry whose wait has not ended otherwise: the wake is the caller's then.
 * NULL if there is none.  Caller holds the lock. */
static inline struct wf_wait_entry *wf_wait_queue_take(struct wf_wait_queue *queue)
{
    struct wf_wait_entry *entry;

    while ((entry = queue->first) != NULL) {
        (void)wf_wait_queue_remove(queue, entry);
        if (entry->claim == NULL || WF_LIKELY(wf_wait_claim_take(entry->claim, entry)))
            break;
        wf_wait_claim_lost(entry->claim);
    }
    return entry;
}

/* What is waited for, for the report of a deadlock.  The object is around the lock; or, where many
 * objects share one, the entry's pointer is the object's address. */
struct wf_wait_kind {
    const char *name;
    size_t lock_at;    /* in the object */
    size_t pointer_at; /* behind the beginning of the entry; 0: the lock is the object's own */
};

/*
 * Queues the entry, which waits in this place alone, and waits.  `self` is wf_self(), NULL for a
 * plain thread, and stale afterwards.  Caller holds the lock; when this returns it does not, and
 * the entry is in no queue.
 *
 * Returns what the waker gave; -ETIMEDOUT or -ECANCELED (at once for a fiber that is cancelled
 * already) if the wait ended for that reason, and then nobody has taken the entry out.  Wakers must
 * not give these two.
 */
int wf_wait_queue_sleep(struct wf_worker *self, struct wf_wait_queue *queue, struct wf_lock *lock,
                        struct wf_wait_entry *entry, int64_t deadline,
                        const struct wf_wait_kind *kind);

/* The same before all others, for one that was woken and lost. */
int wf_wait_queue_sleep_first(struct wf_worker *self, struct wf_wait_queue *queue,
                              struct wf_lock *lock, struct wf_wait_entry *entry, int64_t deadline,
                              const struct wf_wait_kind *kind);

/*
 * wf_wait_queue_sleep() with a claim: once an entry has been taken out, nobody touches the object
 * because of this wait, though its call may not have returned.  The object's entries are taken out
 * by wf_wait_queue_take() and wf_wait_queue_take_all() alone.
 */
int wf_wait_queue_sleep_claimed(struct wf_worker *self, struct wf_wait_queue *queue,
                                struct wf_lock *lock, struct wf_wait_entry *entry, int64_t deadline,
                                const struct wf_wait_kind *kind);

/* The same for a caller that has asked already whether it may wait until then.  A cancel that has
 * come since ends the wait as soon as it begins. */
int wf_wait_queue_sleep_claimed_asked(struct wf_worker *self, struct wf_wait_queue *queue,
                                      struct wf_lock *lock, struct wf_wait_entry *entry,
                                      int64_t deadline, const struct wf_wait_kind *kind);

/*
 * The end of an object: aborts if somebody waits in the queue; from then on whoever takes the lock
 * is aborted.  `call` names the function for the message.
 */
void wf_wait_queue_retire(const struct wf_wait_queue *queue, struct wf_lock *lock,
                          const char *call);

/* False if it waits in no such queue, or in several.  Caller: the deadlock's finder, while it is
 * WAITING and nothing runs. */
bool wf_wait_queue_describe(const struct wf_waiter *waiter, struct wf_wait_target *target);

/* Wakes all entries that wf_wait_queue_take_all() took out, in their order.  Caller has released
 * the lock. */
void wf_wait_queue_wake_list(struct wf_worker *self, struct wf_wait_entry *list, int result);

/* Takes out all entries whose waits have not ended otherwise, linked by `previous` up to NULL,
 * since `next` says whether they are in a queue.  Caller holds the lock. */
static inline struct wf_wait_entry *wf_wait_queue_take_all(struct wf_wait_queue *queue)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;
    struct wf_wait_entry *entry;

    while ((entry = wf_wait_queue_take(queue)) != NULL) {
        *end = entry;
        end = &entry->previous;
    }
    *end = NULL;
    return list;
}

#endif
