/* SPDX-License-Identifier: MIT */
/* What the other files of sync/ need of a mutex. */
#ifndef WF_SYNC_MUTEX_H
#define WF_SYNC_MUTEX_H

#include "arch/atomic.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <weft/mutex.h>

enum { WF_MUTEX_CHECKED = 16 }; /* in `word`: the table of held.h knows the holder */

struct wf_mutex {
    WF_ATOMIC(uint32_t) word; /* see mutex.c */
    struct wf_lock queue_lock;
    struct wf_wait_queue queue; /* under queue_lock */
};

static inline struct wf_mutex *wf_mutex_of(weft_mutex *mutex)
{
    return (struct wf_mutex *)(void *)mutex;
}

/* What those in the queue are woken with. */
enum {
    WF_MUTEX_LOOK_AGAIN,  /* the one on its way: see mutex.c */
    WF_MUTEX_HANDED_OVER, /* it holds the mutex */
    WF_MUTEX_ASK,         /* it was not in the queue */
};

/* Queues the entry of somebody who wants the mutex, and cannot be interrupted any more.  Returns
 * false if the mutex is free.  Caller: anyone, for somebody who keeps the mutex there. */
bool wf_mutex_enqueue(struct wf_mutex *mutex, struct wf_wait_entry *entry);

/* Locks the mutex however long that takes, also for a fiber that is cancelled.  `result` is what
 * the caller was woken with, if it waited in the queue before; else WF_MUTEX_ASK, or less than
 * 0. */
void wf_mutex_lock_after(struct wf_mutex *mutex, int result);

void wf_mutex_unlock(struct wf_mutex *mutex);

/* Whether the table of held.h knows the holder.  The second one sees to that; caller: the
 * holder, which locked the mutex at `site`. */
bool wf_mutex_is_checked(struct wf_mutex *mutex);
void wf_mutex_note_holder(struct wf_mutex *mutex, const void *site);

#endif
