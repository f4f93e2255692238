/* SPDX-License-Identifier: MIT */
/* See held.h. */
#include "sync/held.h"

#include "arch/os.h"
#include "runtime/alloc.h"
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/lock_order.h"

#include <weft/fiber.h>

enum {
    BUCKETS = 256,
    HOLDER_BUCKETS = 4096,
    HELD_MAX = 16 /* more that one holds at a time are not looked at */
};

struct record {
    const void *object;
    const void *site; /* where it was locked */
    uint64_t holder;
    bool is_shared;
    struct record *next;        /* of those with the same hash */
    struct record **link;       /* what points here */
    struct record *next_holder; /* of those whose holders have the same hash */
};

static struct wf_lock table_lock;
static struct record *buckets[BUCKETS];        /* under table_lock; by object */
static struct record *holders[HOLDER_BUCKETS]; /* under table_lock; by holder */

uint64_t wf_held_self(void)
{
    weft_fiber *fiber = weft_self();
    struct wf_os_thread thread;

    /* Not its address: that is another's once it has ended, perhaps without an unlock. */
    if (fiber != NULL)
        return weft_fiber_id(fiber) << 1 | 1;
    wf_os_thread_self(&thread);
    return thread.id << 1; /* of an address the highest bit is clear */
}

/* Caller holds the lock. */
static struct record **bucket_of(const void *object)
{
    uintptr_t hash = ((uintptr_t)object >> 4) ^ ((uintptr_t)object >> 12);

    return &buckets[hash % BUCKETS];
}

/* The list that the records of `holder` are in.  Caller holds the lock. */
static struct record **list_of(uint64_t holder)
{
    return &holders[((holder >> 1) ^ (holder >> 14)) % HOLDER_BUCKETS];
}

/* The caller's record of `object`, or NULL.  Among its own: of those of a lock for reading there
 * may be many.  Caller holds the lock. */
static struct record *find_mine(const void *object)
{
    uint64_t self = wf_held_self();
    struct record *record = *list_of(self);

    while (record != NULL && (record->object != object || record->holder != self))
        record = record->next_holder;
    return record;
}

/* Caller holds the lock. */
static void put_in(struct record *record)
{
    struct record **bucket = bucket_of(record->object);
    struct record **of_holder = list_of(record->holder);

    record->next = *bucket;
    record->link = bucket;
    if (record->next != NULL)
        record->next->link = &record->next;
    *bucket = record;
    record->next_holder = *of_holder;
    *of_holder = record;
}

/* Caller holds the lock, and frees the record. */
static void take_out(struct record *record)
{
    struct record **of_holder = list_of(record->holder);

    *record->link = record->next;
    if (record->next != NULL)
        record->next->link = record->link;
    while (*of_holder != record)
        of_holder = &(*of_holder)->next_holder;
    *of_holder = record->next_holder;
}

/* Takes out, for the caller to free, the records of those that cannot hold `object` any more, as
 * somebody else has got it: it was freed while it was locked.  Caller holds the lock. */
static struct record *take_stale(const void *object)
{
    struct record *each = *bucket_of(object);
    struct record *list = NULL;

    while (each != NULL) {
        struct record *record = each;

        each = record->next;
        if (record->object != object)
            continue;
        take_out(record);
        record->next = list;
        list = record;
    }
    return list;
}

static void free_list(struct record *list)
{
    while (list != NULL) {
        struct record *record = list;

        list = list->next;
        wf_free(record);
    }
}

void wf_held_forget(const void *object)
{
    struct record *stale;

    wf_lock_acquire(&table_lock);
    stale = take_stale(object);
    wf_lock_release(&table_lock);
    free_list(stale);
}

bool wf_held_add(const void *object, const void *site, enum wf_held_mode mode)
{
    struct record *record = (struct record *)wf_alloc(sizeof *record);
    struct record *stale = NULL;

    if (record == NULL)
        return false;
    *record = (struct record){.object = object,
                              .site = site,
                              .holder = wf_held_self(),
                              .is_shared = mode == WF_HELD_SHARED};
    wf_lock_acquire(&table_lock);
    /* One that shares need not look: who held what was here before is forgotten by then. */
    if (mode == WF_HELD_ALONE)
        stale = take_stale(object);
    put_in(record);
    wf_lock_release(&table_lock);
    free_list(stale);
    return true;
}

bool wf_held_may_wait(weft_time deadline)
{
    return deadline == WEFT_FOREVER || (deadline > 0 && deadline > wf_os_now());
}

void wf_held_before(const void *object, const void *site, enum wf_order_mode mode)
{
    uint64_t holder = wf_held_self();
    struct wf_order_lock wanted = {object, site, mode};
    struct wf_order_lock held[HELD_MAX];
    unsigned count = 0;

    wf_lock_acquire(&table_lock);
    for (struct record *each = *list_of(holder); each != NULL && count < HELD_MAX;
         each = each->next_holder)
        if (each->holder == holder)
            held[count++] = (struct wf_order_lock){
                each->object, each->site, each->is_shared ? WF_ORDER_READ : WF_ORDER_ALONE};
    wf_lock_release(&table_lock);
    wf_order_note(held, count, &wanted);
}

enum wf_held_mode wf_held_mine(const void *object)
{
    enum wf_held_mode mode = WF_HELD_NOT;
    struct record *record;

    wf_lock_acquire(&table_lock);
    record = find_mine(object);
    if (record != NULL)
        mode = record->is_shared ? WF_HELD_SHARED : WF_HELD_ALONE;
    wf_lock_release(&table_lock);
    return mode;
}

void wf_held_share(const void *object)
{
    struct record *record;

    wf_lock_acquire(&table_lock);
    record = find_mine(object);
    if (record != NULL)
        record->is_shared = true;
    wf_lock_release(&table_lock);
}

/* Caller holds the lock, so the records are no more than those that hold it, and one less if the
 * caller does without a record. */
static bool is_held_by_others(const void *object, wf_held_count_fn *count)
{
    uint64_t others = 0;

    for (const struct record *each = *bucket_of(object); each != NULL; each = each->next)
        others += each->object == object;
    return others > 0 && others >= (count != NULL ? count(object) : 1);
}

void wf_held_remove(const void *object, const char *what, wf_held_count_fn *count)
{
    struct record *record;

    wf_lock_acquire(&table_lock);
    record = find_mine(object);
    if (record != NULL)
        take_out(record);
    else if (is_held_by_others(object, count))
        wf_panic("%s: the lock %p was locked by another fiber or thread", what, object);
    wf_lock_release(&table_lock);
    wf_free(record);
}
