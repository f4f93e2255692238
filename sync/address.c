/* SPDX-License-Identifier: MIT */
/*
 * Waits for an address: a table of queues, each under its own lock.  (As WebKit's WTF::ParkingLot,
 * but of one size: a wait here does not need a record per thread to be found.)
 *
 * The hazard is the lost wake: one that waits sees the old value, then another changes it and finds
 * nobody to wake, then the first one sleeps.  So the value is read under the lock of its bucket,
 * and who wakes takes that lock after its change.  Either it comes second and finds the one that
 * waits, or it comes first and then its change is seen (LK.1).  For the same reason a wake cannot
 * look first, without the lock, whether there is anybody.
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/address.h>

#ifndef WF_ADDRESS_BUCKETS
#define WF_ADDRESS_BUCKETS 4096 /* guessed: 64 KiB, of which only pages in use are touched */
#endif

struct bucket {
    struct wf_wait_queue queue; /* under the lock */
    struct wf_lock lock;
    uint32_t reserved;
};

/* In the frame of whoever waits. */
struct address_wait {
    struct wf_wait_entry entry;
    const void *address;
};

#ifdef WF_MODEL
static struct bucket *buckets; /* the model makes them anew for each execution */
#else
static struct bucket buckets[WF_ADDRESS_BUCKETS];
#endif

static struct bucket *bucket_of(const void *address)
{
    /* Multiplicative hashing, by 2^64 over the golden ratio: neighbours come far apart. */
    uint64_t hash = ((uint64_t)(uintptr_t)address >> 2) * UINT64_C(0x9E3779B97F4A7C15);

    return &buckets[(hash >> 32) % WF_ADDRESS_BUCKETS];
}

/* Caller holds the lock of the bucket. */
static bool has_value(const void *address, uint64_t expected, size_t size)
{
    /* relaxed: the bucket's lock orders it after a change whose wake has come before. */
    return size == 4
               ? atomic_load_explicit((const WF_ATOMIC(uint32_t) *)address, memory_order_relaxed) ==
                     (uint32_t)expected
               /* relaxed: as above. */
               : atomic_load_explicit((const WF_ATOMIC(uint64_t) *)address, memory_order_relaxed) ==
                     expected;
}

static const struct wf_wait_kind address_kind = {"a value", 0,
                                                 offsetof(struct address_wait, address)};

int weft_wait_on(const void *address, uint64_t expected, size_t size, weft_time deadline)
{
    struct bucket *bucket = bucket_of(address);
    struct address_wait wait = {{NULL, NULL, NULL, NULL}, address};

    if (WF_UNLIKELY(size != 4 && size != 8))
        wf_panic("weft_wait_on: a value of %zu bytes: it must have 4 or 8", size);
    if (WF_UNLIKELY((uintptr_t)address % size != 0))
        wf_panic("weft_wait_on: %p is not aligned to %zu bytes", address, size);
    wf_lock_acquire(&bucket->lock);
    if (has_value(address, expected, size))
        return wf_wait_queue_sleep(wf_self(), &bucket->queue, &bucket->lock, &wait.entry, deadline,
                                   &address_kind);
    wf_lock_release(&bucket->lock);
    return -EAGAIN;
}

/* Takes out so many that wait for `address`; returns how many, linked by `previous`.  Caller holds
 * the lock. */
static size_t take(struct bucket *bucket, const void *address, size_t count,
                   struct wf_wait_entry **list)
{
    struct wf_wait_entry *entry = bucket->queue.first;
    struct wf_wait_entry *last = entry != NULL ? entry->previous : NULL;
    size_t taken = 0;
    bool is_last = entry == NULL;

    while (taken < count && !is_last) {
        struct wf_wait_entry *next = entry->next;

        is_last = entry == last;
        if (WF_CONTAINER_OF(entry, struct address_wait, entry)->address == address) {
            (void)wf_wait_queue_remove(&bucket->queue, entry);
            *list = entry;
            list = &entry->previous;
            taken++;
        }
        entry = next;
    }
    *list = NULL;
    return taken;
}

size_t weft_wake_on(const void *address, size_t count)
{
    struct bucket *bucket = bucket_of(address);
    struct wf_wait_entry *list;
    size_t taken;

    wf_lock_acquire(&bucket->lock);
    taken = take(bucket, address, count, &list);
    wf_lock_release(&bucket->lock);
    wf_wait_queue_wake_list(wf_self(), list, 0);
    return taken;
}
