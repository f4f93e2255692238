/* SPDX-License-Identifier: MIT */
/*
 * Single flights: of calls that want the same at the same time, one does the work and all get what
 * comes of it.  For fibers and plain threads in any mix.
 *
 *   static weft_key_bucket buckets[64];
 *   static weft_singleflight loads = WEFT_SINGLEFLIGHT_INIT(struct page, buckets, 64);
 *
 *   error = weft_singleflight_do(&loads, url, strlen(url), load, url, &page, sizeof page,
 * deadline);
 *
 * The first call with a key runs its function; calls with the same key that come meanwhile wait for
 * it, and each gets a copy of its result.  A call that comes later runs its own: this is no cache,
 * but keeps a cache that misses from asking for the same thing a thousand times at once.
 *
 * Nothing is ever allocated, and a single flight needs no clean-up.
 */
#ifndef WEFT_SINGLEFLIGHT_H
#define WEFT_SINGLEFLIGHT_H

#include "base.h"
#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_singleflight {
    weft_key_bucket *buckets;
    size_t count;
    size_t result_size; /* bytes; 0: there is the error and nothing else */
    uint64_t reserved;  /* zero */
} weft_singleflight;

/* Of results of `type`.  `buckets` is an array of `count`, 1 or more, all zero. */
#define WEFT_SINGLEFLIGHT_INIT(type, buckets, count) \
    {                                                \
        (buckets), (count), sizeof(type), 0          \
    }

/*
 * Have `fn(arg, result)` run once for all calls that are under way with the key of `key_size` bytes
 * at `key`, and get what comes of it: what `fn` returns, 0 or more for success and a negative errno
 * for failure, and on success a copy of `*result`.
 *
 * `fn` runs in one of the calls, in its fiber or thread, and must not throw: the table would keep
 * what is in the frame of that call.  If that one is cancelled, or the deadline of a scope around
 * it passes, and `fn` fails for that, the failure is its own: the call that has waited longest runs
 * its function instead.  Any other failure is that of all.
 *
 * `result_size` is that of the single flight: another one aborts.  If what a result points to is
 * not to be shared, or freed by one while others use it, it needs a count of its users.
 *
 * Returns   what `fn` returned, in whichever call; or a negative errno of this call alone.  On
 *           failure `*result` is untouched, unless by its own `fn`.
 * Deadline  absolute, for the wait for another call; `fn` looks after itself.
 * Context   any thread, any fiber.  Aborts if `fn` makes a call with the key that it works on.
 * Switches  if it has to wait, or `fn` does.
 * Cancel    -ECANCELED, and the other calls go on; also before anything is begun.
 * Errors    -ETIMEDOUT, -ECANCELED, and those of `fn`.
 */
WEFT_API WEFT_MUST_USE int weft_singleflight_do(weft_singleflight *flights, const void *key,
                                                size_t key_size, int (*fn)(void *arg, void *result),
                                                void *arg, void *result, size_t result_size,
                                                weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
