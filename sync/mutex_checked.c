/* SPDX-License-Identifier: MIT */
/*
 * Mutexes that know their holder: checked ones, and recursive ones.
 *
 * There is no model of its own: what excludes and what waits is the plain mutex, which has one.
 * What comes to it is its holder's alone: the depth, and a word with the owner's number, in which
 * others look for their own and do not find it, whatever else they see; and the table of held.h is
 * under a lock.  What could go wrong all the same, in what order the two are changed, is the same
 * in any memory order: tests/stress/mutex_stress_test.c looks for it.
 */
#include "arch/atomic.h"
#include "runtime/check.h"
#include "sync/held.h"
#include "sync/mutex.h"

#include <errno.h>

#undef weft_mutex_lock
#undef weft_mutex_try_lock
#undef weft_mutex_unlock

_Static_assert(sizeof(struct wf_mutex) == sizeof(weft_mutex), "the public type has other fields");
_Static_assert(sizeof(weft_mutex) == 16, "a mutex is 16 bytes");

bool wf_mutex_is_checked(struct wf_mutex *mutex)
{
    /* relaxed: the caller finds itself in the table only if it has set the bit itself. */
    return (atomic_load_explicit(&mutex->word, memory_order_relaxed) & WF_MUTEX_CHECKED) != 0;
}

void wf_mutex_note_holder(struct wf_mutex *mutex, const void *site)
{
    if (!wf_held_add(mutex, site, WF_HELD_ALONE))
        return;
    /* relaxed: the holder alone clears it. */
    atomic_fetch_or_explicit(&mutex->word, WF_MUTEX_CHECKED, memory_order_relaxed);
}

int weft_mutex_lock_checked(weft_mutex *mutex, weft_time deadline)
{
    struct wf_mutex *internal = wf_mutex_of(mutex);
    int error;

    if (wf_mutex_is_checked(internal) && wf_held_mine(internal) != WF_HELD_NOT)
        wf_panic("weft_mutex_lock: the caller has locked the mutex %p already", (void *)mutex);
    if (wf_held_may_wait(deadline))
        wf_held_before(internal, __builtin_return_address(0), WF_ORDER_ALONE);
    error = weft_mutex_lock(mutex, deadline);
    if (error == 0)
        wf_mutex_note_holder(internal, __builtin_return_address(0));
    return error;
}

int weft_mutex_try_lock_checked(weft_mutex *mutex)
{
    struct wf_mutex *internal = wf_mutex_of(mutex);
    int error = weft_mutex_try_lock(mutex);

    if (error == 0)
        wf_mutex_note_holder(internal, __builtin_return_address(0));
    return error;
}

struct recursive {
    weft_mutex mutex;
    WF_ATOMIC(uint64_t) owner; /* the holder writes; others only see that they are not it */
    uint32_t depth;            /* the holder's: how often it has locked the mutex beyond once */
    uint32_t reserved;
};

_Static_assert(sizeof(struct recursive) == sizeof(weft_recursive_mutex),
               "the public type has other fields");

static struct recursive *recursive_of(weft_recursive_mutex *mutex)
{
    return (struct recursive *)(void *)mutex;
}

static bool is_mine(struct recursive *recursive)
{
    /* relaxed: the caller finds its own number only if it has written that itself. */
    return atomic_load_explicit(&recursive->owner, memory_order_relaxed) == wf_held_self();
}

static void set_owner(struct recursive *recursive, uint64_t owner)
{
    /* relaxed: as above. */
    atomic_store_explicit(&recursive->owner, owner, memory_order_relaxed);
}

static int lock_again(struct recursive *recursive)
{
    if (recursive->depth == UINT32_MAX - 1)
        return -EAGAIN;
    recursive->depth++;
    return 0;
}

int weft_recursive_mutex_lock(weft_recursive_mutex *mutex, weft_time deadline)
{
    struct recursive *recursive = recursive_of(mutex);
    int error;

    if (is_mine(recursive))
        return lock_again(recursive);
    error = weft_mutex_lock(&recursive->mutex, deadline);
    if (error == 0)
        set_owner(recursive, wf_held_self());
    return error;
}

int weft_recursive_mutex_try_lock(weft_recursive_mutex *mutex)
{
    struct recursive *recursive = recursive_of(mutex);
    int error;

    if (is_mine(recursive))
        return lock_again(recursive);
    error = weft_mutex_try_lock(&recursive->mutex);
    if (error == 0)
        set_owner(recursive, wf_held_self());
    return error;
}

void weft_recursive_mutex_unlock(weft_recursive_mutex *mutex)
{
    struct recursive *recursive = recursive_of(mutex);

    if (!is_mine(recursive))
        wf_panic("weft_recursive_mutex_unlock: the caller has not locked the mutex %p",
                 (void *)mutex);
    if (recursive->depth > 0) {
        recursive->depth--;
        return;
    }
    set_owner(recursive, 0);
    weft_mutex_unlock(&recursive->mutex);
}
