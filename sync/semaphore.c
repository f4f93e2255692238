/* SPDX-License-Identifier: MIT */
/* Weighted semaphores: a number and a queue under one lock. */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/semaphore.h>

struct semaphore {
    uint64_t permits;           /* under the lock */
    struct wf_wait_queue queue; /* under the lock; not empty: the first wants more than there are */
    struct wf_lock lock;
    uint32_t reserved;
};

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct semaphore) == sizeof(weft_semaphore),
               "the public type has other fields");
#endif

/* In the frame of whoever waits. */
struct permit_wait {
    struct wf_wait_entry entry;
    uint64_t count;
};

static struct semaphore *internal(weft_semaphore *semaphore)
{
    return (struct semaphore *)(void *)semaphore;
}

/* Gives out what there is, in order; returns the entries to wake.  Caller holds the lock. */
static struct wf_wait_entry *grant(struct semaphore *semaphore)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;

    while (!wf_wait_queue_is_empty(&semaphore->queue)) {
        struct wf_wait_entry *entry = semaphore->queue.first;
        uint64_t count = WF_CONTAINER_OF(entry, struct permit_wait, entry)->count;

        if (count > semaphore->permits)
            break;
        semaphore->permits -= count;
        (void)wf_wait_queue_remove(&semaphore->queue, entry);
        *end = entry;
        end = &entry->previous;
    }
    *end = NULL;
    return list;
}

/* Caller holds the lock. */
static bool take(struct semaphore *semaphore, uint64_t count)
{
    if (!wf_wait_queue_is_empty(&semaphore->queue) || semaphore->permits < count)
        return false;
    semaphore->permits -= count;
    return true;
}

int weft_semaphore_acquire(weft_semaphore *handle, uint64_t count, weft_time deadline)
{
    struct semaphore *semaphore = internal(handle);
    struct permit_wait wait = {{NULL, NULL, NULL, NULL}, count};
    struct wf_wait_entry *list;
    int error;

    wf_lock_acquire(&semaphore->lock);
    if (WF_LIKELY(take(semaphore, count))) {
        wf_lock_release(&semaphore->lock);
        return 0;
    }
    error = wf_wait_queue_sleep(wf_self(), &semaphore->queue, &semaphore->lock, &wait.entry,
                                deadline);
    if (error == 0)
        return 0;
    /* Those behind us may want less than we did. */
    wf_lock_acquire(&semaphore->lock);
    list = grant(semaphore);
    wf_lock_release(&semaphore->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return error;
}

int weft_semaphore_try_acquire(weft_semaphore *handle, uint64_t count)
{
    struct semaphore *semaphore = internal(handle);
    bool is_taken;

    wf_lock_acquire(&semaphore->lock);
    is_taken = take(semaphore, count);
    wf_lock_release(&semaphore->lock);
    return is_taken ? 0 : -EBUSY;
}

void weft_semaphore_release(weft_semaphore *handle, uint64_t count)
{
    struct semaphore *semaphore = internal(handle);
    struct wf_wait_entry *list = NULL;

    wf_lock_acquire(&semaphore->lock);
    if (semaphore->permits > UINT64_MAX - count)
        wf_panic("weft_semaphore_release: more permits than fit into 64 bits");
    semaphore->permits += count;
    if (WF_UNLIKELY(!wf_wait_queue_is_empty(&semaphore->queue)))
        list = grant(semaphore);
    wf_lock_release(&semaphore->lock);
    if (WF_UNLIKELY(list != NULL))
        wf_wait_queue_wake_list(wf_self(), list, 0);
}

uint64_t weft_semaphore_available(weft_semaphore *handle)
{
    struct semaphore *semaphore = internal(handle);
    uint64_t permits;

    wf_lock_acquire(&semaphore->lock);
    permits = semaphore->permits;
    wf_lock_release(&semaphore->lock);
    return permits;
}
