/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of a rate limiter, as functions of given times: a token bucket, kept as one point
 * in time.
 *
 * That point is when the bucket will be full again, "theoretical arrival time" in the virtual
 * scheduling form of the Generic Cell Rate Algorithm (ITU-T I.371, annex A): each permit moves it
 * by one interval, and permits are there if it then lies no further ahead than the bucket is deep.
 * Deviations: several permits may be taken at once, as if in as many cells; and who comes too early
 * is not refused but learns when it will conform.
 *
 * Times are counted in ticks, of which a nanosecond has as many as a period has permits: then the
 * interval between two permits is a whole number of ticks, the period.  Nothing is ever rounded
 * but the end of a wait, up to the next nanosecond.
 */
#ifndef WF_SYNC_BUCKET_H
#define WF_SYNC_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Of times below 2^63 ns, and at most 2^62 permits: below 2^125, and the sum of two still fits.
 * Aligned as the public struct is. */
__extension__ typedef __int128 wf_ticks __attribute__((aligned(8)));

#define WF_BUCKET_MAX ((uint64_t)1 << 62)

struct wf_bucket {
    uint64_t permits; /* immutable: 1 to WF_BUCKET_MAX */
    int64_t period;   /* immutable: ns, 1 or more */
    uint64_t burst;   /* immutable: 1 to WF_BUCKET_MAX */
    wf_ticks full;    /* when it is, unless more is taken; may have passed */
};

static inline bool wf_bucket_is_valid(const struct wf_bucket *bucket)
{
    return bucket->permits - 1 < WF_BUCKET_MAX && bucket->period > 0 &&
           bucket->burst - 1 < WF_BUCKET_MAX;
}

/* When it holds `count` permits, 1 to WF_BUCKET_MAX, which can be more than the burst: the sum of
 * what several take one after the other, each as soon as it can. */
static inline wf_ticks wf_bucket_due_ticks(const struct wf_bucket *bucket, uint64_t count)
{
    return bucket->full + ((wf_ticks)count - (wf_ticks)bucket->burst) * bucket->period;
}

/* The first nanosecond that is not before `ticks`.  INT64_MAX if there is none, and something below
 * 0 if they are before time began. */
static inline int64_t wf_bucket_ns(const struct wf_bucket *bucket, wf_ticks ticks)
{
    wf_ticks permits = (wf_ticks)bucket->permits;

    if (ticks <= 0)
        return -1;
    ticks = ticks / permits + (ticks % permits != 0);
    return ticks < INT64_MAX ? (int64_t)ticks : INT64_MAX;
}

/* The first nanosecond in which it holds `count` permits: see above. */
static inline int64_t wf_bucket_due(const struct wf_bucket *bucket, uint64_t count)
{
    return wf_bucket_ns(bucket, wf_bucket_due_ticks(bucket, count));
}

/* Whether `count` permits are due at `now`: the same without a division. */
static inline bool wf_bucket_has(const struct wf_bucket *bucket, uint64_t count, int64_t now)
{
    return wf_bucket_due_ticks(bucket, count) <= (wf_ticks)now * (wf_ticks)bucket->permits;
}

/* At `now`: a bucket that has been full for a while does not hold more for it, but for `beyond`
 * permits, 0 to WF_BUCKET_MAX.  Returns for how long it has overflown, by which all that is due is
 * so later. */
static inline wf_ticks wf_bucket_cap(struct wf_bucket *bucket, int64_t now, uint64_t beyond)
{
    wf_ticks late = (wf_ticks)now * (wf_ticks)bucket->permits - bucket->full -
                    (wf_ticks)beyond * bucket->period;

    if (late <= 0)
        return 0;
    bucket->full += late;
    return late;
}

/* Caller knows that they are due. */
static inline void wf_bucket_take(struct wf_bucket *bucket, uint64_t count)
{
    bucket->full += (wf_ticks)count * bucket->period;
}

#endif
