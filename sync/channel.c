/* SPDX-License-Identifier: MIT */
/*
 * Channels.  Each has one lock, which is held for a copy of a value and a few instructions more; a
 * value goes from the frame of a sender to that of a receiver, through the buffer if there is one.
 * wait_queue.h has the rules for those who wait.
 */
#include "sync/channel.h"

#include "runtime/alloc.h"

#include <assert.h>
#include <stdbool.h>

static_assert(sizeof(struct wf_channel) <= sizeof(weft_channel), "it fits the public struct");
static_assert(offsetof(struct wf_channel, item_size) == offsetof(weft_channel, item_size) &&
                  offsetof(struct wf_channel, capacity) == offsetof(weft_channel, capacity) &&
                  offsetof(struct wf_channel, buffer) == offsetof(weft_channel, buffer),
              "WEFT_CHANNEL_INIT() writes them there");

static bool is_valid(size_t item_size, size_t capacity)
{
    return item_size > 0 && item_size <= UINT32_MAX && capacity <= UINT32_MAX &&
           (capacity == 0 || item_size <= SIZE_MAX / 2 / capacity);
}

int weft_channel_init(weft_channel *channel, size_t item_size, void *buffer, size_t capacity)
{
    weft_channel empty = WEFT_CHANNEL_INIT(char, buffer, capacity);

    if (!is_valid(item_size, capacity) || (capacity > 0 && buffer == NULL))
        return -EINVAL;
    *channel = empty;
    channel->item_size = (uint32_t)item_size;
    return 0;
}

/* For calls that do not say how large they take its values to be. */
static struct wf_channel *in_use(weft_channel *channel, const char *call)
{
    struct wf_channel *self = (struct wf_channel *)(void *)channel;

    if (WF_UNLIKELY(self->item_size == 0))
        wf_panic("%s: the channel is not initialised, or destroyed", call);
    return self;
}

void weft_channel_destroy(weft_channel *channel)
{
    struct wf_channel *self = in_use(channel, "weft_channel_destroy");

    wf_lock_acquire(&self->lock);
    if (!wf_wait_queue_is_empty(&self->senders) || !wf_wait_queue_is_empty(&self->receivers))
        wf_panic("weft_channel_destroy: somebody waits on the channel");
    self->item_size = 0;
    wf_lock_release(&self->lock);
}

int weft_channel_create(weft_channel **channel, size_t item_size, size_t capacity)
{
    weft_channel *made;
    int error;

    if (!is_valid(item_size, capacity))
        return -EINVAL;
    /* Nobody reads of the buffer what was not sent, and of a large one little may be used. */
    made = (weft_channel *)wf_alloc_unset(sizeof *made + item_size * capacity);
    if (made == NULL)
        return -ENOMEM;
    error = weft_channel_init(made, item_size, capacity > 0 ? made + 1 : NULL, capacity);
    WF_ASSERT(error == 0);
    *channel = made;
    return 0;
}

void weft_channel_free(weft_channel *channel)
{
    if (channel == NULL)
        return;
    weft_channel_destroy(channel);
    wf_free(channel);
}

static const struct wf_wait_kind send_kind = {"to send on the channel",
                                              offsetof(struct wf_channel, lock), 0};
static const struct wf_wait_kind receive_kind = {"to receive from the channel",
                                                 offsetof(struct wf_channel, lock), 0};

/* Caller holds the channel's lock, and has asked whether it may wait at all. */
static inline int sleep_in(struct wf_worker *self, struct wf_wait_queue *queue,
                           struct wf_channel *channel, struct wf_channel_entry *entry,
                           weft_time deadline, const struct wf_wait_kind *kind)
{
    if (WF_LIKELY(deadline == WEFT_FOREVER))
        return wf_wait_queue_sleep_claimed_asked(self, queue, &channel->lock, &entry->wait,
                                                 deadline, kind);
    return wf_wait_queue_sleep_claimed(self, queue, &channel->lock, &entry->wait, deadline, kind);
}

int weft_channel_send(weft_channel *channel, const void *item, size_t item_size, weft_time deadline)
{
    struct wf_channel *ch = wf_channel_of(channel, item_size, "weft_channel_send");
    struct wf_worker *self = wf_self();
    struct wf_channel_entry entry;
    struct wf_wait_entry *receiver;
    int result;

    result = wf_self_refusal(self);
    if (WF_UNLIKELY(result != 0))
        return result;
    wf_lock_acquire(&ch->lock);
    result = wf_channel_offer(ch, item, &receiver);
    if (result == -EAGAIN) {
        entry.wait.next = NULL;
        entry.item = (void *)(uintptr_t)item; /* it is only read */
        return sleep_in(self, &ch->senders, ch, &entry, deadline, &send_kind);
    }
    wf_lock_release(&ch->lock);
    if (receiver != NULL)
        wf_wake(self, receiver->waiter, 0);
    return result;
}

int weft_channel_receive(weft_channel *channel, void *item, size_t item_size, weft_time deadline)
{
    struct wf_channel *ch = wf_channel_of(channel, item_size, "weft_channel_receive");
    struct wf_worker *self = wf_self();
    struct wf_channel_entry entry;
    struct wf_wait_entry *sender;
    int result;

    result = wf_self_refusal(self);
    if (WF_UNLIKELY(result != 0))
        return result;
    wf_lock_acquire(&ch->lock);
    result = wf_channel_accept(ch, item, &sender);
    if (result == -EAGAIN) {
        entry.wait.next = NULL;
        entry.item = item;
        return sleep_in(self, &ch->receivers, ch, &entry, deadline, &receive_kind);
    }
    wf_lock_release(&ch->lock);
    if (sender != NULL)
        wf_wake(self, sender->waiter, 0);
    return result;
}

int weft_channel_try_send(weft_channel *channel, const void *item, size_t item_size)
{
    struct wf_channel *ch = wf_channel_of(channel, item_size, "weft_channel_try_send");
    struct wf_wait_entry *receiver;
    int result;

    wf_lock_acquire(&ch->lock);
    result = wf_channel_offer(ch, item, &receiver);
    wf_lock_release(&ch->lock);
    if (receiver != NULL)
        wf_wake(wf_self(), receiver->waiter, 0);
    return result;
}

int weft_channel_try_receive(weft_channel *channel, void *item, size_t item_size)
{
    struct wf_channel *ch = wf_channel_of(channel, item_size, "weft_channel_try_receive");
    struct wf_wait_entry *sender;
    int result;

    wf_lock_acquire(&ch->lock);
    result = wf_channel_accept(ch, item, &sender);
    wf_lock_release(&ch->lock);
    if (sender != NULL)
        wf_wake(wf_self(), sender->waiter, 0);
    return result;
}

void weft_channel_close(weft_channel *channel)
{
    struct wf_channel *ch = in_use(channel, "weft_channel_close");
    struct wf_worker *self = wf_self();
    struct wf_wait_entry *senders;
    struct wf_wait_entry *receivers;

    wf_lock_acquire(&ch->lock);
    ch->is_closed = 1;
    senders = wf_wait_queue_take_all(&ch->senders);
    /* They find the end: the buffer is empty, or none of them would wait. */
    receivers = wf_wait_queue_take_all(&ch->receivers);
    wf_lock_release(&ch->lock);
    wf_wait_queue_wake_list(self, senders, -EPIPE);
    wf_wait_queue_wake_list(self, receivers, -ENODATA);
}

size_t weft_channel_length(weft_channel *channel)
{
    struct wf_channel *ch = in_use(channel, "weft_channel_length");
    size_t length;

    wf_lock_acquire(&ch->lock);
    length = ch->count;
    wf_lock_release(&ch->lock);
    return length;
}
