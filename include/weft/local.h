/* SPDX-License-Identifier: MIT */
/*
 * Fiber-local storage: a key names a value of which each fiber has its own, and each plain thread.
 *
 *   static weft_local_key request_key;
 *
 *   struct weft_local_attr attr = WEFT_LOCAL_ATTR_INIT;
 *   attr.destroy = free;
 *   error = weft_local_key_create(&request_key, &attr);      once, at the start of the program
 *   ...
 *   error = weft_local_set(request_key, request);            in any fiber
 *   request = weft_local_get(request_key);                   in the same one, on whatever thread
 *
 * A value stays with its fiber, wherever that wakes.  When the fiber's function has returned and
 * its defers have run (weft_defer()), `destroy` is called in the fiber for each value that is left.
 * What that sets in turn is destroyed as well, in up to WEFT_LOCAL_ROUNDS rounds; what is left then
 * is dropped.  Values without `destroy`, and those that were inherited without a copy, can be read
 * until then, in destructors as well as in defers.  For a plain thread the same happens at its end,
 * except that the values of a thread that ends the process stay, as with pthread_setspecific().
 *
 * The values of a key with `inherit` go to the fibers that a fiber spawns, in whatever way and
 * wherever: weft_spawn(), weft_spawn_on(), weft_scope_spawn(), weft_future_spawn().  So they do
 * from a plain thread.  Each child gets a copy if the key has a function for that, and destroys it;
 * without one it gets the same pointer and does not destroy it: the spawner's value has to outlive
 * the child.  A spawn costs more where there is something to inherit: an allocation or two.  The
 * first fiber of a run, that of weft_run() or weft_start(), is spawned by nobody and inherits
 * nothing.  The functions of a key must not throw.
 *
 * A generator runs in the fiber that asks it.  A task (weft/task.h) that another worker has taken
 * runs in a fiber of its own, which inherits nothing: hand its values over in its argument.  The
 * same goes for calls on the pool of weft_blocking(), whose threads have values of their own.
 *
 * A fiber that sets no value and inherits none pays nothing.
 */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include "base.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_LOCAL_KEYS_MAX 1024 /* at a time, in the whole process */
#define WEFT_LOCAL_ROUNDS 4

/* The fields are the library's.  One of zeros is no key. */
typedef struct weft_local_key {
    uint32_t index;
    uint32_t generation;
} weft_local_key;

/* What a key is like.  Zero means the default in every field. */
struct weft_local_attr {
    void (*destroy)(void *value); /* for a value that is not null, at the end; default: none */

    /* Makes the value of a child: 0 with the copy in `*copy`, or a negative errno, which the spawn
     * then returns.  It is called in the spawner, which switches if it waits.  Only with `inherit`;
     * default: see above. */
    int (*copy)(void *value, void **copy);
    bool inherit;
    uint8_t reserved8[7]; /* zero */
    uint64_t reserved[4]; /* zero */
};

#define WEFT_LOCAL_ATTR_INIT    \
    {                           \
        NULL, NULL, false, {0}, \
        {                       \
            0, 0, 0, 0          \
        }                       \
    }

/*
 * Make a key, for which every fiber and every thread has NULL at first.  A null `attr` means the
 * defaults.
 *
 * Returns   0, or a negative errno with `*key` untouched.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -EAGAIN (there are WEFT_LOCAL_KEYS_MAX keys, or for the first one no pthread key),
 *           -EINVAL (a copy function without `inherit`), -ENOMEM.
 */
WEFT_API WEFT_MUST_USE int weft_local_key_create(weft_local_key *key,
                                                 const struct weft_local_attr *attr);

/*
 * Delete a key.  Values that are still set are dropped, without a call of `destroy`; those that are
 * being destroyed at that moment still are.  Using the key afterwards aborts.
 *
 * Returns   nothing.  Aborts if there is no such key.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_local_key_delete(weft_local_key key);

/*
 * Set the caller's value.  The one before is not destroyed.
 *
 * Returns   0, or -ENOMEM with the value unchanged.  The second time that a caller sets a key, and
 *           with NULL, it never fails.  Aborts if there is no such key.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ENOMEM.
 */
WEFT_API WEFT_MUST_USE int weft_local_set(weft_local_key key, void *value);

/*
 * The caller's value.
 *
 * Returns   the value; NULL if it has set and inherited none.  Aborts if there is no such key.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void *weft_local_get(weft_local_key key);

#ifdef __cplusplus
}
#endif

#endif
