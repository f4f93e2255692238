/* SPDX-License-Identifier: MIT */
/* Readers-writer locks that know their holders, as include/weft/lock_checks.h says, and their end.
 */
#include "runtime/check.h"
#include "sync/held.h"
#include "sync/rwlock_word.h"

#undef weft_rwlock_read_lock
#undef weft_rwlock_write_lock
#undef weft_rwlock_try_read_lock
#undef weft_rwlock_try_write_lock

static bool is_checked(struct rwlock *lock)
{
    /* relaxed: the caller finds itself in the table only if it has seen the bit before. */
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & CHECKED) != 0;
}

static void note_holder(struct rwlock *lock, bool is_writer, const void *site)
{
    /* The first one forgets what was here before, perhaps freed while it was held.  A reader that
     * came at the same moment may be forgotten with it: it counts as one that was not checked.
     * relaxed: whoever unlocks after this sees it, and others need not. */
    if (!is_checked(lock) &&
        (atomic_fetch_or_explicit(&lock->word, CHECKED, memory_order_relaxed) & CHECKED) == 0)
        wf_held_forget(lock);
    (void)wf_held_add(lock, site, is_writer ? WF_HELD_ALONE : WF_HELD_SHARED);
}

/* A reader that comes once more need not wait for itself: not before a writer has come in between,
 * and never where readers are preferred.  Any other is lost. */
static void check_before(struct rwlock *lock, bool is_writer, const void *site)
{
    enum wf_order_mode mode = prefers_readers(lock) ? WF_ORDER_READ_FIRST : WF_ORDER_READ;
    enum wf_held_mode mine = is_checked(lock) ? wf_held_mine(lock) : WF_HELD_NOT;

    if (mine == WF_HELD_ALONE || (mine == WF_HELD_SHARED && is_writer))
        wf_panic("weft_rwlock_%s_lock: the caller has locked the lock %p already",
                 is_writer ? "write" : "read", (void *)lock);
    wf_held_before(lock, site, is_writer ? WF_ORDER_ALONE : mode);
}

int weft_rwlock_read_lock_checked(weft_rwlock *lock, weft_time deadline)
{
    int error;

    if (wf_held_may_wait(deadline))
        check_before(internal(lock), false, __builtin_return_address(0));
    error = weft_rwlock_read_lock(lock, deadline);
    if (error == 0)
        note_holder(internal(lock), false, __builtin_return_address(0));
    return error;
}

int weft_rwlock_write_lock_checked(weft_rwlock *lock, weft_time deadline)
{
    int error;

    if (wf_held_may_wait(deadline))
        check_before(internal(lock), true, __builtin_return_address(0));
    error = weft_rwlock_write_lock(lock, deadline);
    if (error == 0)
        note_holder(internal(lock), true, __builtin_return_address(0));
    return error;
}

int weft_rwlock_try_read_lock_checked(weft_rwlock *lock)
{
    int error = weft_rwlock_try_read_lock(lock);

    if (error == 0)
        note_holder(internal(lock), false, __builtin_return_address(0));
    return error;
}

int weft_rwlock_try_write_lock_checked(weft_rwlock *lock)
{
    int error = weft_rwlock_try_write_lock(lock);

    if (error == 0)
        note_holder(internal(lock), true, __builtin_return_address(0));
    return error;
}

void weft_rwlock_destroy(weft_rwlock *handle)
{
    struct rwlock *lock = internal(handle);
    /* relaxed: nobody else may use it any more. */
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    if ((word & DEAD) != 0)
        wf_panic("weft_rwlock_destroy: the lock %p was destroyed before", (void *)lock);
    if ((word & ~CHECKED) != 0)
        wf_panic("weft_rwlock_destroy: the lock %p is held, or waited for", (void *)lock);
    wf_order_forget(lock);
    /* relaxed: as above. */
    atomic_store_explicit(&lock->word, DEAD, memory_order_relaxed);
}
