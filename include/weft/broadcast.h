/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts: values of one type, of which every receiver sees each.
 *
 *   int buffer[64];
 *   weft_broadcast news = WEFT_BROADCAST_INIT(int, buffer, 64);
 *   weft_broadcast_receiver receiver;
 *
 *   weft_broadcast_subscribe(&news, &receiver);      sees what is sent from now on
 *   while ((error = weft_broadcast_receive(&receiver, &value, sizeof value, deadline)) == 0)
 *       ...
 *
 * Sending never waits: the last `capacity` values are kept, and a new one takes the place of the
 * oldest.  A receiver that has fallen further behind is told by -EOVERFLOW how many it has missed,
 * and goes on with the oldest that is kept.  So one that is slow holds up neither the sender nor
 * the others.  Where nothing may be lost, take a channel for each receiver instead.
 *
 * A receiver is but a position: it costs nothing while it is not used, need not be unsubscribed,
 * and may be copied to read on from the same place twice.  One fiber or thread uses it at a time.
 *
 * Most programs define their types of broadcasts by WEFT_BROADCAST_DEFINE() below.
 */
#ifndef WEFT_BROADCAST_H
#define WEFT_BROADCAST_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_broadcast {
    uint32_t item_size; /* 0: not initialised */
    uint32_t capacity;
    void *buffer;         /* of capacity * item_size bytes */
    uint64_t reserved[6]; /* zero */
} weft_broadcast;

#define WEFT_BROADCAST_INIT(type, buffer, capacity)             \
    {                                                           \
        (uint32_t)sizeof(type), (uint32_t)(capacity), (buffer), \
        {                                                       \
            0, 0, 0, 0, 0, 0                                    \
        }                                                       \
    }

typedef struct weft_broadcast_receiver {
    weft_broadcast *broadcast;
    uint64_t next;   /* the library's: the number of the value that it receives next */
    uint64_t missed; /* how many it has missed, by the last -EOVERFLOW */
    uint64_t reserved;
} weft_broadcast_receiver;

/*
 * Make a broadcast in the caller's memory, which keeps `capacity` values in a buffer of
 * `capacity * item_size` bytes.  Values are copied, so `buffer` needs no alignment.
 *
 * Returns   0, or a negative errno with nothing made.
 * Context   any thread, any fiber; nobody uses the broadcast yet.
 * Switches  never.
 * Errors    -EINVAL (no buffer, or `item_size` or `capacity` is 0 or more than 2^32 - 1).
 */
WEFT_API WEFT_MUST_USE int weft_broadcast_init(weft_broadcast *broadcast, size_t item_size,
                                               void *buffer, size_t capacity);

/*
 * End the use of a broadcast.  What is in the buffer is forgotten.  Later uses abort, and so does a
 * call while somebody waits.
 *
 * Returns   nothing.
 * Context   any thread, any fiber; nobody else uses the broadcast, and nobody will.
 * Switches  never.
 */
WEFT_API void weft_broadcast_destroy(weft_broadcast *broadcast);

/*
 * Let `receiver` receive what is sent from now on.
 *
 * Returns   nothing.  Aborts if the broadcast is not initialised.
 * Context   any thread, any fiber.
 * Switches  never.
 */
WEFT_API void weft_broadcast_subscribe(weft_broadcast *broadcast,
                                       weft_broadcast_receiver *receiver);

/*
 * Send a copy of `*item` to all receivers.  `item_size` is that of the broadcast: another one
 * aborts.  Receivers that wait are woken, in the order of their waits.
 *
 * Returns   0, also if there is no receiver; or -EPIPE.
 * Context   any fiber, any thread.
 * Switches  never.
 * Cancel    none: a cancelled fiber sends as well.
 * Errors    -EPIPE (closed).
 */
WEFT_API WEFT_MUST_USE int weft_broadcast_send(weft_broadcast *broadcast, const void *item,
                                               size_t item_size);

/*
 * Receive the next value into `*item`.  `item_size` is that of the broadcast: another one aborts.
 *
 * Returns   0, or a negative errno with `*item` untouched.  -EOVERFLOW: `receiver->missed` values
 *           are gone; the next call gives the oldest that is left.  -ENODATA is the end: the
 *           broadcast is closed, and the receiver has seen the last value.
 * Deadline  absolute; with one that has passed the call succeeds if it need not wait.
 * Context   any fiber, or any thread, which blocks.
 * Switches  if it has to wait.
 * Cancel    -ECANCELED, and the receiver stays where it is; also if it need not wait.
 * Errors    -EOVERFLOW, -ENODATA, -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_broadcast_receive(weft_broadcast_receiver *receiver, void *item,
                                                  size_t item_size, weft_time deadline);

/*
 * weft_broadcast_receive() if it need not wait, for cancelled fibers too.
 *
 * Returns   0, or a negative errno with `*item` untouched.
 * Context   any fiber, any thread.
 * Switches  never.
 * Errors    -EAGAIN (it would have to wait), -EOVERFLOW, -ENODATA.
 */
WEFT_API WEFT_MUST_USE int weft_broadcast_try_receive(weft_broadcast_receiver *receiver, void *item,
                                                      size_t item_size);

/*
 * Close a broadcast: nothing more can be sent, and each receiver comes to the end when it has seen
 * what was.  Closing it again changes nothing.
 *
 * Returns   nothing.
 * Context   any fiber, any thread.
 * Switches  never.
 */
WEFT_API void weft_broadcast_close(weft_broadcast *broadcast);

/*
 * Defines `name`, a type of broadcasts of `type`, with functions that take and give values of that
 * type and no other.  `type` is copied by assignment and has a name of one or more plain words
 * (typedef others).  No semicolon follows.
 *
 *   WEFT_BROADCAST_DEFINE(news, int)
 *
 *   news_init(&broadcast, buffer, 64)
 *   news_subscribe(&broadcast, &receiver)          a news_receiver
 *   news_send(&broadcast, 7)                       and so on: the calls above
 */
#define WEFT_BROADCAST_DEFINE(name, type)                                                       \
    typedef struct name {                                                                       \
        weft_broadcast base;                                                                    \
    } name;                                                                                     \
    typedef struct name##_receiver {                                                            \
        weft_broadcast_receiver base;                                                           \
    } name##_receiver;                                                                          \
    WEFT_UNUSED static inline int name##_init(name *broadcast, type *buffer, size_t capacity)   \
    {                                                                                           \
        return weft_broadcast_init(&broadcast->base, sizeof(type), (void *)buffer, capacity);   \
    }                                                                                           \
    WEFT_UNUSED static inline void name##_destroy(name *broadcast)                              \
    {                                                                                           \
        weft_broadcast_destroy(&broadcast->base);                                               \
    }                                                                                           \
    WEFT_UNUSED static inline void name##_subscribe(name *broadcast, name##_receiver *receiver) \
    {                                                                                           \
        weft_broadcast_subscribe(&broadcast->base, &receiver->base);                            \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_send(name *broadcast, type item)                       \
    {                                                                                           \
        return weft_broadcast_send(&broadcast->base, (const void *)&item, sizeof(type));        \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_receive(name##_receiver *receiver, type *item,         \
                                                 weft_time deadline)                            \
    {                                                                                           \
        return weft_broadcast_receive(&receiver->base, (void *)item, sizeof(type), deadline);   \
    }                                                                                           \
    WEFT_UNUSED static inline int name##_try_receive(name##_receiver *receiver, type *item)     \
    {                                                                                           \
        return weft_broadcast_try_receive(&receiver->base, (void *)item, sizeof(type));         \
    }                                                                                           \
    WEFT_UNUSED static inline void name##_close(name *broadcast)                                \
    {                                                                                           \
        weft_broadcast_close(&broadcast->base);                                                 \
    }

#ifdef __cplusplus
}
#endif

#endif
