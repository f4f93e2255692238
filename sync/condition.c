/* SPDX-License-Identifier: MIT */
/*
 * Condition variables.
 *
 * A signalled waiter must have the mutex before it can go on.  While that is locked, the waiter's
 * entry moves from this queue to that of the mutex, and an unlock wakes it there.  So the entry has
 * a claim (sync/wait_queue.h): once a signal has it, no deadline and no cancel looks for it in
 * either queue.
 */
#include "arch/os.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/describe.h"
#include "sync/held.h"
#include "sync/mutex.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/condition.h>

struct condition {
    struct wf_wait_queue queue; /* under the lock */
    struct wf_lock lock;
    uint32_t reserved;
};

/* In the frame of whoever waits. */
struct signal_wait {
    struct wf_wait_entry entry;
    struct wf_wait_claim claim;
    struct wf_mutex *mutex;
    struct condition *condition;
};

static struct condition *internal(weft_condition *condition)
{
    return (struct condition *)(void *)condition;
}

static bool end_by_claim(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct signal_wait *wait = (struct signal_wait *)waiter->place;

    (void)self;
    (void)reason;
    return wf_wait_claim_take(&wait->claim, WF_WAIT_INTERRUPTED);
}

bool wf_condition_describe(const struct wf_waiter *waiter, struct wf_wait_target *target)
{
    const struct signal_wait *wait = (const struct signal_wait *)waiter->place;

    if (waiter->interrupt != end_by_claim)
        return false;
    /* relaxed: nothing runs.  A signal has won, and the entry is in the queue of the mutex. */
    if (atomic_load_explicit(&wait->claim.winner, memory_order_relaxed) == &wait->entry) {
        target->kind = "a mutex";
        target->object = wait->mutex;
        return true;
    }
    target->kind = "a condition";
    target->object = wait->condition;
    return true;
}

/* From here on a signal finds us, also before we sleep. */
static void enqueue(struct signal_wait *wait, struct wf_waiter *waiter)
{
    wait->entry.next = NULL;
    wait->entry.waiter = waiter;
    wait->entry.claim = &wait->claim;
    /* relaxed: the queue publishes it. */
    atomic_store_explicit(&wait->claim.winner, NULL, memory_order_relaxed);
    wf_lock_acquire(&wait->condition->lock);
    wf_wait_queue_push(&wait->condition->queue, &wait->entry);
    wf_lock_release(&wait->condition->lock);
    wf_mutex_unlock(wait->mutex);
}

/* Apart, since a thread's waiter is in its frame. */
static WF_NOINLINE int sleep_thread(struct signal_wait *wait, int64_t deadline)
{
    struct wf_waiter waiter;

    wf_wait_begin_thread(&waiter, end_by_claim, wait);
    enqueue(wait, &waiter);
    return wf_wait_end_thread(&waiter, deadline);
}

static int sleep_until_signalled(struct wf_worker *self, struct signal_wait *wait, int64_t deadline)
{
    struct wf_waiter *waiter;

    if (self == NULL)
        return sleep_thread(wait, deadline);
    waiter = wf_wait_begin(self, end_by_claim, wait);
    enqueue(wait, waiter);
    self = wf_wait_end(self, deadline);
    (void)self;
    return waiter->result;
}

int weft_condition_wait(weft_condition *handle, weft_mutex *mutex, weft_time deadline)
{
    struct wf_worker *self = wf_self();
    struct signal_wait wait;
    bool was_checked = wf_mutex_is_checked(wf_mutex_of(mutex));
    int result;

    wait.mutex = wf_mutex_of(mutex);
    wait.condition = internal(handle);
    /* Whoever is refused does not come to the lock, which would say so. */
    if (WF_UNLIKELY(wf_lock_is_gone(&wait.condition->lock)))
        wf_panic("weft_condition_wait: the condition %p was destroyed", (void *)wait.condition);
    result = wf_wait_refusal(self, deadline);
    if (result != 0)
        return result;
    /* What the caller holds beside it, it holds when it comes back. */
    if (was_checked)
        wf_held_before(wait.mutex, __builtin_return_address(0), WF_ORDER_ALONE);
    result = sleep_until_signalled(self, &wait, deadline);
    if (result < 0) {
        /* A signal may just be looking at the entry, and drops it then. */
        wf_lock_acquire(&wait.condition->lock);
        (void)wf_wait_queue_remove(&wait.condition->queue, &wait.entry);
        wf_lock_release(&wait.condition->lock);
    }
    wf_mutex_lock_after(wait.mutex, result);
    if (was_checked)
        wf_mutex_note_holder(wait.mutex, __builtin_return_address(0));
    return result < 0 ? result : 0;
}

/* Caller has taken the entry out, claim and all.  The moment it is queued elsewhere or woken, it
 * can be gone. */
static void pass_on(struct wf_worker *self, struct wf_wait_entry *entry)
{
    struct signal_wait *wait = WF_CONTAINER_OF(entry, struct signal_wait, entry);

    entry->claim = NULL;
    if (!wf_mutex_enqueue(wait->mutex, entry))
        wf_wake_later(self, entry->waiter, WF_MUTEX_ASK);
}

void weft_condition_signal(weft_condition *handle)
{
    struct condition *condition = internal(handle);
    struct wf_wait_entry *entry;

    wf_lock_acquire(&condition->lock);
    entry = wf_wait_queue_take(&condition->queue);
    wf_lock_release(&condition->lock);
    if (entry != NULL)
        pass_on(wf_self(), entry);
}

void weft_condition_broadcast(weft_condition *handle)
{
    struct condition *condition = internal(handle);
    struct wf_wait_entry *list;

    wf_lock_acquire(&condition->lock);
    list = wf_wait_queue_take_all(&condition->queue);
    wf_lock_release(&condition->lock);
    while (list != NULL) {
        struct wf_wait_entry *entry = list;

        list = entry->previous;
        pass_on(wf_self(), entry);
    }
}

void weft_condition_destroy(weft_condition *handle)
{
    struct condition *condition = internal(handle);

    wf_wait_queue_retire(&condition->queue, &condition->lock, "weft_condition_destroy");
}
