/* SPDX-License-Identifier: MIT */
/*
 * Rate limiters, for fibers and plain threads in any mix: so many permits per time, and not more
 * than a burst at once.
 *
 *   static weft_rate_limiter limiter = WEFT_RATE_LIMITER_INIT(100, WEFT_SECOND, 10);
 *
 *   if (weft_rate_limiter_acquire(&limiter, 1, weft_after(WEFT_SECOND)) == 0)
 *       ...                                    at most 100 a second, and up to 10 at once
 *
 * It is a token bucket: it holds `burst` permits at most and at first, and fills evenly.  The
 * arithmetic is exact, to fractions of a nanosecond: three permits a second are three, for ever.
 *
 * Permits are given in the order in which they were asked for.  Nobody polls: who must wait knows
 * when its turn comes, and sleeps until then.  A rate limiter needs no clean-up.
 *
 * What comes while the bucket is full is lost.  For those who wait, and are late for their turns
 * because the workers were busy, it holds a second burst: so a short delay does not lower the rate,
 * and a long one is made up for by two bursts at once at most.
 */
#ifndef WEFT_RATE_LIMITER_H
#define WEFT_RATE_LIMITER_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_RATE_LIMITER_MAX (UINT64_C(1) << 62) /* of permits, and of a burst */

typedef struct weft_rate_limiter {
    uint64_t permits;     /* so many permits ... */
    int64_t period;       /* ... in so many nanoseconds */
    uint64_t burst;       /* what the bucket holds */
    uint64_t reserved[8]; /* the library's; zero is a full bucket */
} weft_rate_limiter;

/* Each is 1 or more; a limiter that breaks this, or WEFT_RATE_LIMITER_MAX, aborts when it is used.
 */
#define WEFT_RATE_LIMITER_INIT(permits, period, burst) \
    {                                                  \
        (permits), (period), (burst),                  \
        {                                              \
            0, 0, 0, 0, 0, 0, 0, 0                     \
        }                                              \
    }

/*
 * Make a limiter of `permits` in every `period` nanoseconds, with a full bucket of `burst`.
 *
 * Returns   0, or a negative errno with nothing made.
 * Context   any thread, any fiber; nobody uses the limiter.
 * Switches  never.
 * Errors    -EINVAL (one of them is 0, `period` is negative, or `permits` or `burst` are more than
 *           WEFT_RATE_LIMITER_MAX).
 */
WEFT_API WEFT_MUST_USE int weft_rate_limiter_init(weft_rate_limiter *limiter, uint64_t permits,
                                                  int64_t period, uint64_t burst);

/*
 * Take `count` permits, and wait until the bucket holds them and those who came first have theirs.
 *
 * Returns   0, or a negative errno with none taken.
 * Deadline  absolute; permits that are there are taken also after it.  If the turn would come after
 *           it, or after that of a scope around it that the caller has opened, the call fails at
 *           once.  The scopes of others, which may get another deadline meanwhile, end the wait
 *           when it passes.  If the turn comes late, since others were late before it, the call
 *           fails at the deadline.
 * Context   any thread, any fiber.
 * Switches  yes, unless they are there and nobody waits.
 * Cancel    ends the wait with -ECANCELED, as the deadline of a scope does with -ETIMEDOUT: then
 *           the permits are given back, and those behind come earlier.  A fiber that is cancelled
 *           still takes what is there, and one whose turn came first returns 0.
 * Errors    -EINVAL (`count` is more than the burst), -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_rate_limiter_acquire(weft_rate_limiter *limiter, uint64_t count,
                                                     weft_time deadline);

/*
 * Take `count` permits if they are there and nobody waits.
 *
 * Returns   0, or a negative errno with none taken.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EBUSY, -EINVAL (`count` is more than the burst).
 */
WEFT_API WEFT_MUST_USE int weft_rate_limiter_try_acquire(weft_rate_limiter *limiter,
                                                         uint64_t count);

/*
 * When the turn of one who asks for `count` permits now would come, if nobody gives up before and
 * nobody is late: what a server tells a client that it turns away.
 *
 * Returns   a point on weft's clock, not after now if they are there; WEFT_FOREVER if `count` is
 *           more than the burst, or it would be that long.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API weft_time weft_rate_limiter_due(weft_rate_limiter *limiter, uint64_t count);

#ifdef __cplusplus
}
#endif

#endif
