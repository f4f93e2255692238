/* SPDX-License-Identifier: MIT */
/* See future.h for the rules. */
#include "sync/future.h"

#include "runtime/check.h"
#include "runtime/spawn.h"

#include <errno.h>
#include <string.h>
#include <weft/scope.h>

static const struct wf_wait_kind future_kind = {"a future", offsetof(struct wf_future, lock), 0};
static const struct wf_wait_kind group_kind = {"a future of a group",
                                               offsetof(struct wf_future_group, lock), 0};

_Static_assert(sizeof(struct wf_future) <= sizeof(weft_future), "it fits");
_Static_assert(sizeof(struct wf_future_group) <= sizeof(weft_future_group), "it fits");

static struct wf_future *future_of(weft_future *future)
{
    return (struct wf_future *)(void *)future;
}

static struct wf_future_group *group_of(weft_future_group *group)
{
    return (struct wf_future_group *)(void *)group;
}

/* Caller holds the lock of the future, which is complete.  Returns whom to wake after it has been
 * released. */
static struct wf_wait_entry *tell_group(struct wf_future *future)
{
    struct wf_future_group *group = future->group;
    struct wf_wait_entry *entry;

    if (group == NULL)
        return NULL;
    future->group = NULL;
    future->next_complete = NULL;
    wf_lock_acquire(&group->lock);
    if (group->complete == NULL)
        group->complete = future;
    else
        group->last->next_complete = future;
    group->last = future;
    entry = wf_wait_queue_take(&group->waiting);
    wf_lock_release(&group->lock);
    return entry;
}

/* Completes the future and releases its lock, which the caller holds.  It may be gone then. */
static void complete(struct wf_future *future, int result, void *value)
{
    struct wf_wait_entry *awaiters = wf_wait_queue_take_all(&future->awaiters);
    struct wf_wait_entry *waiting;

    future->state = WF_FUTURE_DONE;
    future->result = result;
    future->value = value;
    if (awaiters != NULL)
        future->is_read = true;
    for (struct wf_wait_entry *entry = awaiters; entry != NULL; entry = entry->previous)
        *((struct wf_awaiter *)(void *)entry)->result = result;
    waiting = tell_group(future);
    wf_lock_release(&future->lock);
    wf_wait_queue_wake_list(wf_self(), awaiters, 0);
    if (waiting != NULL)
        wf_wake(wf_self(), waiting->waiter, 0);
}

/* The fiber behind a future. */
static int run_future(void *arg)
{
    struct wf_future *future = (struct wf_future *)arg;
    bool is_cancelled;
    int result;

    wf_lock_acquire(&future->lock);
    future->fiber = weft_self();
    is_cancelled = future->is_cancelled;
    wf_lock_release(&future->lock);
    if (is_cancelled)
        weft_cancel(weft_self());
    result = future->fn(future->arg);
    wf_lock_acquire(&future->lock);
    memcpy(future->name, weft_fiber_name(weft_self()), sizeof future->name);
    future->fiber = NULL;
    while (future->cancellers > 0) {
        wf_lock_release(&future->lock);
        (void)weft_yield();
        wf_lock_acquire(&future->lock);
    }
    future->has_fiber = false;
    if (future->state == WF_FUTURE_SPAWNED) {
        complete(future, result, NULL);
    } else {
        /* Its result was given early; the close may be waiting for our end. */
        struct wf_wait_entry *awaiters = wf_wait_queue_take_all(&future->awaiters);

        wf_lock_release(&future->lock);
        wf_wait_queue_wake_list(wf_self(), awaiters, 0);
    }
    return 0;
}

/* There is no fiber after all: the future is as before, or has what it was given meanwhile. */
static int refuse(struct wf_future *future, int error)
{
    wf_lock_acquire(&future->lock);
    future->has_fiber = false;
    if (future->state == WF_FUTURE_SPAWNED) {
        future->state = WF_FUTURE_PENDING;
        if (future->is_cancelled) {
            complete(future, -ECANCELED, NULL);
            return error;
        }
    }
    wf_lock_release(&future->lock);
    return error;
}

static int spawn(weft_future *opaque, const struct weft_fiber_attr *attr, int (*fn)(void *),
                 void *arg, const void *site)
{
    struct wf_future *future = future_of(opaque);
    int error;

    wf_lock_acquire(&future->lock);
    if (future->state != WF_FUTURE_PENDING)
        wf_panic("weft_future_spawn: the future was used before: initialise it by "
                 "WEFT_FUTURE_INIT");
    future->fn = fn;
    future->arg = arg;
    future->state = WF_FUTURE_SPAWNED;
    future->has_fiber = true;
    wf_lock_release(&future->lock);
    /* What the fiber inherits is copied by functions of the program, which may wait for others that
     * look at the future.  And the fiber may end before this returns. */
    error = wf_fiber_spawn_at(attr, NULL, run_future, future, site);
    return WF_UNLIKELY(error != 0) ? refuse(future, error) : 0;
}

int weft_future_spawn_with(weft_future *future, const struct weft_fiber_attr *attr,
                           int (*fn)(void *), void *arg)
{
    return spawn(future, attr, fn, arg, __builtin_return_address(0));
}

int weft_future_spawn(weft_future *future, int (*fn)(void *), void *arg)
{
    return spawn(future, NULL, fn, arg, __builtin_return_address(0));
}

/* Caller holds the lock. */
static void expect_open(const struct wf_future *future, const char *call)
{
    if (WF_UNLIKELY(future->state == WF_FUTURE_CLOSED))
        wf_panic("%s: the future has been closed", call);
}

int weft_future_set(weft_future *opaque, int result, void *value)
{
    struct wf_future *future = future_of(opaque);

    wf_lock_acquire(&future->lock);
    expect_open(future, "weft_future_set");
    if (future->state == WF_FUTURE_DONE) {
        wf_lock_release(&future->lock);
        return -EALREADY;
    }
    complete(future, result, value);
    return 0;
}

int wf_future_take(struct wf_future *future, int32_t *result)
{
    expect_open(future, "weft_future_await");
    if (future->state != WF_FUTURE_DONE)
        return -EAGAIN;
    *result = future->result;
    future->is_read = true;
    return 0;
}

int weft_future_await(weft_future *opaque, int *result, weft_time deadline)
{
    struct wf_future *future = future_of(opaque);
    int32_t value = 0;
    struct wf_awaiter awaiter = {.result = &value};
    int error;

    wf_lock_acquire(&future->lock);
    error = wf_future_take(future, &value);
    if (error == 0)
        wf_lock_release(&future->lock);
    else
        error = wf_wait_queue_sleep(wf_self(), &future->awaiters, &future->lock, &awaiter.wait,
                                    deadline, &future_kind);
    if (error == 0 && result != NULL)
        *result = value;
    return error;
}

void *weft_future_value(weft_future *opaque)
{
    struct wf_future *future = future_of(opaque);
    void *value;

    wf_lock_acquire(&future->lock);
    expect_open(future, "weft_future_value");
    value = future->value;
    wf_lock_release(&future->lock);
    return value;
}

bool weft_future_is_done(weft_future *opaque)
{
    struct wf_future *future = future_of(opaque);
    bool is_done;

    wf_lock_acquire(&future->lock);
    expect_open(future, "weft_future_is_done");
    is_done = future->state == WF_FUTURE_DONE;
    wf_lock_release(&future->lock);
    return is_done;
}

void weft_future_cancel(weft_future *opaque)
{
    struct wf_future *future = future_of(opaque);
    weft_fiber *fiber;

    wf_lock_acquire(&future->lock);
    expect_open(future, "weft_future_cancel");
    if (future->state == WF_FUTURE_PENDING) {
        future->is_cancelled = true;
        complete(future, -ECANCELED, NULL);
        return;
    }
    if (future->state == WF_FUTURE_DONE) { /* a fiber that gave it early is on its own */
        wf_lock_release(&future->lock);
        return;
    }
    fiber = future->fiber;
    future->is_cancelled = true;
    if (fiber != NULL)
        future->cancellers++;
    wf_lock_release(&future->lock);
    if (fiber == NULL)
        return;
    weft_cancel(fiber);
    wf_lock_acquire(&future->lock);
    future->cancellers--;
    wf_lock_release(&future->lock);
}

/* An end that was asked for is no news. */
static bool is_unheard(const struct wf_future *future)
{
    return future->state == WF_FUTURE_DONE && future->result < 0 && !future->is_read &&
           !(future->is_cancelled && future->result == -ECANCELED);
}

/* Whatever happens to the caller. */
static void await_end(struct wf_future *future)
{
    weft_scope shield = WEFT_SCOPE_INIT;
    bool is_shielded = weft_scope_open_shielded(&shield, WEFT_FOREVER) == 0;
    struct wf_awaiter awaiter;
    int32_t ignored;

    wf_lock_acquire(&future->lock);
    while (future->has_fiber) {
        bool was_read = future->is_read;
        int error;

        awaiter = (struct wf_awaiter){.result = &ignored};
        error = wf_wait_queue_sleep(wf_self(), &future->awaiters, &future->lock, &awaiter.wait,
                                    WEFT_FOREVER, &future_kind);
        WF_ASSERT(error == 0);
        wf_lock_acquire(&future->lock);
        future->is_read = was_read; /* we do not look at it */
    }
    wf_lock_release(&future->lock);
    if (is_shielded)
        (void)weft_scope_close(&shield, 0);
}

void weft_future_close(weft_future *opaque)
{
    struct wf_future *future = future_of(opaque);

    await_end(future);
    wf_lock_acquire(&future->lock);
    if (future->state == WF_FUTURE_CLOSED || !wf_wait_queue_is_empty(&future->awaiters) ||
        future->link != NULL)
        wf_panic("weft_future_close: the future is closed twice, or somebody awaits it");
    if (is_unheard(future))
        wf_complain("a future of fiber \"%s\" was closed with an error that nobody has read: %d",
                    future->name, future->result);
    future->state = WF_FUTURE_CLOSED;
    wf_lock_release(&future->lock);
}

void weft_future_group_add(weft_future_group *opaque, weft_future *member)
{
    struct wf_future_group *group = group_of(opaque);
    struct wf_future *future = future_of(member);

    wf_lock_acquire(&future->lock);
    if (future->link != NULL || future->state == WF_FUTURE_CLOSED)
        wf_panic("weft_future_group_add: the future is in a group already, or has been closed");
    future->link = &group->members;
    future->next = group->members;
    if (future->next != NULL)
        future->next->link = &future->next;
    group->members = future;
    future->group = group;
    if (future->state == WF_FUTURE_DONE)
        (void)tell_group(future); /* we are whom it would wake */
    wf_lock_release(&future->lock);
}

static void take_out(struct wf_future *future)
{
    *future->link = future->next;
    if (future->next != NULL)
        future->next->link = future->link;
    future->link = NULL;
}

int weft_future_group_next(weft_future_group *opaque, weft_future **result, weft_time deadline)
{
    struct wf_future_group *group = group_of(opaque);
    struct wf_wait_entry entry = {.next = NULL};
    struct wf_future *future;

    if (group->members == NULL)
        return -ENOENT;
    wf_lock_acquire(&group->lock);
    while ((future = group->complete) == NULL) {
        int error = wf_wait_queue_sleep(wf_self(), &group->waiting, &group->lock, &entry, deadline,
                                        &group_kind);

        if (error != 0)
            return error;
        wf_lock_acquire(&group->lock);
    }
    group->complete = future->next_complete;
    wf_lock_release(&group->lock);
    /* Whoever completed it may not have released its lock yet. */
    wf_lock_acquire(&future->lock);
    take_out(future);
    wf_lock_release(&future->lock);
    *result = (weft_future *)(void *)future;
    return 0;
}

void weft_future_group_close(weft_future_group *opaque)
{
    struct wf_future_group *group = group_of(opaque);

    while (group->members != NULL) {
        struct wf_future *future = group->members;

        wf_lock_acquire(&future->lock);
        future->group = NULL;
        take_out(future);
        wf_lock_release(&future->lock);
    }
    group->complete = NULL;
}
