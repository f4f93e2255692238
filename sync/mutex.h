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

/* Locks the mutex however long that takes, also for a fiber that is cancelled. */
void wf_mutex_lock_always(struct wf_mutex *mutex);

#endif
