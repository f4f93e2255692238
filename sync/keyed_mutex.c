/* SPDX-License-Identifier: MIT */
/* Keyed mutexes: see key.h for the table. */
#include "sync/held.h"
#include "sync/key.h"

#include <errno.h>
#include <weft/keyed_mutex.h>

_Static_assert(sizeof(struct wf_key_bucket) == sizeof(weft_key_bucket),
               "the public type has other fields");
_Static_assert(sizeof(struct wf_key_node) <= sizeof(weft_key_hold), "it fits");

/* Fills in the node for the key, and returns its bucket. */
static struct wf_key_bucket *prepare(weft_keyed_mutex *mutex, struct wf_key_node *node,
                                     const void *bytes, size_t size, const char *call)
{
    uint64_t hash = wf_key_hash(bytes, size);

    if (mutex->count == 0)
        wf_panic("%s: the mutex is not initialised", call);
    if (node->bucket != NULL)
        wf_panic("%s: the hold is in use: it holds another key, or is not initialised", call);
    node->key = (struct wf_key){bytes, size, hash};
    node->owner = wf_held_self();
    node->is_wanted = false;
    return (struct wf_key_bucket *)(void *)&mutex->buckets[hash % mutex->count];
}

static const struct wf_wait_kind key_kind = {"a key of a keyed mutex", 0,
                                             offsetof(struct wf_key_wait, node)};

int weft_keyed_mutex_lock(weft_keyed_mutex *mutex, weft_key_hold *hold, const void *key,
                          size_t size, weft_time deadline)
{
    struct wf_key_node *node = (struct wf_key_node *)(void *)hold;
    struct wf_key_bucket *bucket = prepare(mutex, node, key, size, "weft_keyed_mutex_lock");
    struct wf_key_wait wait = {{NULL, NULL, NULL, NULL}, node};
    struct wf_key_node *holder;

    wf_lock_acquire(&bucket->lock);
    holder = wf_key_find(bucket, &node->key);
    if (holder != NULL) {
        if (holder->owner == node->owner)
            wf_panic("weft_keyed_mutex_lock: the caller holds this key already");
        holder->is_wanted = true;
        return wf_wait_queue_sleep(wf_self(), &bucket->queue, &bucket->lock, &wait.entry, deadline,
                                   &key_kind);
    }
    wf_key_insert(bucket, node);
    wf_lock_release(&bucket->lock);
    return 0;
}

int weft_keyed_mutex_try_lock(weft_keyed_mutex *mutex, weft_key_hold *hold, const void *key,
                              size_t size)
{
    struct wf_key_node *node = (struct wf_key_node *)(void *)hold;
    struct wf_key_bucket *bucket = prepare(mutex, node, key, size, "weft_keyed_mutex_try_lock");
    bool is_free;

    wf_lock_acquire(&bucket->lock);
    is_free = wf_key_find(bucket, &node->key) == NULL;
    if (is_free)
        wf_key_insert(bucket, node);
    wf_lock_release(&bucket->lock);
    return is_free ? 0 : -EBUSY;
}

void weft_keyed_mutex_unlock(weft_keyed_mutex *mutex, weft_key_hold *hold)
{
    struct wf_key_node *node = (struct wf_key_node *)(void *)hold;
    struct wf_key_bucket *bucket = node->bucket;
    struct wf_key_wait *next;

    if (bucket == NULL || node->owner != wf_held_self())
        wf_panic("weft_keyed_mutex_unlock: the hold holds no key of the caller's");
    if (bucket != (struct wf_key_bucket *)(void *)&mutex->buckets[node->key.hash % mutex->count])
        wf_panic("weft_keyed_mutex_unlock: the hold is one of another mutex");
    wf_lock_acquire(&bucket->lock);
    wf_key_remove(bucket, node);
    next = wf_key_take(bucket, node);
    if (next != NULL)
        wf_key_insert(bucket, next->node);
    wf_lock_release(&bucket->lock);
    if (next != NULL)
        wf_wake_later(wf_self(), next->entry.waiter, 0);
}
