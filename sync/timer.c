/* SPDX-License-Identifier: MIT */
/*
 * Timer objects: a time, and a queue of those that wait for it.
 *
 * Whoever waits sleeps until the time that it has read, with its own entry in a wheel, and then
 * looks again.  So a time that is made later needs no wake, and one that is made earlier wakes all.
 *
 * The hazard is a sleeper that has read a later time than the one that counts.  It reads and queues
 * itself under the lock, and a time is made earlier only under the lock, which then finds it in
 * the queue.  Without the lock a time is only raised, by compare-and-swap; under the lock it is
 * changed by read-modify-writes as well, so that none of the two overwrites what it has not seen.
 * That word publishes nothing else.
 */
#include "sync/alarm.h"

#include "arch/os.h"

#include <errno.h>
#include <weft/timer.h>

enum { NOT_ARMED = 0 };

#ifndef WF_MODEL /* where an atomic is larger */
_Static_assert(sizeof(struct wf_alarm) == sizeof(weft_timer), "the public type has other fields");
#endif

static const struct wf_wait_kind timer_kind = {"a timer", offsetof(struct wf_alarm, lock), 0};

static struct wf_alarm *internal(weft_timer *timer)
{
    return (struct wf_alarm *)(void *)timer;
}

/* Every time before the clock's beginning is the same: it has passed. */
static int64_t point_of(weft_time when)
{
    return when > NOT_ARMED ? when : NOT_ARMED + 1;
}

static bool change(struct wf_alarm *timer, int64_t *expected, int64_t when)
{
    /* relaxed: it publishes nothing. */
    return atomic_compare_exchange_weak_explicit(&timer->when, expected, when, memory_order_relaxed,
                                                 memory_order_relaxed);
}

static int64_t exchange(struct wf_alarm *timer, int64_t when)
{
    /* relaxed: as above. */
    return atomic_exchange_explicit(&timer->when, when, memory_order_relaxed);
}

int weft_timer_arm(weft_timer *handle, weft_time when, int64_t period_ns,
                   enum weft_timer_policy policy)
{
    struct wf_alarm *timer = internal(handle);
    struct wf_wait_entry *list = NULL;

    if (period_ns < 0 || (unsigned)policy > WEFT_TIMER_DELAY)
        return -EINVAL;
    wf_lock_acquire(&timer->lock);
    timer->period = period_ns;
    timer->policy = (uint32_t)policy;
    if (exchange(timer, point_of(when)) > when)
        list = wf_wait_queue_take_all(&timer->queue);
    wf_lock_release(&timer->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
    return 0;
}

static WF_COLD int move_locked(struct wf_alarm *timer, int64_t when)
{
    struct wf_wait_entry *list = NULL;
    int64_t old;

    wf_lock_acquire(&timer->lock);
    old = wf_alarm_when(timer);
    while (old != NOT_ARMED && !change(timer, &old, when))
        ;
    if (old > when)
        list = wf_wait_queue_take_all(&timer->queue);
    wf_lock_release(&timer->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
    return old != NOT_ARMED ? 0 : -ENODATA;
}

int weft_timer_move(weft_timer *handle, weft_time deadline)
{
    struct wf_alarm *timer = internal(handle);
    int64_t when = point_of(deadline);
    int64_t old = wf_alarm_when(timer);

    while (old != NOT_ARMED && old <= when)
        if (change(timer, &old, when))
            return 0;
    return move_locked(timer, when);
}

bool weft_timer_cancel(weft_timer *handle)
{
    struct wf_alarm *timer = internal(handle);
    struct wf_wait_entry *list;
    bool was_armed;

    wf_lock_acquire(&timer->lock);
    was_armed = exchange(timer, NOT_ARMED) != NOT_ARMED;
    list = wf_wait_queue_take_all(&timer->queue);
    wf_lock_release(&timer->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, -ENODATA);
    return was_armed;
}

/* From expiration `when` on by `count` periods; never overflows. */
static int64_t later_by(int64_t when, int64_t count, int64_t period)
{
    int64_t distance, sum;

    if (__builtin_mul_overflow(count, period, &distance) ||
        __builtin_add_overflow(when, distance, &sum))
        return WEFT_FOREVER;
    return sum;
}

int64_t wf_alarm_take(struct wf_alarm *timer, int64_t now)
{
    int64_t when = wf_alarm_when(timer);
    int64_t count = 0, next;

    do {
        if (when == NOT_ARMED)
            return -ENODATA;
        if (when > now)
            return -EAGAIN;
        count = 1;
        next = NOT_ARMED;
        if (timer->period != 0) {
            if (timer->policy != WEFT_TIMER_BURST)
                count = (now - when) / timer->period + 1;
            next = timer->policy == WEFT_TIMER_DELAY ? later_by(now, 1, timer->period)
                                                     : later_by(when, count, timer->period);
        }
    } while (!change(timer, &when, next));
    return count;
}

int64_t weft_timer_wait(weft_timer *handle, weft_time deadline)
{
    struct wf_alarm *timer = internal(handle);

    for (;;) {
        struct wf_wait_entry entry = {NULL, NULL, NULL, NULL};
        int64_t count, when;
        int error;

        wf_lock_acquire(&timer->lock);
        count = wf_alarm_take(timer, wf_os_now());
        when = wf_alarm_when(timer);
        if (count != -EAGAIN) {
            wf_lock_release(&timer->lock);
            return count;
        }
        error = wf_wait_queue_sleep(wf_self(), &timer->queue, &timer->lock, &entry,
                                    when < deadline ? when : deadline, &timer_kind);
        /* 0: it is to expire earlier.  Else the time has come, or it has been made later. */
        if (error != 0 && (error != -ETIMEDOUT || wf_os_now() < when))
            return error;
    }
}

weft_time weft_timer_next(const weft_timer *handle)
{
    int64_t when = wf_alarm_when((const struct wf_alarm *)(const void *)handle);

    return when != NOT_ARMED ? when : WEFT_FOREVER;
}
