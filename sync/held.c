/* SPDX-License-Identifier: MIT */
/* See held.h. */
#include "sync/held.h"

#include "arch/os.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/lock_order.h"

#include <weft/fiber.h>

enum { BUCKETS = 256, HELD_MAX = 16 /* more that one holds at a time are not looked at */ };

struct record {
    const void *object;
    const void *site; /* where it was locked */
    uint64_t holder;
    struct record *next;        /* of those with the same hash */
    struct record *next_holder; /* of those whose holders have the same hash */
};

static struct wf_lock table_lock;
static struct record *buckets[BUCKETS]; /* under table_lock; by object */
static struct record *holders[BUCKETS]; /* under table_lock; by holder */

uint64_t wf_held_self(void)
{
    weft_fiber *fiber = weft_self();
    struct wf_os_thread thread;

    /* Both are addresses of what only one of them has, and of different things. */
    if (fiber != NULL)
        return (uint64_t)(uintptr_t)fiber;
    wf_os_thread_self(&thread);
    return thread.id;
}

/* What points to the record of `object`, or to the end of the list where it would be.  Caller holds
 * the lock. */
static struct record **find(const void *object)
{
    uintptr_t hash = ((uintptr_t)object >> 4) ^ ((uintptr_t)object >> 12);
    struct record **link = &buckets[hash % BUCKETS];

    while (*link != NULL && (*link)->object != object)
        link = &(*link)->next;
    return link;
}

/* The list that the records of `holder` are in.  Caller holds the lock. */
static struct record **list_of(uint64_t holder)
{
    return &holders[((holder >> 6) ^ (holder >> 14)) % BUCKETS];
}

/* Caller holds the lock. */
static void leave_list(struct record *record)
{
    struct record **link = list_of(record->holder);

    while (*link != record)
        link = &(*link)->next_holder;
    *link = record->next_holder;
}

bool wf_held_add(const void *object, const void *site)
{
    struct record *spare = (struct record *)wf_alloc(sizeof *spare);
    struct record **link, **list, *record;

    if (spare == NULL)
        return false;
    wf_lock_acquire(&table_lock);
    link = find(object);
    if (*link == NULL) {
        *link = spare;
        spare = NULL;
    } else {
        leave_list(*link); /* of a mutex that was freed while it was locked */
    }
    record = *link;
    record->object = object;
    record->site = site;
    record->holder = wf_held_self();
    list = list_of(record->holder);
    record->next_holder = *list;
    *list = record;
    wf_lock_release(&table_lock);
    wf_free(spare);
    return true;
}

void wf_held_before(const void *object, const void *site)
{
    uint64_t holder = wf_held_self();
    struct wf_order_held held[HELD_MAX];
    unsigned count = 0;

    wf_lock_acquire(&table_lock);
    for (struct record *each = *list_of(holder); each != NULL && count < HELD_MAX;
         each = each->next_holder)
        if (each->holder == holder)
            held[count++] = (struct wf_order_held){each->object, each->site};
    wf_lock_release(&table_lock);
    wf_order_note(held, count, object, site);
}

bool wf_held_is_mine(const void *object)
{
    struct record *record;
    bool is_mine;

    wf_lock_acquire(&table_lock);
    record = *find(object);
    is_mine = record != NULL && record->holder == wf_held_self();
    wf_lock_release(&table_lock);
    return is_mine;
}

void wf_held_remove(const void *object, const char *what)
{
    struct record **link;
    struct record *record;

    wf_lock_acquire(&table_lock);
    link = find(object);
    record = *link;
    if (record != NULL && record->holder == wf_held_self()) {
        *link = record->next;
        leave_list(record);
    } else if (record != NULL) {
        wf_panic("%s: the mutex %p was locked by another fiber or thread", what, object);
    }
    wf_lock_release(&table_lock);
    wf_free(record);
}
