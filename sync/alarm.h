/* SPDX-License-Identifier: MIT */
/* What select.c needs of a timer object.  It is an alarm here: timers are the wheel's. */
#ifndef WF_SYNC_ALARM_H
#define WF_SYNC_ALARM_H

#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <stdint.h>

/*
 * Whoever waits is in the queue and sleeps until the time that it has read under the lock.  It is
 * woken with 0 to look again, for the time is an earlier one now, or with -ENODATA: cancelled.
 */
struct wf_alarm {
    WF_ATOMIC(int64_t) when;    /* the next expiration; 0: not armed */
    int64_t period;             /* under the lock; 0: it expires once */
    struct wf_wait_queue queue; /* under the lock */
    struct wf_lock lock;
    uint32_t policy; /* under the lock; enum weft_timer_policy */
    uint64_t reserved[2];
};

/* When it expires next; it may be made later at any time.  Caller holds the lock, and the alarm is
 * armed. */
static inline int64_t wf_alarm_when(const struct wf_alarm *alarm)
{
    /* relaxed: a value that is too low costs a look more; the compare-and-swaps decide. */
    return atomic_load_explicit(&alarm->when, memory_order_relaxed);
}

/* How many expirations have passed by `now`, which are reported by that; -EAGAIN if none has,
 * -ENODATA if it is not armed.  Caller holds the lock. */
int64_t wf_alarm_take(struct wf_alarm *alarm, int64_t now);

#endif
