/* SPDX-License-Identifier: MIT */
/*
 * Barriers: two numbers and a queue under one lock.
 *
 * The hazard is a party that is cancelled, or whose deadline passes, while the last one arrives. It
 * is taken out of the queue first, and breaks the barrier only when it runs again; in between its
 * arrival still counts.  So the last party counts those that it finds in the queue: if one is
 * missing, it breaks the barrier itself.  And the one that is missing breaks the cycle in which it
 * arrived, not one that has begun since by a reset.
 *
 * Whoever has crossed may free it while another party's cancel has yet to find out that it comes
 * too late.  So the waits have claims (sync/wait_queue.h).
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/barrier.h>

struct barrier {
    struct wf_wait_queue queue; /* under the lock; empty while it is broken */
    struct wf_lock lock;
    uint32_t parties;   /* immutable */
    uint32_t arrived;   /* under the lock: in this cycle; less than `parties` */
    uint32_t cycle;     /* under the lock */
    uint32_t is_broken; /* under the lock */
    uint32_t reserved;
};

_Static_assert(sizeof(struct barrier) == sizeof(weft_barrier), "the public type has other fields");

static const struct wf_wait_kind barrier_kind = {"a barrier", offsetof(struct barrier, lock), 0};

static struct barrier *internal(weft_barrier *barrier)
{
    return (struct barrier *)(void *)barrier;
}

/* The next cycle, with nobody in it; returns those to wake.  Caller holds the lock. */
static struct wf_wait_entry *begin_cycle(struct barrier *barrier)
{
    barrier->arrived = 0;
    barrier->cycle++;
    return wf_wait_queue_take_all(&barrier->queue);
}

/* The last party has arrived.  Caller holds the lock; when this returns it does not. */
static int cross(struct barrier *barrier)
{
    struct wf_wait_entry *list = begin_cycle(barrier);
    uint32_t present = 1;
    int result = 0;

    for (const struct wf_wait_entry *entry = list; entry != NULL; entry = entry->previous)
        present++;
    if (WF_UNLIKELY(present != barrier->parties)) {
        barrier->is_broken = true;
        result = -EPIPE;
    }
    wf_lock_release(&barrier->lock);
    wf_wait_queue_wake_list(wf_self(), list, result);
    return result == 0 ? WEFT_BARRIER_SERIAL : result;
}

/* A party of that cycle has gone. */
static void break_cycle(struct barrier *barrier, uint32_t cycle)
{
    struct wf_wait_entry *list = NULL;

    wf_lock_acquire(&barrier->lock);
    if (barrier->cycle == cycle) {
        barrier->is_broken = true;
        list = begin_cycle(barrier);
    }
    wf_lock_release(&barrier->lock);
    wf_wait_queue_wake_list(wf_self(), list, -EPIPE);
}

int weft_barrier_wait(weft_barrier *handle, weft_time deadline)
{
    struct barrier *barrier = internal(handle);
    struct wf_wait_entry entry = {NULL, NULL, NULL, NULL};
    uint32_t cycle;
    int error;

    if (WF_UNLIKELY(barrier->parties == 0))
        wf_panic("weft_barrier_wait: the barrier %p was made for no party", (void *)barrier);
    wf_lock_acquire(&barrier->lock);
    if (WF_UNLIKELY(barrier->is_broken)) {
        wf_lock_release(&barrier->lock);
        return -EPIPE;
    }
    if (barrier->arrived + 1 == barrier->parties)
        return cross(barrier);
    barrier->arrived++;
    cycle = barrier->cycle;
    error = wf_wait_queue_sleep_claimed(wf_self(), &barrier->queue, &barrier->lock, &entry,
                                        deadline, &barrier_kind);
    /* Whoever was woken, also with -EPIPE, does not touch the barrier any more. */
    if (WF_UNLIKELY(error == -ETIMEDOUT || error == -ECANCELED))
        break_cycle(barrier, cycle);
    return error;
}

/* Begins a cycle that is broken or not; those that wait in the old one are told. */
static void end_cycle(struct barrier *barrier, bool is_broken)
{
    struct wf_wait_entry *list;

    wf_lock_acquire(&barrier->lock);
    barrier->is_broken = is_broken;
    list = begin_cycle(barrier);
    wf_lock_release(&barrier->lock);
    wf_wait_queue_wake_list(wf_self(), list, -EPIPE);
}

void weft_barrier_break(weft_barrier *handle)
{
    end_cycle(internal(handle), true);
}

void weft_barrier_reset(weft_barrier *handle)
{
    end_cycle(internal(handle), false);
}

bool weft_barrier_is_broken(weft_barrier *handle)
{
    struct barrier *barrier = internal(handle);
    bool is_broken;

    wf_lock_acquire(&barrier->lock);
    is_broken = barrier->is_broken != 0;
    wf_lock_release(&barrier->lock);
    return is_broken;
}

void weft_barrier_destroy(weft_barrier *handle)
{
    struct barrier *barrier = internal(handle);

    wf_wait_queue_retire(&barrier->queue, &barrier->lock, "weft_barrier_destroy");
}
