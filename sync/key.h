/* SPDX-License-Identifier: MIT */
/*
 * Tables of keys in use, for keyed_mutex.c and singleflight.c.
 *
 * A bucket has a list of the keys that are held, whose nodes are in their holders' frames, and one
 * queue of those who wait for any of them.  Not a queue for each key: that would lie in the frame
 * of a holder, which is gone while others wait on, and a deadline looks for a waiter in the queue
 * in which it began.
 *
 * All of it is under the lock of the bucket, and the waits are those of sync/wait_queue.h; the
 * models of these two cover it.
 */
#ifndef WF_SYNC_KEY_H
#define WF_SYNC_KEY_H

#include "arch/compiler.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <weft/key.h>

struct wf_key_node;

struct wf_key_bucket {
    struct wf_key_node *first;  /* under the lock */
    struct wf_wait_queue queue; /* under the lock; of struct wf_key_wait */
    struct wf_lock lock;
    uint32_t reserved;
};

/* The bytes are the caller's. */
struct wf_key {
    const void *bytes;
    size_t size;
    uint64_t hash;
};

/* In the frame of a holder. */
struct wf_key_node {
    struct wf_key_node *next; /* under the lock */
    struct wf_key key;
    struct wf_key_bucket *bucket; /* NULL: holds none */
    uint64_t owner;               /* wf_held_self() */
    bool is_wanted;               /* under the lock: somebody waits for the key, or did */
};

/* In the frame of whoever waits. */
struct wf_key_wait {
    struct wf_wait_entry entry;
    struct wf_key_node *node; /* what becomes the holder's when it has the key */
};

/* Eight bytes at a time through the finaliser of SplitMix64 (Steele, Lea, Flood 2014).  Somebody
 * who wants his keys to collide can make them: that costs time, as they are compared. */
static inline uint64_t wf_key_hash(const void *bytes, size_t size)
{
    const unsigned char *from = (const unsigned char *)bytes;
    uint64_t hash = size;

    for (size_t done = 0; done < size; done += sizeof hash) {
        uint64_t part = 0;

        memcpy(&part, from + done, size - done < sizeof part ? size - done : sizeof part);
        hash = (hash ^ part) + UINT64_C(0x9e3779b97f4a7c15);
        hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
        hash ^= hash >> 31;
    }
    return hash;
}

static inline bool wf_key_is(const struct wf_key *a, const struct wf_key *b)
{
    return a->hash == b->hash && a->size == b->size &&
           (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* The node of whoever holds the key, or NULL.  Caller holds the lock. */
static inline struct wf_key_node *wf_key_find(const struct wf_key_bucket *bucket,
                                              const struct wf_key *key)
{
    struct wf_key_node *node = bucket->first;

    while (node != NULL && !wf_key_is(&node->key, key))
        node = node->next;
    return node;
}

/* Caller holds the lock, and nobody holds the key. */
static inline void wf_key_insert(struct wf_key_bucket *bucket, struct wf_key_node *node)
{
    node->next = bucket->first;
    node->bucket = bucket;
    bucket->first = node;
}

/* Caller holds the lock; the node is in the list. */
static inline void wf_key_remove(struct wf_key_bucket *bucket, struct wf_key_node *node)
{
    struct wf_key_node **link = &bucket->first;

    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    node->bucket = NULL;
}

/* Takes out who has waited longest for the key of `holder`; NULL if nobody does.  Those who wait
 * for other keys may be many, and are walked past only where somebody has come for this one. Caller
 * holds the lock. */
static inline struct wf_key_wait *wf_key_take(struct wf_key_bucket *bucket,
                                              const struct wf_key_node *holder)
{
    struct wf_wait_entry *entry = bucket->queue.first;
    struct wf_key_wait *wait;

    if (entry == NULL || !holder->is_wanted)
        return NULL;
    do {
        wait = WF_CONTAINER_OF(entry, struct wf_key_wait, entry);
        if (wf_key_is(&wait->node->key, &holder->key)) {
            (void)wf_wait_queue_remove(&bucket->queue, entry);
            wait->node->is_wanted = true; /* perhaps by others, further back */
            return wait;
        }
        entry = entry->next;
    } while (entry != bucket->queue.first);
    return NULL;
}

/* Takes out all who wait for the key of `holder`, in one walk past those who wait for others.
 * Returns them as wf_wait_queue_take_all() does.  Caller holds the lock. */
static inline struct wf_wait_entry *wf_key_take_all(struct wf_key_bucket *bucket,
                                                    const struct wf_key_node *holder)
{
    struct wf_wait_entry *list = NULL;
    struct wf_wait_entry **end = &list;
    struct wf_wait_entry *next = holder->is_wanted ? bucket->queue.first : NULL;
    struct wf_wait_entry *last = next != NULL ? next->previous : NULL;
    struct wf_wait_entry *entry = NULL;

    while (entry != last) {
        entry = next;
        next = entry->next; /* gone once it is taken out */
        if (!wf_key_is(&WF_CONTAINER_OF(entry, struct wf_key_wait, entry)->node->key, &holder->key))
            continue;
        (void)wf_wait_queue_remove(&bucket->queue, entry);
        *end = entry;
        end = &entry->previous;
    }
    *end = NULL;
    return list;
}

#endif
