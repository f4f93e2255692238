/* SPDX-License-Identifier: MIT */
/*
 * Events: a flag and a queue under one lock.
 *
 * There is no path without the lock, so no model of its own: runtime/lock.h, runtime/wait.c and
 * sync/wait_queue.c, which do the waiting, have theirs.  A look at the flag alone would be faster,
 * but whoever came through by it could free the event while the set still holds the lock.
 */
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <weft/event.h>

enum { IS_SET = 1, IS_AUTO = WEFT_EVENT_IS_AUTO };

struct event {
    struct wf_wait_queue queue; /* under the lock; empty while it is set */
    struct wf_lock lock;
    uint32_t flags; /* under the lock; IS_AUTO never changes */
};

_Static_assert(sizeof(struct event) == sizeof(weft_event), "the public type has other fields");

static const struct wf_wait_kind event_kind = {"an event", offsetof(struct event, lock), 0};

static struct event *internal(weft_event *event)
{
    return (struct event *)(void *)event;
}

void weft_event_set(weft_event *handle)
{
    struct event *event = internal(handle);
    struct wf_wait_entry *list = NULL;

    wf_lock_acquire(&event->lock);
    if ((event->flags & IS_AUTO) == 0) {
        event->flags |= IS_SET;
        list = wf_wait_queue_take_all(&event->queue);
    } else if ((list = wf_wait_queue_take(&event->queue)) != NULL) {
        list->previous = NULL; /* a list of one */
    } else {
        event->flags |= IS_SET;
    }
    wf_lock_release(&event->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
}

void weft_event_reset(weft_event *handle)
{
    struct event *event = internal(handle);

    wf_lock_acquire(&event->lock);
    event->flags &= ~(uint32_t)IS_SET;
    wf_lock_release(&event->lock);
}

int weft_event_wait(weft_event *handle, weft_time deadline)
{
    struct event *event = internal(handle);
    struct wf_wait_entry entry = {NULL, NULL, NULL, NULL};

    wf_lock_acquire(&event->lock);
    if ((event->flags & IS_SET) == 0)
        return wf_wait_queue_sleep_claimed(wf_self(), &event->queue, &event->lock, &entry, deadline,
                                           &event_kind);
    if ((event->flags & IS_AUTO) != 0)
        event->flags &= ~(uint32_t)IS_SET;
    wf_lock_release(&event->lock);
    return 0;
}

bool weft_event_is_set(weft_event *handle)
{
    struct event *event = internal(handle);
    bool is_set;

    wf_lock_acquire(&event->lock);
    is_set = (event->flags & IS_SET) != 0;
    wf_lock_release(&event->lock);
    return is_set;
}

void weft_event_destroy(weft_event *handle)
{
    struct event *event = internal(handle);

    wf_wait_queue_retire(&event->queue, &event->lock, "weft_event_destroy");
}
