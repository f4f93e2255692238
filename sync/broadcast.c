/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts: a ring of the last values and a queue of those who have seen them all, under one
 * lock.
 *
 * Nobody but the receivers knows where they are, so sending costs the same for any number of them,
 * unless they wait.  One that waits gets the value straight into its frame: were it to fetch it
 * from the ring when it runs, a fast sender could have overwritten it by then.
 *
 * All that is here is under the lock or a wait of sync/wait_queue.h; the models of these two cover
 * it.
 */
#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <weft/broadcast.h>

struct broadcast {
    uint32_t item_size;           /* immutable; 0: not initialised, or destroyed */
    uint32_t capacity;            /* immutable, 1 or more */
    unsigned char *buffer;        /* immutable; what is in it, under the lock, as what follows */
    uint64_t sent;                /* values; number n is in place n % capacity */
    struct wf_wait_queue waiting; /* of struct listener: each has seen all; empty once closed */
    struct wf_lock lock;
    uint32_t is_closed;
    uint64_t reserved[3];
};

_Static_assert(sizeof(struct broadcast) == sizeof(weft_broadcast) &&
                   offsetof(struct broadcast, buffer) == offsetof(weft_broadcast, buffer),
               "the public type has other fields");

/* In the frame of whoever waits. */
struct listener {
    struct wf_wait_entry entry;
    weft_broadcast_receiver *receiver;
    void *item; /* where the value goes; whoever takes the entry out */
};

static const struct wf_wait_kind broadcast_kind = {"a value of a broadcast",
                                                   offsetof(struct broadcast, lock), 0};

static struct broadcast *internal(weft_broadcast *handle, const char *call)
{
    struct broadcast *broadcast = (struct broadcast *)(void *)handle;

    if (WF_UNLIKELY(broadcast == NULL))
        wf_panic("%s: the receiver is not subscribed", call);
    if (WF_UNLIKELY(broadcast->item_size == 0 || broadcast->capacity == 0))
        wf_panic("%s: the broadcast is not initialised, or destroyed", call);
    return broadcast;
}

static struct broadcast *of_size(weft_broadcast *handle, size_t item_size, const char *call)
{
    struct broadcast *broadcast = internal(handle, call);

    if (WF_UNLIKELY(broadcast->item_size != item_size))
        wf_panic("%s: the broadcast's values have %u bytes, the caller's %zu", call,
                 broadcast->item_size, item_size);
    return broadcast;
}

static unsigned char *place(const struct broadcast *broadcast, uint64_t number)
{
    return broadcast->buffer + number % broadcast->capacity * broadcast->item_size;
}

/* Receives without waiting, or -EAGAIN.  Caller holds the lock. */
static int fetch(struct broadcast *broadcast, weft_broadcast_receiver *receiver, void *item)
{
    uint64_t behind = broadcast->sent - receiver->next;

    if (behind == 0)
        return broadcast->is_closed ? -ENODATA : -EAGAIN;
    if (behind > broadcast->capacity) {
        receiver->missed = behind - broadcast->capacity;
        receiver->next += receiver->missed;
        return -EOVERFLOW;
    }
    memcpy(item, place(broadcast, receiver->next), broadcast->item_size);
    receiver->next++;
    return 0;
}

int weft_broadcast_init(weft_broadcast *broadcast, size_t item_size, void *buffer, size_t capacity)
{
    weft_broadcast made = WEFT_BROADCAST_INIT(char, buffer, capacity);

    if (item_size == 0 || item_size > UINT32_MAX || capacity == 0 || capacity > UINT32_MAX ||
        buffer == NULL)
        return -EINVAL;
    *broadcast = made;
    broadcast->item_size = (uint32_t)item_size;
    return 0;
}

void weft_broadcast_destroy(weft_broadcast *handle)
{
    struct broadcast *broadcast = internal(handle, "weft_broadcast_destroy");

    wf_lock_acquire(&broadcast->lock);
    if (!wf_wait_queue_is_empty(&broadcast->waiting))
        wf_panic("weft_broadcast_destroy: somebody waits for a value");
    broadcast->item_size = 0;
    wf_lock_release(&broadcast->lock);
}

void weft_broadcast_subscribe(weft_broadcast *handle, weft_broadcast_receiver *receiver)
{
    struct broadcast *broadcast = internal(handle, "weft_broadcast_subscribe");

    *receiver = (weft_broadcast_receiver){.broadcast = handle};
    wf_lock_acquire(&broadcast->lock);
    receiver->next = broadcast->sent;
    wf_lock_release(&broadcast->lock);
}

int weft_broadcast_send(weft_broadcast *handle, const void *item, size_t item_size)
{
    struct broadcast *broadcast = of_size(handle, item_size, "weft_broadcast_send");
    struct wf_wait_entry *list = NULL;

    wf_lock_acquire(&broadcast->lock);
    if (broadcast->is_closed) {
        wf_lock_release(&broadcast->lock);
        return -EPIPE;
    }
    memcpy(place(broadcast, broadcast->sent), item, item_size);
    broadcast->sent++;
    if (!wf_wait_queue_is_empty(&broadcast->waiting))
        list = wf_wait_queue_take_all(&broadcast->waiting);
    for (struct wf_wait_entry *entry = list; entry != NULL; entry = entry->previous) {
        struct listener *listener = WF_CONTAINER_OF(entry, struct listener, entry);

        memcpy(listener->item, item, item_size);
        listener->receiver->next = broadcast->sent;
    }
    wf_lock_release(&broadcast->lock);
    if (list != NULL)
        wf_wait_queue_wake_list(wf_self(), list, 0);
    return 0;
}

int weft_broadcast_receive(weft_broadcast_receiver *receiver, void *item, size_t item_size,
                           weft_time deadline)
{
    struct broadcast *broadcast = of_size(receiver->broadcast, item_size, "weft_broadcast_receive");
    struct wf_worker *self = wf_self();
    struct listener listener;
    int result = wf_self_refusal(self);

    if (WF_UNLIKELY(result != 0))
        return result;
    wf_lock_acquire(&broadcast->lock);
    result = fetch(broadcast, receiver, item);
    if (result == -EAGAIN) {
        listener.entry.next = NULL;
        listener.receiver = receiver;
        listener.item = item;
        return wf_wait_queue_sleep(self, &broadcast->waiting, &broadcast->lock, &listener.entry,
                                   deadline, &broadcast_kind);
    }
    wf_lock_release(&broadcast->lock);
    return result;
}

int weft_broadcast_try_receive(weft_broadcast_receiver *receiver, void *item, size_t item_size)
{
    struct broadcast *broadcast = of_size(receiver->broadcast, item_size,
                                          "weft_broadcast_try_receive");
    int result;

    wf_lock_acquire(&broadcast->lock);
    result = fetch(broadcast, receiver, item);
    wf_lock_release(&broadcast->lock);
    return result;
}

void weft_broadcast_close(weft_broadcast *handle)
{
    struct broadcast *broadcast = internal(handle, "weft_broadcast_close");
    struct wf_wait_entry *list;

    wf_lock_acquire(&broadcast->lock);
    broadcast->is_closed = 1;
    list = wf_wait_queue_take_all(&broadcast->waiting);
    wf_lock_release(&broadcast->lock);
    wf_wait_queue_wake_list(wf_self(), list, -ENODATA);
}
