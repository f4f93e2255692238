/* SPDX-License-Identifier: MIT */
/* What select.c needs of a channel. */
#ifndef WF_SYNC_CHANNEL_H
#define WF_SYNC_CHANNEL_H

#include "runtime/check.h"
#include "runtime/lock.h"
#include "sync/wait_queue.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <weft/channel.h>

/*
 * A channel.  Receivers wait only while the buffer is empty and no sender waits; senders wait only
 * while it is full and no receiver waits; nobody waits once it is closed.
 */
struct wf_channel {
    uint32_t item_size;    /* immutable; 0: not initialised, or destroyed */
    uint32_t capacity;     /* immutable */
    unsigned char *buffer; /* immutable; what is in it, under the lock */
    struct wf_lock lock;   /* guards the following */
    uint32_t head;         /* index of the oldest value in the buffer */
    uint32_t count;        /* values in the buffer */
    uint32_t is_closed;
    struct wf_wait_queue senders;   /* of struct wf_channel_entry */
    struct wf_wait_queue receivers; /* of struct wf_channel_entry */
};

struct wf_channel_entry {
    struct wf_wait_entry wait;
    void *item; /* where a sender's value is, or a receiver's goes; whoever takes the entry out */
};

static inline struct wf_channel *wf_channel_of(weft_channel *channel, size_t item_size,
                                               const char *call)
{
    struct wf_channel *self = (struct wf_channel *)(void *)channel;

    if (WF_UNLIKELY(self->item_size != item_size))
        wf_panic("%s: the channel's values have %u bytes, the caller's %zu%s", call,
                 self->item_size, item_size,
                 self->item_size == 0 ? " (it is not initialised, or destroyed)" : "");
    return self;
}

static inline struct wf_channel_entry *wf_channel_entry_of(struct wf_wait_entry *entry)
{
    return (struct wf_channel_entry *)(void *)entry; /* its first member */
}

static inline void wf_channel_copy(void *to, const void *from, size_t size)
{
    /* Of a size that the compiler knows it is one load and one store. */
    if (WF_LIKELY(size == sizeof(void *)))
        memcpy(to, from, sizeof(void *));
    else
        memcpy(to, from, size);
}

static inline unsigned char *wf_channel_slot(const struct wf_channel *channel, uint64_t index)
{
    if (index >= channel->capacity)
        index -= channel->capacity;
    return channel->buffer + index * channel->item_size;
}

/*
 * Sends without waiting: 0, -EPIPE, or -EAGAIN if it would have to wait.  `*woken` is then a
 * receiver to be woken with 0, after the lock is released, or NULL.  Caller holds the lock.
 */
static inline int wf_channel_offer(struct wf_channel *channel, const void *item,
                                   struct wf_wait_entry **woken)
{
    struct wf_wait_entry *receiver;

    *woken = NULL;
    if (WF_UNLIKELY(channel->is_closed))
        return -EPIPE;
    receiver = wf_wait_queue_take(&channel->receivers);
    if (receiver != NULL) {
        wf_channel_copy(wf_channel_entry_of(receiver)->item, item, channel->item_size);
        *woken = receiver;
        return 0;
    }
    if (channel->count == channel->capacity)
        return -EAGAIN;
    wf_channel_copy(wf_channel_slot(channel, (uint64_t)channel->head + channel->count), item,
                    channel->item_size);
    channel->count++;
    return 0;
}

/* Receives without waiting: 0, -ENODATA, or -EAGAIN.  `*woken` is a sender.  Caller holds the
 * lock. */
static inline int wf_channel_accept(struct wf_channel *channel, void *item,
                                    struct wf_wait_entry **woken)
{
    size_t size = channel->item_size;
    struct wf_wait_entry *sender = NULL;

    *woken = NULL;
    if (!wf_wait_queue_is_empty(&channel->senders))
        sender = wf_wait_queue_take(&channel->senders);
    if (channel->count > 0) {
        unsigned char *oldest = wf_channel_slot(channel, channel->head);

        wf_channel_copy(item, oldest, size);
        channel->head = channel->head + 1 == channel->capacity ? 0 : channel->head + 1;
        if (sender != NULL) /* the buffer was full: the place of the oldest is the one behind all */
            wf_channel_copy(oldest, wf_channel_entry_of(sender)->item, size);
        else
            channel->count--;
    } else if (sender != NULL) {
        wf_channel_copy(item, wf_channel_entry_of(sender)->item, size);
    } else {
        return channel->is_closed ? -ENODATA : -EAGAIN;
    }
    *woken = sender;
    return 0;
}

#endif
