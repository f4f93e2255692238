/* SPDX-License-Identifier: MIT */
/*
 * Wait groups and latches: a number and a queue under one lock.
 *
 * There is no path without the lock, so no model of its own: runtime/lock.h, runtime/wait.c and
 * sync/wait_queue.c, which do the waiting, have theirs.  A counter that is only decremented would
 * be faster, but whoever sees it become zero could free the object while the last one still has to
 * wake those who wait.
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/wait_group.h>

struct countdown {
    uint64_t left;              /* under the lock */
    struct wf_wait_queue queue; /* under the lock; empty while nothing is left */
    struct wf_lock lock;
    uint32_t reserved;
};

_Static_assert(sizeof(struct countdown) == sizeof(weft_wait_group) &&
                   sizeof(struct countdown) == sizeof(weft_latch),
               "the public types have other fields");

static struct countdown *of_group(weft_wait_group *group)
{
    return (struct countdown *)(void *)group;
}

static struct countdown *of_latch(weft_latch *latch)
{
    return (struct countdown *)(void *)latch;
}

/* Returns those to wake.  Caller holds the lock. */
static struct wf_wait_entry *count_down(struct countdown *countdown, const char *broken_rule)
{
    if (WF_UNLIKELY(countdown->left == 0))
        wf_panic("%s", broken_rule);
    countdown->left--;
    return countdown->left == 0 ? wf_wait_queue_take_all(&countdown->queue) : NULL;
}

static void arrive(struct countdown *countdown, const char *broken_rule)
{
    struct wf_wait_entry *list;

    wf_lock_acquire(&countdown->lock);
    list = count_down(countdown, broken_rule);
    wf_lock_release(&countdown->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
}

static const struct wf_wait_kind group_kind = {"a wait group", offsetof(struct countdown, lock), 0};
static const struct wf_wait_kind latch_kind = {"a latch", offsetof(struct countdown, lock), 0};

/* Caller holds the lock; when this returns it does not. */
static int await_zero(struct countdown *countdown, weft_time deadline,
                      const struct wf_wait_kind *kind)
{
    struct wf_wait_entry entry = {NULL, NULL, NULL, NULL};

    if (countdown->left > 0)
        return wf_wait_queue_sleep_claimed(wf_self(), &countdown->queue, &countdown->lock, &entry,
                                           deadline, kind);
    wf_lock_release(&countdown->lock);
    return 0;
}

void weft_wait_group_add(weft_wait_group *handle, uint64_t count)
{
    struct countdown *group = of_group(handle);

    wf_lock_acquire(&group->lock);
    if (WF_UNLIKELY(group->left > UINT64_MAX - count))
        wf_panic("weft_wait_group_add: the count does not fit into 64 bits");
    group->left += count;
    wf_lock_release(&group->lock);
}

void weft_wait_group_done(weft_wait_group *handle)
{
    arrive(of_group(handle), "weft_wait_group_done: more were done than had been added");
}

int weft_wait_group_wait(weft_wait_group *handle, weft_time deadline)
{
    struct countdown *group = of_group(handle);

    wf_lock_acquire(&group->lock);
    return await_zero(group, deadline, &group_kind);
}

void weft_latch_arrive(weft_latch *handle)
{
    arrive(of_latch(handle), "weft_latch_arrive: the latch is open, all have arrived");
}

int weft_latch_wait(weft_latch *handle, weft_time deadline)
{
    struct countdown *latch = of_latch(handle);

    wf_lock_acquire(&latch->lock);
    return await_zero(latch, deadline, &latch_kind);
}

int weft_latch_arrive_and_wait(weft_latch *handle, weft_time deadline)
{
    struct countdown *latch = of_latch(handle);
    struct wf_wait_entry *list;

    wf_lock_acquire(&latch->lock);
    list = count_down(latch, "weft_latch_arrive_and_wait: the latch is open, all have arrived");
    if (latch->left > 0)
        return await_zero(latch, deadline, &latch_kind);
    wf_lock_release(&latch->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return 0;
}

void weft_wait_group_destroy(weft_wait_group *handle)
{
    struct countdown *group = of_group(handle);

    wf_wait_queue_retire(&group->queue, &group->lock, "weft_wait_group_destroy");
}

void weft_latch_destroy(weft_latch *handle)
{
    struct countdown *latch = of_latch(handle);

    wf_wait_queue_retire(&latch->queue, &latch->lock, "weft_latch_destroy");
}
