/* SPDX-License-Identifier: MIT */
/*
 * Single flights: see key.h for the table.  The node of a key is that of the call that runs the
 * function, its leader; the others wait for the key, and are woken to take a result or to lead.
 */
#include "sync/held.h"
#include "sync/key.h"

#include <errno.h>
#include <weft/singleflight.h>

_Static_assert(sizeof(struct wf_key_bucket) == sizeof(weft_key_bucket),
               "the public type has other fields");

enum outcome { SHARED, LEAD }; /* what a follower is woken with */

/* In the frame of each call. */
struct flight {
    struct wf_key_node node; /* in the table while the call leads */
    struct wf_key_wait wait; /* in the queue while it follows */
    void *result;
    int status; /* of a follower: the leader's */
};

/* Gives the leader's result to those who followed it.  They have been taken out of the queue, so
 * their frames stay until they are woken, and no lock is needed. */
static void share(const struct flight *leader, struct wf_wait_entry *followers, int status,
                  size_t result_size)
{
    for (struct wf_wait_entry *entry = followers; entry != NULL; entry = entry->previous) {
        struct wf_key_wait *wait = WF_CONTAINER_OF(entry, struct wf_key_wait, entry);
        struct flight *follower = WF_CONTAINER_OF(wait, struct flight, wait);

        if (status >= 0 && result_size > 0)
            memcpy(follower->result, leader->result, result_size);
        follower->status = status;
    }
}

/* Whether the failure is that of this call alone. */
static bool is_own(int status)
{
    int refusal = status < 0 ? wf_self_refusal(wf_self()) : 0;

    return refusal != 0 && (status == refusal || status == -ECANCELED);
}

static int lead(struct wf_key_bucket *bucket, struct flight *leader,
                int (*fn)(void *arg, void *result), void *arg, size_t result_size)
{
    int status = fn(arg, leader->result);
    struct wf_wait_entry *list;
    struct wf_key_wait *next;

    if (is_own(status)) {
        wf_lock_acquire(&bucket->lock);
        wf_key_remove(bucket, &leader->node);
        next = wf_key_take(bucket, &leader->node);
        if (next != NULL)
            wf_key_insert(bucket, next->node);
        wf_lock_release(&bucket->lock);
        if (next != NULL)
            wf_wake_later(wf_self(), next->entry.waiter, LEAD);
        return status;
    }
    wf_lock_acquire(&bucket->lock);
    wf_key_remove(bucket, &leader->node);
    list = wf_key_take_all(bucket, &leader->node);
    wf_lock_release(&bucket->lock);
    share(leader, list, status, result_size);
    wf_wait_queue_wake_list(wf_self(), list, SHARED);
    return status;
}

static const struct wf_wait_kind call_kind = {"a call of a singleflight", 0,
                                              offsetof(struct wf_key_wait, node)};

int weft_singleflight_do(weft_singleflight *flights, const void *key, size_t key_size,
                         int (*fn)(void *arg, void *result), void *arg, void *result,
                         size_t result_size, weft_time deadline)
{
    uint64_t hash = wf_key_hash(key, key_size);
    struct flight flight = {.node = {NULL, {key, key_size, hash}, NULL, wf_held_self(), false},
                            .result = result};
    struct wf_key_bucket *bucket;
    struct wf_key_node *leader;
    int outcome = wf_self_refusal(wf_self());

    if (flights->count == 0)
        wf_panic("weft_singleflight_do: the single flight is not initialised");
    if (flights->result_size != result_size)
        wf_panic("weft_singleflight_do: the results have %zu bytes, the caller's %zu",
                 flights->result_size, result_size);
    if (outcome != 0)
        return outcome;
    bucket = (struct wf_key_bucket *)(void *)&flights->buckets[hash % flights->count];
    wf_lock_acquire(&bucket->lock);
    leader = wf_key_find(bucket, &flight.node.key);
    if (leader == NULL) {
        wf_key_insert(bucket, &flight.node);
        wf_lock_release(&bucket->lock);
        return lead(bucket, &flight, fn, arg, result_size);
    }
    if (leader->owner == flight.node.owner)
        wf_panic("weft_singleflight_do: the function calls for the key that it works on");
    leader->is_wanted = true;
    flight.wait.node = &flight.node;
    outcome = wf_wait_queue_sleep(wf_self(), &bucket->queue, &bucket->lock, &flight.wait.entry,
                                  deadline, &call_kind);
    if (outcome == LEAD)
        return lead(bucket, &flight, fn, arg, result_size);
    return outcome == SHARED ? flight.status : outcome;
}
