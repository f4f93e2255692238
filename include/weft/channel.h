/* SPDX-License-Identifier: MIT */
/* Channels: values of one type, handed from fibers and threads to fibers and threads. */
#ifndef WEFT_CHANNEL_H
#define WEFT_CHANNEL_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A channel.  Any number of fibers and plain threads, of any runtime, may send and receive.
 *
 * Without a buffer a sender waits until a receiver takes its value, and the value goes straight
 * from the one to the other.  With a buffer of `capacity` values, senders wait while it is full.
 * Values are received in the order in which they were sent, and whoever has waited longest comes
 * first.
 *
 * Closing ends the sending: senders get -EPIPE, those that wait too; receivers get what is in the
 * buffer, and after that -ENODATA.
 *
 * An operation that fails, by its deadline or by a cancel for instance, has not happened: a value
 * is never lost, and never received twice.
 *
 * Whoever has sent or received what nobody comes after may destroy the channel at once, though the
 * other one's call may not have returned yet: so a channel for an answer can lie in the frame of
 * the one who asks.  A select, though, uses the channels of all its cases until it returns, but
 * that of the case that has happened, if it has no other case with the same.
 *
 * Most programs define their types of channels by WEFT_CHANNEL_DEFINE() below.
 */
typedef struct weft_channel {
    uint32_t item_size; /* 0: not initialised */
    uint32_t capacity;
    void *buffer;         /* of capacity * item_size bytes; NULL if the capacity is 0 */
    uint64_t reserved[8]; /* zero */
} weft_channel;

#define WEFT_CHANNEL_INIT(type, buffer, capacity)               \
    {                                                           \
        (uint32_t)sizeof(type), (uint32_t)(capacity), (buffer), \
        {                                                       \
            0, 0, 0, 0, 0, 0, 0, 0                              \
        }                                                       \
    }

/*
 * Make a channel in the caller's memory, without a buffer (`capacity` is 0) or with one of
 * `capacity * item_size` bytes that stays the caller's.  Values are copied, so `buffer` needs no
 * alignment.  WEFT_CHANNEL_INIT() does the same for static variables.
 *
 * Returns   0, or a negative errno with nothing made.
 * Context   any thread, any fiber; nobody uses the channel yet.
 * Switches  never.
 * Errors    -EINVAL (`item_size` is 0, it or `capacity` is more than 2^32 - 1, their product is
 *           more than PTRDIFF_MAX, or there is a capacity without a buffer).
 */
WEFT_API WEFT_MUST_USE int weft_channel_init(weft_channel *channel, size_t item_size, void *buffer,
                                             size_t capacity);

/*
 * End the use of a channel.  What is in the buffer is forgotten.  Later uses abort, and so does a
 * call while somebody waits on the channel.
 *
 * Returns   nothing.
 * Context   any thread, any fiber; nobody else uses the channel, and nobody will.
 * Switches  never.
 */
WEFT_API void weft_channel_destroy(weft_channel *channel);

/*
 * Allocate a channel together with its buffer.
 *
 * Returns   0, or a negative errno with nothing made and `*channel` untouched.
 * Context   any thread, any fiber.
 * Switches  never.
 * Errors    -ENOMEM, and those of weft_channel_init().
 */
WEFT_API WEFT_MUST_USE int weft_channel_create(weft_channel **channel, size_t item_size,
                                               size_t capacity);

/*
 * weft_channel_destroy(), and give back what weft_channel_create() allocated.  NULL is allowed.
 *
 * Returns   nothing.
 * Context   any thread, any fiber; nobody else uses the channel, and nobody will.
 * Switches  never.
 */
WEFT_API void weft_channel_free(weft_channel *channel);

/*
 * Send a copy of `*item`.  `item_size` is that of the channel: another one aborts.
 *
 * A receiver that waits gets the value at once and, if it is a fiber of the caller's runtime, runs
 * next on the caller's worker.
 *
 * Returns   0 once the value is in the buffer or has been received, or a negative errno, and then
 *           nobody gets it.
 * Deadline  absolute; with one that has passed the call succeeds if it need not wait.
 * Context   any fiber, or any thread, which blocks.
 * Switches  if it has to wait.
 * Cancel    -ECANCELED, and the value is not sent; also if it could be sent without waiting.
 * Errors    -EPIPE (closed), -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_channel_send(weft_channel *channel, const void *item,
                                             size_t item_size, weft_time deadline);

/*
 * Receive a value into `*item`.  `item_size` is that of the channel: another one aborts.
 *
 * Returns   0, or a negative errno with `*item` untouched; -ENODATA is the end: the channel is
 *           closed, and all that was sent has been received.
 * Deadline  absolute; with one that has passed the call succeeds if it need not wait.
 * Context   any fiber, or any thread, which blocks.
 * Switches  if it has to wait.
 * Cancel    -ECANCELED, and no value is taken; also if one could be had without waiting.
 * Errors    -ENODATA (closed, and empty), -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_channel_receive(weft_channel *channel, void *item, size_t item_size,
                                                weft_time deadline);

/*
 * weft_channel_send() if it need not wait, for cancelled fibers too.
 *
 * Returns   0, or a negative errno, and then nobody gets the value.
 * Context   any fiber, any thread.
 * Switches  never.
 * Errors    -EAGAIN (it would have to wait), -EPIPE (closed).
 */
WEFT_API WEFT_MUST_USE int weft_channel_try_send(weft_channel *channel, const void *item,
                                                 size_t item_size);

/*
 * weft_channel_receive() if it need not wait, for cancelled fibers too.
 *
 * Returns   0, or a negative errno with `*item` untouched.
 * Context   any fiber, any thread.
 * Switches  never.
 * Errors    -EAGAIN (it would have to wait), -ENODATA (closed, and empty).
 */
WEFT_API WEFT_MUST_USE int weft_channel_try_receive(weft_channel *channel, void *item,
                                                    size_t item_size);

/*
 * Close a channel: see weft_channel.  Closing it again changes nothing.
 *
 * Returns   nothing.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API void weft_channel_close(weft_channel *channel);

/*
 * How many values are in the buffer.  Others may change that at any moment.
 *
 * Returns   0 to the capacity.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API size_t weft_channel_length(weft_channel *channel);

/*
 * Defines `name`, a type of channels of `type`, with functions that take and give values of that
 * type and no other.  `type` is copied by assignment and has a name of one or more plain words
 * (typedef others).  No semicolon follows.
 *
 *   WEFT_CHANNEL_DEFINE(numbers, int)
 *
 *   static numbers channel = {WEFT_CHANNEL_INIT(int, NULL, 0)};
 *   numbers_init(&channel, buffer, 16)          or with `int buffer[16]`
 *   numbers_send(&channel, 7, WEFT_FOREVER)     and so on: the calls above, with the same results
 */
#define WEFT_CHANNEL_DEFINE(name, type)                                                         \
    typedef struct name {                                                                       \
        weft_channel base;                                                                      \
    } name;                                                                                     \
    WEFT_UNUSED static inline int name##_init(name *channel, type *buffer, size_t capacity)     \
    {                                                                                           \
        return weft_channel_init(&channel->base, sizeof(type), (void *)buffer, capacity);       \
    }                                                                                           \
    WEFT_UNUSED static inline void name##_destroy(name *channel)                                \
    {                                                                                           \
        weft_channel_destroy(&channel->base);                                                   \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_send(name *channel, type item, weft_time deadline)     \
    {                                                                                           \
        return weft_channel_send(&channel->base, &item, sizeof(type), deadline);                \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_receive(name *channel, type *item, weft_time deadline) \
    {                                                                                           \
        return weft_channel_receive(&channel->base, (void *)item, sizeof(type), deadline);      \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_try_send(name *channel, type item)                     \
    {                                                                                           \
        return weft_channel_try_send(&channel->base, &item, sizeof(type));                      \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_try_receive(name *channel, type *item)                 \
    {                                                                                           \
        return weft_channel_try_receive(&channel->base, (void *)item, sizeof(type));            \
    }                                                                                           \
    WEFT_UNUSED static inline void name##_close(name *channel)                                  \
    {                                                                                           \
        weft_channel_close(&channel->base);                                                     \
    }                                                                                           \
    WEFT_UNUSED static inline size_t name##_length(name *channel)                               \
    {                                                                                           \
        return weft_channel_length(&channel->base);                                             \
    }

#ifdef __cplusplus
}
#endif

#endif
