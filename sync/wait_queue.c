/* SPDX-License-Identifier: MIT */
/* See wait_queue.h for the rules. */
#include "sync/wait_queue.h"

#include "arch/os.h"
#include "runtime/check.h"

#include <errno.h>
#include <string.h>

/* Where a wait in one place alone takes place. */
struct place {
    struct wf_wait_queue *queue;
    struct wf_lock *lock;
    struct wf_wait_entry *entry;
    const struct wf_wait_kind *kind;
};

static inline void enqueue(struct place *place, struct wf_waiter *waiter, bool as_first)
{
    place->entry->waiter = waiter;
    if (as_first)
        wf_wait_queue_push_first(place->queue, place->entry);
    else
        wf_wait_queue_push(place->queue, place->entry);
    wf_lock_release(place->lock);
}

static bool take_out(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct place *place = (struct place *)waiter->place;
    bool was_there;

    (void)self;
    (void)reason;
    wf_lock_acquire(place->lock);
    was_there = wf_wait_queue_remove(place->queue, place->entry);
    wf_lock_release(place->lock);
    return was_there;
}

/* The same for a wait with a claim: until that is ours, the object may be gone. */
static bool turn_back_or_take_out(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct place *place = (struct place *)waiter->place;
    struct wf_wait_claim *claim = place->entry->claim;
    unsigned tries = 0;
    bool was_there;

    (void)self;
    (void)reason;
    if (!wf_wait_claim_take(claim, WF_WAIT_LEAVING))
        return false;
    while (!wf_lock_try(place->lock)) {
        /* WQ.1 acquire: the waker has done with the entry. */
        struct wf_wait_entry *news = atomic_load_explicit(&claim->winner, memory_order_acquire);

        if (news != WF_WAIT_LEAVING) {
            wf_lock_release((struct wf_lock *)(void *)news);
            return true;
        }
        wf_lock_rest(place->lock, ++tries);
    }
    was_there = wf_wait_queue_remove(place->queue, place->entry);
    WF_ASSERT(was_there);
    (void)was_there;
    wf_lock_release(place->lock);
    return true;
}

void wf_wait_claim_lost(struct wf_wait_claim *claim)
{
    struct wf_lock is_coming;

    /* relaxed: under the lock nobody but us changes it from this. */
    if (atomic_load_explicit(&claim->winner, memory_order_relaxed) != WF_WAIT_LEAVING)
        return;
    /* relaxed: the claim publishes it. */
    atomic_store_explicit(&is_coming.word, WF_LOCK_HELD, memory_order_relaxed);
    /* WQ.1 release: we have done with the entry, which may be gone from here on. */
    atomic_store_explicit(&claim->winner, (struct wf_wait_entry *)(void *)&is_coming,
                          memory_order_release);
    wf_lock_acquire(&is_coming);
}

/* Apart, since a thread's waiter is in its frame. */
static WF_NOINLINE int sleep_thread(struct place *place, int64_t deadline, bool as_first,
                                    wf_interrupt_fn *interrupt)
{
    struct wf_waiter waiter;

    wf_wait_begin_thread(&waiter, interrupt, place);
    enqueue(place, &waiter, as_first);
    return wf_wait_end_thread(&waiter, deadline);
}

/* Caller has asked whether it may wait until then.  Inlined, the last two cost nothing. */
WF_INLINE int sleep_in(struct wf_worker *self, struct place *place, int64_t deadline, bool as_first,
                       wf_interrupt_fn *interrupt)
{
    struct wf_waiter *waiter;

    if (WF_UNLIKELY(self == NULL))
        return sleep_thread(place, deadline, as_first, interrupt);
    waiter = wf_wait_begin(self, interrupt, place);
    enqueue(place, waiter, as_first);
    self = wf_wait_end(self, deadline);
    return waiter->result;
}

/* Why the caller may not wait until then, with the lock released; or 0. */
WF_INLINE int refusal_of(struct wf_worker *self, struct wf_lock *lock, int64_t deadline)
{
    int refusal = wf_wait_refusal(self, deadline);

    if (WF_UNLIKELY(refusal != 0))
        wf_lock_release(lock);
    return refusal;
}

int wf_wait_queue_sleep(struct wf_worker *self, struct wf_wait_queue *queue, struct wf_lock *lock,
                        struct wf_wait_entry *entry, int64_t deadline,
                        const struct wf_wait_kind *kind)
{
    struct place place = {queue, lock, entry, kind};
    int refusal = refusal_of(self, lock, deadline);

    if (WF_UNLIKELY(refusal != 0))
        return refusal;
    entry->claim = NULL;
    return sleep_in(self, &place, deadline, false, take_out);
}

int wf_wait_queue_sleep_first(struct wf_worker *self, struct wf_wait_queue *queue,
                              struct wf_lock *lock, struct wf_wait_entry *entry, int64_t deadline,
                              const struct wf_wait_kind *kind)
{
    struct place place = {queue, lock, entry, kind};
    int refusal = refusal_of(self, lock, deadline);

    if (WF_UNLIKELY(refusal != 0))
        return refusal;
    entry->claim = NULL;
    return sleep_in(self, &place, deadline, true, take_out);
}

int wf_wait_queue_sleep_claimed(struct wf_worker *self, struct wf_wait_queue *queue,
                                struct wf_lock *lock, struct wf_wait_entry *entry, int64_t deadline,
                                const struct wf_wait_kind *kind)
{
    int refusal = refusal_of(self, lock, deadline);

    if (WF_UNLIKELY(refusal != 0))
        return refusal;
    return wf_wait_queue_sleep_claimed_asked(self, queue, lock, entry, deadline, kind);
}

int wf_wait_queue_sleep_claimed_asked(struct wf_worker *self, struct wf_wait_queue *queue,
                                      struct wf_lock *lock, struct wf_wait_entry *entry,
                                      int64_t deadline, const struct wf_wait_kind *kind)
{
    struct place place = {queue, lock, entry, kind};
    struct wf_wait_claim claim;

    /* relaxed: the lock publishes it. */
    atomic_store_explicit(&claim.winner, NULL, memory_order_relaxed);
    entry->claim = &claim;
    return sleep_in(self, &place, deadline, false, turn_back_or_take_out);
}

void wf_wait_queue_retire(const struct wf_wait_queue *queue, struct wf_lock *lock, const char *call)
{
    wf_lock_acquire(lock);
    if (!wf_wait_queue_is_empty(queue))
        wf_panic("%s: somebody waits", call);
    wf_lock_retire(lock);
}

bool wf_wait_queue_describe(const struct wf_waiter *waiter, struct wf_wait_target *target)
{
    const struct place *place = (const struct place *)waiter->place;
    const struct wf_wait_kind *kind;

    if (waiter->interrupt != take_out && waiter->interrupt != turn_back_or_take_out)
        return false; /* what `place` points to is another's, if anything */
    kind = place->kind;
    target->kind = kind->name;
    if (kind->pointer_at != 0)
        memcpy(&target->object, (const char *)place->entry + kind->pointer_at,
               sizeof target->object);
    else
        target->object = (const char *)place->lock - kind->lock_at;
    return true;
}

void wf_wait_queue_wake_list(struct wf_worker *self, struct wf_wait_entry *list, int result)
{
    while (list != NULL) {
        /* The moment it is woken, the entry is gone. */
        struct wf_wait_entry *entry = list;

        list = entry->previous;
        wf_wake_later(self, entry->waiter, result);
    }
}
