/* SPDX-License-Identifier: MIT */
/*
 * Keyed mutexes: a mutex for each key, of any number of keys, for fibers and plain threads in any
 * mix.
 *
 *   static weft_key_bucket buckets[256];
 *   static weft_keyed_mutex accounts = WEFT_KEYED_MUTEX_INIT(buckets, 256);
 *
 *   weft_key_hold hold = WEFT_KEY_HOLD_INIT;
 *
 *   if (weft_keyed_mutex_lock(&accounts, &hold, &id, sizeof id, WEFT_FOREVER) == 0) {
 *       ...                                                nobody else holds this account
 *       weft_keyed_mutex_unlock(&accounts, &hold);
 *   }
 *
 * Nothing is ever allocated: what a locked key needs is in its holder's weft_key_hold, and a key
 * that is not locked needs nothing.  A key that is unlocked goes to the one that has waited
 * longest.
 *
 * Who locks several keys locks them in an order that all keep to, as with any mutexes.  A keyed
 * mutex needs no clean-up.
 */
#ifndef WEFT_KEYED_MUTEX_H
#define WEFT_KEYED_MUTEX_H

#include "base.h"
#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_keyed_mutex {
    weft_key_bucket *buckets;
    size_t count;
    uint64_t reserved[2]; /* zero */
} weft_keyed_mutex;

/* `buckets` is an array of `count`, 1 or more, all zero. */
#define WEFT_KEYED_MUTEX_INIT(buckets, count) \
    {                                         \
        (buckets), (count),                   \
        {                                     \
            0, 0                              \
        }                                     \
    }

/* What holds a key: it must stay where it is from the lock to the unlock, and serves one key at a
 * time. */
typedef struct weft_key_hold {
    uint64_t reserved[8]; /* the library's */
} weft_key_hold;

#define WEFT_KEY_HOLD_INIT         \
    {                              \
        {                          \
            0, 0, 0, 0, 0, 0, 0, 0 \
        }                          \
    }

/*
 * Lock the key that consists of `size` bytes at `key`, and wait for that while another holds it.
 * The bytes must stay as they are until the unlock.
 *
 * Returns   0, or a negative errno with nothing locked.
 * Deadline  absolute; a key that is free is locked also after it.  0 does not wait.
 * Context   any thread, any fiber.  Aborts if the caller holds the key already, or if `hold` holds
 *           one.
 * Switches  yes, unless the key is free.
 * Cancel    ends the wait with -ECANCELED.  A fiber that is cancelled still locks a free key, and
 *           one that was given the key before the cancel returns 0.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_keyed_mutex_lock(weft_keyed_mutex *mutex, weft_key_hold *hold,
                                                 const void *key, size_t size, weft_time deadline);

/*
 * weft_keyed_mutex_lock() if the key is free.
 *
 * Returns   0, or -EBUSY, a negative errno.
 * Context   any thread, any fiber.  Aborts if `hold` holds a key.
 * Switches  never.
 * Errors    -EBUSY.
 */
WEFT_API WEFT_MUST_USE int weft_keyed_mutex_try_lock(weft_keyed_mutex *mutex, weft_key_hold *hold,
                                                     const void *key, size_t size);

/*
 * Unlock the key that `hold` holds, which is free for other use then.
 *
 * Returns   nothing.  Aborts if `hold` holds no key, or was not locked by the caller.
 * Context   the fiber or the thread that locked it.
 * Switches  never.
 */
WEFT_API void weft_keyed_mutex_unlock(weft_keyed_mutex *mutex, weft_key_hold *hold);

#ifdef __cplusplus
}
#endif

#endif
