/* SPDX-License-Identifier: MIT */
/*
 * Timers, one-shot and periodic, for fibers and plain threads in any mix.
 *
 *   weft_timer timer = WEFT_TIMER_INIT;
 *
 *   weft_timer_arm(&timer, weft_after(period), period, WEFT_TIMER_SKIP);
 *   while ((count = weft_timer_wait(&timer, WEFT_FOREVER)) > 0)
 *       ...                                                  count periods have passed
 *
 * A timer says when; whoever wants something done at that time waits for it.  It is in a worker's
 * timer wheel only while somebody waits, so that arming and cancelling touch the timer alone, from
 * wherever they are called, and moving it to a later time is one compare-and-swap: who waits finds
 * out when the old time comes.  So each message of a connection can move an idle timeout.
 *
 * Each expiration is reported once: of several that wait, to the one that comes first.  A cancel
 * and an expiration never both succeed, and one of the two does.  weft_select() waits for timers
 * beside channels.
 *
 * Nothing is allocated.  A timer may be freed when nobody uses it any more.  A wait uses it until
 * it returns, even after a cancel, which does not know who is just about to look at the time. Waits
 * end at the first tick at or after the time, as weft_sleep_until() does.
 */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
typedef struct weft_timer {
    int64_t when;
    int64_t period;
    void *queue;
    uint32_t lock;
    uint32_t policy;
    uint64_t reserved[2];
} weft_timer;

#define WEFT_TIMER_INIT   \
    {                     \
        0, 0, NULL, 0, 0, \
        {                 \
            0, 0          \
        }                 \
    }

/* What a periodic timer does about periods that have passed before somebody looked. */
enum weft_timer_policy {
    WEFT_TIMER_BURST, /* each is reported by a wait of its own, those that are late at once */
    WEFT_TIMER_SKIP,  /* one wait reports all; the next comes when it would have come anyway */
    WEFT_TIMER_DELAY, /* one wait reports all; the next comes a period after that */
};

/*
 * Arm a timer, or arm it anew: it expires at `when`, and if `period_ns` is not 0 every `period_ns`
 * after that.  With all policies but WEFT_TIMER_DELAY there is no drift: expiration k is at
 * `when` + k * `period_ns`.  What had expired before and nobody has waited for is dropped.
 *
 * Returns   0, or -EINVAL with the timer unchanged.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EINVAL (a negative period, an unknown policy).
 */
WEFT_API int weft_timer_arm(weft_timer *timer, weft_time when, int64_t period_ns,
                            enum weft_timer_policy policy);

/*
 * Move the next expiration of an armed timer to `when`; those after it follow in the same
 * distances.  If it has expired and nobody has waited for that, it is as if it had not.
 *
 * A move to a later time costs one compare-and-swap and wakes nobody.
 *
 * Returns   0, or -ENODATA.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ENODATA (not armed: it was cancelled, or a wait has reported its only expiration).
 */
WEFT_API int weft_timer_move(weft_timer *timer, weft_time when);

/*
 * Disarm a timer.  Those that wait for it return -ENODATA.
 *
 * Returns   true if it was armed: no wait will report an expiration any more.  False if it was not:
 *           cancelled before, or a wait has reported its only expiration.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API bool weft_timer_cancel(weft_timer *timer);

/*
 * Wait until the timer expires.
 *
 * Returns   how many expirations have passed since the last report, 1 or more; or a negative errno.
 * Deadline  absolute; an expiration that has come is reported also after it.  0 does not wait.
 * Context   any thread, any fiber.
 * Switches  yes, unless the timer has expired or is not armed.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled is still told of an
 *           expiration that has come before its call.  One that it is not told of is not lost: it
 *           stays in the timer.
 * Errors    -ENODATA (not armed, or cancelled meanwhile), -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int64_t weft_timer_wait(weft_timer *timer, weft_time deadline);

/*
 * When the timer expires next.
 *
 * Returns   the time, which has passed if nobody has waited for the expiration; WEFT_FOREVER if it
 *           is not armed.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API weft_time weft_timer_next(const weft_timer *timer);

#ifdef __cplusplus
}
#endif

#endif
