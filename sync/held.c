/* SPDX-License-Identifier: MIT */
/* See held.h. */
#include "sync/held.h"

#include "arch/os.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"

#include <weft/fiber.h>

enum { BUCKETS = 256 };

struct record {
    const void *object;
    uint64_t holder;
    struct record *next;
};

static struct wf_lock table_lock;
static struct record *buckets[BUCKETS]; /* under table_lock */

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

bool wf_held_add(const void *object)
{
    struct record *spare = (struct record *)wf_alloc(sizeof *spare);
    struct record **link;

    if (spare == NULL)
        return false;
    wf_lock_acquire(&table_lock);
    link = find(object);
    if (*link == NULL) { /* else of a mutex that was freed while it was locked */
        *link = spare;
        spare = NULL;
    }
    (*link)->object = object;
    (*link)->holder = wf_held_self();
    wf_lock_release(&table_lock);
    wf_free(spare);
    return true;
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
    if (record != NULL && record->holder == wf_held_self())
        *link = record->next;
    else if (record != NULL)
        wf_panic("%s: the mutex %p was locked by another fiber or thread", what, object);
    wf_lock_release(&table_lock);
    wf_free(record);
}
