/* SPDX-License-Identifier: MIT */
/*
 * Rate limiters: a bucket, and a list of those who wait for their turn, under one lock.
 *
 * Each waits until the time at which its turn comes if all before it take theirs, by a deadline of
 * its own; so none depends on another to be woken.  When one gives up, the turns behind it come
 * earlier.  Only the first of these is told: it sleeps anew, and so the next when it is the first.
 * When the bucket overflows, since the first was late to take its turn, those behind it come later.
 * Nobody is told: they wake too early, find that out, and sleep anew.
 *
 * A deadline or a cancel takes a waiter out of its queue, which is why that is not the list: a turn
 * keeps its place in the list until it is granted or given up, both under the lock.  All that is
 * here is under the lock or a wait of sync/wait_queue.h; the models of these two cover it.
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/bucket.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <stddef.h>
#include <weft/rate_limiter.h>

/* In the frame of whoever waits; under the lock. */
struct turn {
    struct wf_wait_entry entry;
    struct wf_wait_queue queue; /* of `entry` alone */
    struct turn *next;
    struct turn *previous;
    uint64_t count;
    wf_ticks due; /* if nothing was ever lost, and nobody before it gave up */
    int64_t deadline;
    int64_t wake_at;
    bool is_granted; /* it is in the list no more, and its permits are taken */
};

struct limiter {
    struct wf_bucket bucket; /* `full` under the lock: without those who wait */
    struct turn *first;      /* under the lock, and what follows */
    struct turn *last;
    uint64_t wanted; /* by those who wait */
    struct wf_lock lock;
    uint32_t reserved32;
    wf_ticks lost; /* in all, of what has come while the bucket was full */
};

_Static_assert(sizeof(struct limiter) == sizeof(weft_rate_limiter) &&
                   offsetof(struct limiter, bucket.burst) == offsetof(weft_rate_limiter, burst),
               "the public type has other fields");

static const struct wf_wait_kind limiter_kind = {"a rate limiter", offsetof(struct limiter, lock),
                                                 0};

static struct limiter *internal(weft_rate_limiter *handle, const char *call)
{
    struct limiter *limiter = (struct limiter *)(void *)handle;

    if (WF_UNLIKELY(!wf_bucket_is_valid(&limiter->bucket)))
        wf_panic("%s: the limiter is not initialised, or its rate or burst is out of range", call);
    return limiter;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void append(struct limiter *limiter, struct turn *turn)
{
    turn->next = NULL;
    turn->previous = limiter->last;
    if (limiter->last != NULL)
        limiter->last->next = turn;
    else
        limiter->first = turn;
    limiter->last = turn;
    limiter->wanted += turn->count;
    turn->due = wf_bucket_due_ticks(&limiter->bucket, limiter->wanted) - limiter->lost;
}

static void unlink_turn(struct limiter *limiter, struct turn *turn)
{
    if (turn->previous != NULL)
        turn->previous->next = turn->next;
    else
        limiter->first = turn->next;
    if (turn->next != NULL)
        turn->next->previous = turn->previous;
    else
        limiter->last = turn->previous;
    limiter->wanted -= turn->count;
}

/*
 * Grants what is due at `now`; returns the entries to wake, among them the first that must go on
 * waiting if its turn comes earlier than it thinks.  Caller holds the lock.
 *
 * The bucket overflows here also while somebody waits: if nobody has looked for long many turns are
 * due, and would be granted at once.  But it holds a second burst then, since who wakes is always a
 * little late, and would lower the rate by that.
 */
static struct wf_wait_entry *grant(struct limiter *limiter, int64_t now)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;
    struct turn *turn;

    limiter->lost += wf_bucket_cap(&limiter->bucket, now,
                                   limiter->first != NULL ? limiter->bucket.burst : 0);
    while ((turn = limiter->first) != NULL) {
        int64_t due = wf_bucket_due(&limiter->bucket, turn->count);

        if (due <= now) {
            wf_bucket_take(&limiter->bucket, turn->count);
            unlink_turn(limiter, turn);
            turn->is_granted = true;
        }
        /* One that a deadline or a cancel has taken out finds what it was granted. */
        if ((due <= now || due < turn->wake_at) &&
            wf_wait_queue_remove(&turn->queue, &turn->entry)) {
            *end = &turn->entry;
            end = &turn->entry.previous;
        }
        if (due > now)
            break;
    }
    *end = NULL;
    return list;
}

/* When the turn of one who asks now will come.  Caller holds the lock and has granted what is due.
 */
static int64_t due_behind_all(const struct limiter *limiter, uint64_t count)
{
    if (count > WF_BUCKET_MAX - limiter->wanted)
        return INT64_MAX;
    return wf_bucket_due(&limiter->bucket, limiter->wanted + count);
}

/* Until when one in the list sleeps: not too long if it is the first, and if it becomes the first
 * it is told.  Caller holds the lock. */
static int64_t wake_time(const struct limiter *limiter, const struct turn *turn)
{
    int64_t due = turn == limiter->first
                      ? wf_bucket_due(&limiter->bucket, turn->count)
                      : wf_bucket_ns(&limiter->bucket, turn->due + limiter->lost);

    return earlier(due, turn->deadline);
}

/* Returns when it has looked what is due.  Caller holds the lock, which is let go of meanwhile. */
static int64_t grant_and_wake(struct limiter *limiter)
{
    int64_t now = weft_now();
    struct wf_wait_entry *list = grant(limiter, now);

    wf_lock_release(&limiter->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    wf_lock_acquire(&limiter->lock);
    return now;
}

/* Caller holds the lock, and does not when this returns. */
static int await(struct limiter *limiter, struct turn *turn)
{
    int refusal = 0;

    while (!turn->is_granted && refusal == 0) {
        int error = wf_wait_queue_sleep(wf_self(), &turn->queue, &limiter->lock, &turn->entry,
                                        turn->wake_at, &limiter_kind);
        int64_t now;

        if (error == 0 && turn->is_granted)
            return 0;
        if (error != 0) /* a cancel, the deadline of a scope, or just the time to look */
            refusal = wf_self_refusal(wf_self());
        wf_lock_acquire(&limiter->lock);
        now = grant_and_wake(limiter); /* our own turn too if it has come, cancelled or not */
        if (refusal == 0 && now >= turn->deadline)
            refusal = -ETIMEDOUT; /* the turn comes later than it seemed when we queued */
        if (!turn->is_granted && refusal != 0) {
            unlink_turn(limiter, turn);
            (void)grant_and_wake(limiter); /* those behind come earlier */
        } else if (!turn->is_granted) {
            turn->wake_at = wake_time(limiter, turn);
        }
    }
    wf_lock_release(&limiter->lock);
    return turn->is_granted ? 0 : refusal;
}

int weft_rate_limiter_init(weft_rate_limiter *limiter, uint64_t permits, int64_t period,
                           uint64_t burst)
{
    weft_rate_limiter made = WEFT_RATE_LIMITER_INIT(permits, period, burst);
    struct wf_bucket bucket = {permits, period, burst, 0};

    if (!wf_bucket_is_valid(&bucket))
        return -EINVAL;
    *limiter = made;
    return 0;
}

/* Takes without waiting.  Caller holds the lock and has granted what is due. */
static bool take(struct limiter *limiter, uint64_t count, int64_t now)
{
    if (limiter->first != NULL || !wf_bucket_has(&limiter->bucket, count, now))
        return false;
    wf_bucket_take(&limiter->bucket, count);
    return true;
}

int weft_rate_limiter_acquire(weft_rate_limiter *handle, uint64_t count, weft_time deadline)
{
    struct limiter *limiter = internal(handle, "weft_rate_limiter_acquire");
    struct turn turn = {.count = count};
    struct wf_wait_entry *list;
    int64_t now;
    int error = 0;

    if (count > limiter->bucket.burst)
        return -EINVAL;
    if (count == 0)
        return 0;
    wf_lock_acquire(&limiter->lock);
    now = weft_now();
    list = grant(limiter, now);
    if (!take(limiter, count, now)) {
        turn.wake_at = due_behind_all(limiter, count);
        error = wf_self_refusal(wf_self());
        turn.deadline = earlier(deadline, wf_self_deadline(wf_self()));
        if (error == 0 && (turn.wake_at > turn.deadline || turn.wake_at == INT64_MAX))
            error = -ETIMEDOUT;
        if (error == 0) {
            append(limiter, &turn);
            error = -EAGAIN;
        }
    }
    if (WF_LIKELY(error == -EAGAIN && list == NULL))
        return await(limiter, &turn);
    wf_lock_release(&limiter->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    if (error != -EAGAIN)
        return error;
    wf_lock_acquire(&limiter->lock);
    /* Of those before us some may have given up, and found nobody to tell that we come earlier. */
    if (!turn.is_granted)
        turn.wake_at = wake_time(limiter, &turn);
    return await(limiter, &turn);
}

int weft_rate_limiter_try_acquire(weft_rate_limiter *handle, uint64_t count)
{
    struct limiter *limiter = internal(handle, "weft_rate_limiter_try_acquire");
    struct wf_wait_entry *list;
    int64_t now;
    bool is_taken;

    if (count > limiter->bucket.burst)
        return -EINVAL;
    if (count == 0)
        return 0;
    wf_lock_acquire(&limiter->lock);
    now = weft_now();
    list = grant(limiter, now);
    is_taken = take(limiter, count, now);
    wf_lock_release(&limiter->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return is_taken ? 0 : -EBUSY;
}

weft_time weft_rate_limiter_due(weft_rate_limiter *handle, uint64_t count)
{
    struct limiter *limiter = internal(handle, "weft_rate_limiter_due");
    struct wf_wait_entry *list;
    int64_t due;

    if (count > limiter->bucket.burst)
        return WEFT_FOREVER;
    wf_lock_acquire(&limiter->lock);
    list = grant(limiter, weft_now());
    due = due_behind_all(limiter, count);
    wf_lock_release(&limiter->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return due;
}
