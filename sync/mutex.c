/* SPDX-License-Identifier: MIT */
/*
 * Mutexes.
 *
 * One word says who may have the lock, a queue under a lock of its own says who waits for it.  An
 * unlock does not give the lock to the first waiter as a rule: it frees the mutex, wakes that
 * waiter, and leaves the two to whoever comes first.  The holder that comes back at once then goes
 * on without a switch, where a strict order would cost two of them for each critical section.  What
 * keeps a waiter from being passed for ever is a count of the unlocks that let others by: the one
 * that reaches WEFT_MUTEX_BYPASSES keeps the mutex locked and hands it over.  (Barging with a way
 * out, as in WebKit's WTF::Lock and in Go's sync.Mutex, which both measure time; a count needs no
 * clock and gives a bound in holders.)
 *
 *   word      means                                   set by           cleared by
 *   LOCKED    somebody holds it, or is given it       lock             unlock
 *   QUEUED    somebody is in the queue                the queue lock's holder, both
 *   WOKEN     one that was in the queue is on its     unlock           that one
 *             way, and will look at the word
 *   GIVEN     with LOCKED and WOKEN: the lock is      unlock           that one
 *             that one's
 *   CHECKED   with LOCKED: held.h knows the holder    lock             unlock
 *   DEAD      it was destroyed                        destroy          nobody
 *   the rest  counts bypasses                         unlock, the one on its way
 *
 * Nobody waits for a free mutex: while it is free and somebody is queued, WOKEN is set, and the one
 * on its way either takes the lock or, finding it LOCKED, clears WOKEN before it sleeps or goes
 * away, so that the holder's unlock wakes again.  A waiter that is cancelled leaves the queue by
 * itself; one that was woken before looks at the word once more, and so neither loses a lock that
 * it was given nor a wake that the others need.
 *
 * Whoever unlocks touches the mutex no more once another can have locked it, but for two cases: the
 * queue lock, and that one is released before the waiter is woken, who will look at the mutex and
 * so keeps it from being freed.
 *
 *   Edge   From                  To                    Promises
 *   MX.1   unlock: word release  lock: word acquire    the holder sees what earlier holders did
 */
#include "sync/mutex.h"
#include "arch/cpu.h"
#include "arch/os.h"
#include "runtime/check.h"
#include "sync/describe.h"
#include "sync/held.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/fiber.h>
#include <weft/runtime.h>

#undef weft_mutex_lock
#undef weft_mutex_try_lock
#undef weft_mutex_unlock

#ifndef WF_MUTEX_BYPASSES
#define WF_MUTEX_BYPASSES WEFT_MUTEX_BYPASSES /* the model has a smaller one */
#endif
#ifndef WF_MUTEX_SPINS
#define WF_MUTEX_SPINS 20 /* guessed: a microsecond, about what it costs to wait and be woken */
#endif

enum {
    LOCKED = WEFT_MUTEX_LOCKED,
    QUEUED = 2,
    WOKEN = 4,
    GIVEN = 8,
    CHECKED = WF_MUTEX_CHECKED,
    DEAD = 32,
    BYPASS = 256, /* one of them */
    /* A waiter that was woken for nothing counts as that many: two such, and it is handed over. */
    BYPASSES_PER_LOSS = WF_MUTEX_BYPASSES / 2,
};

#define BYPASSES (~(uint32_t)(BYPASS - 1))
#define FAIR ((uint32_t)WF_MUTEX_BYPASSES * BYPASS)

/* In the frame of whoever wants the lock. */
struct lock_wait {
    struct wf_mutex *mutex;
    struct wf_wait_entry entry;
    bool is_woken; /* WOKEN speaks of this one */
};

/* Takes the lock if it is free or given to us.  Returns false with the word as it was last seen. */
WF_INLINE bool take(struct wf_mutex *mutex, bool is_woken, uint32_t *seen)
{
    /* relaxed: the compare-and-swap decides. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);

    for (;;) {
        uint32_t mine = is_woken ? WOKEN | GIVEN | BYPASSES : 0;

        if ((word & (LOCKED | DEAD)) != 0 && !(is_woken && (word & GIVEN) != 0)) {
            *seen = word;
            return false;
        }
        /* MX.1 acquire: what earlier holders did; relaxed on failure: we look again. */
        if (atomic_compare_exchange_weak_explicit(&mutex->word, &word, (word | LOCKED) & ~mine,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    }
}

/* Another is not given the lock for as long as it holds it: a short wait is cheaper than a switch,
 * but only while nobody else waits, and while the holder can be running. */
static bool spin(struct wf_worker *self, struct wf_mutex *mutex)
{
    /* relaxed: a hint. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);

    if ((word & (QUEUED | WOKEN)) != 0 || (self != NULL && weft_worker_count() == 1))
        return false;
    for (int i = 0; i < WF_MUTEX_SPINS; i++) {
        if (take(mutex, false, &word))
            return true;
        if ((word & (QUEUED | WOKEN)) != 0)
            return false;
        wf_cpu_pause();
    }
    return false;
}

/* Gives up.  Returns false if the lock is to be had after all, and then must be taken: the one on
 * its way is the only one who was told. */
static bool give_up(struct lock_wait *wait)
{
    struct wf_mutex *mutex = wait->mutex;
    /* relaxed: the compare-and-swap decides. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    uint32_t rest;

    if (!wait->is_woken)
        return true;
    do {
        if ((word & LOCKED) == 0 || (word & GIVEN) != 0)
            return false;
        rest = word & ~(uint32_t)WOKEN;
        if ((word & QUEUED) == 0)
            rest &= ~BYPASSES;
        /* relaxed: we have done nothing that others need to see. */
    } while (!atomic_compare_exchange_weak_explicit(&mutex->word, &word, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* Announces a waiter, for as long as the mutex is locked.  Caller holds the queue lock. */
static bool announce(struct wf_mutex *mutex, bool is_woken)
{
    /* relaxed: the compare-and-swap decides. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    uint32_t target;

    do {
        if ((word & LOCKED) == 0 || (is_woken && (word & GIVEN) != 0))
            return false;
        target = word | QUEUED;
        if (is_woken)
            target = (target & ~(uint32_t)WOKEN) + BYPASSES_PER_LOSS * BYPASS;
        /* relaxed: the queue is published by its lock. */
    } while (!atomic_compare_exchange_weak_explicit(&mutex->word, &word, target,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Caller holds the queue lock, and has taken an entry out. */
static void retract_if_last(struct wf_mutex *mutex)
{
    uint32_t word;
    uint32_t rest;

    if (!wf_wait_queue_is_empty(&mutex->queue))
        return;
    /* relaxed: the compare-and-swap decides. */
    word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    do {
        rest = word & ~(uint32_t)QUEUED;
        if ((word & WOKEN) == 0)
            rest &= ~BYPASSES;
        /* relaxed: the queue is published by its lock. */
    } while (!atomic_compare_exchange_weak_explicit(&mutex->word, &word, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
}

static bool take_out(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    struct lock_wait *wait = (struct lock_wait *)waiter->place;
    struct wf_mutex *mutex = wait->mutex;
    bool was_there;

    (void)self;
    (void)reason;
    wf_lock_acquire(&mutex->queue_lock);
    was_there = wf_wait_queue_remove(&mutex->queue, &wait->entry);
    if (was_there)
        retract_if_last(mutex);
    wf_lock_release(&mutex->queue_lock);
    return was_there;
}

/* Of a wait that nothing but an unlock ends. */
static bool leave_there(struct wf_worker *self, struct wf_waiter *waiter, int reason)
{
    (void)self;
    (void)waiter;
    (void)reason;
    return false;
}

bool wf_mutex_describe(const struct wf_waiter *waiter, struct wf_wait_target *target)
{
    const struct lock_wait *wait = (const struct lock_wait *)waiter->place;

    if (waiter->interrupt != take_out && waiter->interrupt != leave_there)
        return false;
    target->kind = "a mutex";
    target->object = wait->mutex;
    return true;
}

/* One that was woken and lost keeps its place before those that came later.  Caller holds the queue
 * lock; when this returns it does not. */
static void enqueue(struct lock_wait *wait, struct wf_waiter *waiter)
{
    struct wf_mutex *mutex = wait->mutex;

    wait->entry.waiter = waiter;
    if (wait->is_woken)
        wf_wait_queue_push_first(&mutex->queue, &wait->entry);
    else
        wf_wait_queue_push(&mutex->queue, &wait->entry);
    wf_lock_release(&mutex->queue_lock);
}

/* Apart, since a thread's waiter is in its frame. */
static WF_NOINLINE int sleep_thread(struct lock_wait *wait, wf_interrupt_fn *interrupt,
                                    int64_t deadline)
{
    struct wf_waiter waiter;

    wf_wait_begin_thread(&waiter, interrupt, wait);
    enqueue(wait, &waiter);
    return wf_wait_end_thread(&waiter, deadline);
}

/* Caller holds the queue lock; when this returns it does not. */
static int sleep_until_woken(struct wf_worker *self, struct lock_wait *wait,
                             wf_interrupt_fn *interrupt, int64_t deadline)
{
    struct wf_waiter *waiter;

    if (self == NULL)
        return sleep_thread(wait, interrupt, deadline);
    waiter = wf_wait_begin(self, interrupt, wait);
    enqueue(wait, waiter);
    self = wf_wait_end(self, deadline);
    (void)self;
    return waiter->result;
}

static int lock_slow(struct wf_mutex *mutex, wf_interrupt_fn *interrupt, int64_t deadline,
                     bool is_woken)
{
    struct lock_wait wait = {mutex, {NULL, NULL, NULL, NULL}, is_woken};

    if (!is_woken && spin(wf_self(), mutex))
        return 0;
    for (;;) {
        struct wf_worker *self = wf_self(); /* another after each wait */
        uint32_t word;
        int result;

        if (take(mutex, wait.is_woken, &word))
            return 0;
        if (WF_UNLIKELY((word & DEAD) != 0))
            wf_panic("weft_mutex_lock: the mutex %p was destroyed", (void *)mutex);
        result = interrupt == take_out ? wf_wait_refusal(self, deadline) : 0;
        if (result != 0 && give_up(&wait))
            return result;
        if (result != 0)
            continue;
        wf_lock_acquire(&mutex->queue_lock);
        if (!announce(mutex, wait.is_woken)) {
            wf_lock_release(&mutex->queue_lock);
            continue;
        }
        result = sleep_until_woken(self, &wait, interrupt, deadline);
        if (result != WF_MUTEX_LOOK_AGAIN)
            return result == WF_MUTEX_HANDED_OVER ? 0 : result;
        wait.is_woken = true;
    }
}

/* Wakes the first waiter.  Returns false if there is none any more.  Caller holds the mutex, and
 * nobody is on its way. */
static bool wake_first(struct wf_mutex *mutex)
{
    struct wf_wait_entry *entry;
    uint32_t word;
    bool is_fair;

    wf_lock_acquire(&mutex->queue_lock);
    entry = wf_wait_queue_take(&mutex->queue);
    if (entry == NULL) {
        wf_lock_release(&mutex->queue_lock);
        return false;
    }
    /* relaxed: nobody else changes it: it is LOCKED, not WOKEN, and the queue lock is ours. */
    word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    if (wf_wait_queue_is_empty(&mutex->queue))
        word &= ~(uint32_t)QUEUED;
    is_fair = (word & BYPASSES) >= FAIR;
    word &= ~(uint32_t)CHECKED;
    word = is_fair ? word & ~BYPASSES : (word & ~(uint32_t)LOCKED) | WOKEN;
    /* MX.1 release: what we did, for the next holder. */
    atomic_store_explicit(&mutex->word, word, memory_order_release);
    /* The mutex is still there: the waiter will look at it, or holds it. */
    wf_lock_release(&mutex->queue_lock);
    wf_wake(wf_self(), entry->waiter, is_fair ? WF_MUTEX_HANDED_OVER : WF_MUTEX_LOOK_AGAIN);
    return true;
}

static WF_NOINLINE void unlock_slow(struct wf_mutex *mutex)
{
    /* relaxed: the compare-and-swap decides. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    uint32_t target;

    if (WF_UNLIKELY((word & LOCKED) == 0))
        wf_panic("weft_mutex_unlock: the mutex %p is not locked%s", (void *)mutex,
                 (word & DEAD) != 0 ? ", but was destroyed" : "");
    if (WF_UNLIKELY((word & CHECKED) != 0))
        wf_held_remove(mutex, "weft_mutex_unlock", NULL);
    for (;;) {
        if ((word & (QUEUED | WOKEN)) == QUEUED) {
            if (wake_first(mutex))
                return;
            /* relaxed: the compare-and-swap decides. */
            word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
            continue; /* another may have come to wait */
        }
        target = word & ~(uint32_t)(LOCKED | CHECKED);
        if ((word & WOKEN) != 0)
            target = (word & BYPASSES) < FAIR ? target + BYPASS : target | LOCKED | GIVEN;
        /* MX.1 release: what we did, for the next holder; relaxed on failure: we look again. */
        if (atomic_compare_exchange_weak_explicit(&mutex->word, &word, target, memory_order_release,
                                                  memory_order_relaxed))
            return;
    }
}

int weft_mutex_lock(weft_mutex *mutex, weft_time deadline)
{
    uint32_t word;

    if (WF_LIKELY(take(wf_mutex_of(mutex), false, &word)))
        return 0;
    return lock_slow(wf_mutex_of(mutex), take_out, deadline, false);
}

void wf_mutex_lock_after(struct wf_mutex *mutex, int result)
{
    uint32_t word;

    if (result == WF_MUTEX_HANDED_OVER || take(mutex, result == WF_MUTEX_LOOK_AGAIN, &word))
        return;
    (void)lock_slow(mutex, leave_there, INT64_MAX, result == WF_MUTEX_LOOK_AGAIN);
}

bool wf_mutex_enqueue(struct wf_mutex *mutex, struct wf_wait_entry *entry)
{
    bool is_locked;

    wf_lock_acquire(&mutex->queue_lock);
    is_locked = announce(mutex, false);
    if (is_locked)
        wf_wait_queue_push(&mutex->queue, entry);
    wf_lock_release(&mutex->queue_lock);
    return is_locked;
}

int weft_mutex_try_lock(weft_mutex *mutex)
{
    uint32_t word;

    if (WF_LIKELY(take(wf_mutex_of(mutex), false, &word)))
        return 0;
    if (WF_UNLIKELY((word & DEAD) != 0))
        wf_panic("weft_mutex_try_lock: the mutex %p was destroyed", (void *)mutex);
    return -EBUSY;
}

/* What the word becomes with an unlock that wakes nobody and gives the lock to nobody: while nobody
 * waits, or while one is on its way and may still be passed.  DEAD if it is none of these. */
WF_INLINE uint32_t without_lock(uint32_t word)
{
    if (WF_LIKELY(word == LOCKED))
        return 0;
    if ((word & (LOCKED | WOKEN | CHECKED)) == (LOCKED | WOKEN) && word < FAIR)
        return word - LOCKED + BYPASS;
    return DEAD;
}

void wf_mutex_unlock(struct wf_mutex *mutex)
{
    /* relaxed: the compare-and-swap decides. */
    uint32_t word = atomic_load_explicit(&mutex->word, memory_order_relaxed);
    uint32_t target = without_lock(word);

    /* MX.1 release: what we did, for the next holder; relaxed on failure: the slow way looks
     * again. */
    if (WF_UNLIKELY(target == DEAD ||
                    !atomic_compare_exchange_strong_explicit(
                        &mutex->word, &word, target, memory_order_release, memory_order_relaxed)))
        unlock_slow(mutex);
}

void weft_mutex_unlock(weft_mutex *mutex)
{
    wf_mutex_unlock(wf_mutex_of(mutex));
}

void weft_mutex_destroy(weft_mutex *mutex)
{
    struct wf_mutex *internal = wf_mutex_of(mutex);
    /* relaxed: nobody else may use it any more. */
    uint32_t word = atomic_load_explicit(&internal->word, memory_order_relaxed);

    if (word == DEAD)
        wf_panic("weft_mutex_destroy: the mutex %p was destroyed before", (void *)mutex);
    if (word != 0)
        wf_panic("weft_mutex_destroy: the mutex %p is locked, or waited for", (void *)mutex);
    wf_order_forget(internal);
    /* relaxed: as above. */
    atomic_store_explicit(&internal->word, DEAD, memory_order_relaxed);
}
