/* SPDX-License-Identifier: MIT */
/* Waiting for the first of several sends, receives, timers, futures and descriptors. */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include "base.h"
#include "channel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_SELECT_SEND = 1, /* of `*item` */
    WEFT_SELECT_RECEIVE,  /* into `*item` */
    WEFT_SELECT_TIMER,    /* as weft_timer_wait(), with its count in `*item` */
    WEFT_SELECT_FUTURE,   /* as weft_future_await(), with the future's result in `*item` */
    WEFT_SELECT_POLL,     /* as weft_poll_fd(), with the events that hold in `*item`; on io_uring
                             POLLRDHUP may be the only one (docs/limits.md) */
};

/* A descriptor, and the events of poll(2) that are waited for.  What is in `reserved` is the
 * library's while a select waits; it begins as zero. */
typedef struct weft_poll {
    int fd;
    int events;
    uint64_t reserved[27];
} weft_poll;

#define WEFT_POLL_INIT(fd, events) \
    {                              \
        (fd), (events),            \
        {                          \
            0                      \
        }                          \
    }

/* One case of a weft_select().  The macros below make them. */
struct weft_select_case {
    weft_channel *channel; /* NULL: this case is never ready; or a timer, a future, a weft_poll */
    void *item;
    size_t item_size; /* of the channel's values */
    uint32_t kind;
    int32_t result;       /* of the case that has happened */
    uint64_t reserved[6]; /* weft's own during the call */
};

/* `channel` is a weft_channel, or the `base` of a typed one; `item` points to a value, which
 * may be const for a send. */
#define WEFT_SEND_CASE(channel, item)                                              \
    {                                                                              \
        (channel), (void *)(uintptr_t)(item), sizeof *(item), WEFT_SELECT_SEND, 0, \
        {                                                                          \
            0, 0, 0, 0, 0, 0                                                       \
        }                                                                          \
    }

#define WEFT_RECEIVE_CASE(channel, item)                           \
    {                                                              \
        (channel), (item), sizeof *(item), WEFT_SELECT_RECEIVE, 0, \
        {                                                          \
            0, 0, 0, 0, 0, 0                                       \
        }                                                          \
    }

/* `timer` is a weft_timer (weft/timer.h), `count` points to an int64_t. */
#define WEFT_TIMER_CASE(timer, count)                                                    \
    {                                                                                    \
        (weft_channel *)(void *)(timer), (count), sizeof *(count), WEFT_SELECT_TIMER, 0, \
        {                                                                                \
            0, 0, 0, 0, 0, 0                                                             \
        }                                                                                \
    }

/* `future` is a weft_future (weft/future.h), `value` points to an int. */
#define WEFT_FUTURE_CASE(future, value)                                                    \
    {                                                                                      \
        (weft_channel *)(void *)(future), (value), sizeof *(value), WEFT_SELECT_FUTURE, 0, \
        {                                                                                  \
            0, 0, 0, 0, 0, 0                                                               \
        }                                                                                  \
    }

/* `poll` is a weft_poll that no other case has, `held` points to an int. */
#define WEFT_POLL_CASE(poll, held)                                                   \
    {                                                                                \
        (weft_channel *)(void *)(poll), (held), sizeof *(held), WEFT_SELECT_POLL, 0, \
        {                                                                            \
            0, 0, 0, 0, 0, 0                                                         \
        }                                                                            \
    }

/*
 * Do one of several sends and receives, or report that one of several timers has expired, that a
 * future is complete or a descriptor ready: the first that need not wait.  Of those that are ready
 * at the call one is taken at random, each as likely as any other, wherever it stands among the
 * cases; so is one of several that have waited for the same, such as to receive from one channel.
 * All others have not happened.
 *
 * A case on a closed channel is ready: it happens with the result -EPIPE (send) or, once the buffer
 * is empty, -ENODATA (receive).  So is one on a timer that is not armed, or is cancelled meanwhile:
 * -ENODATA; and one on a descriptor that cannot be polled: -EBADF.  The same channel may be in
 * several cases; a select does not meet itself.  With no case, or none that has an object, the call
 * waits for its deadline.
 *
 * The case of a future has the result 0, and `*item` what its fiber returned or weft_future_set()
 * gave; an error there counts as read.  A future that nobody else sets is a way to tell any number
 * of selects to stop.
 *
 * A descriptor whose events did not come first is not polled any more when the call returns, so it
 * may be closed then.  Each that is waited for costs an operation, and one more to take it back.
 *
 * The call takes the locks of all channels, timers and futures when it has to wait; it puts them
 * into order, in a time that grows with the square of their number.
 *
 * Returns   the index of the case that has happened, whose `result` is 0 or as above; or a negative
 *           errno, and then none has.
 * Deadline  absolute; with one that has passed the call succeeds if a case is ready: 0 is the
 *           deadline for those who would rather do something else than wait.
 * Context   any fiber, or any thread, which blocks; with descriptors a fiber.
 * Switches  if it has to wait.
 * Cancel    -ECANCELED, and no case has happened; also if one was ready.
 * Errors    -ETIMEDOUT, -ECANCELED, -EPERM (descriptors on a plain thread).
 */
WEFT_API WEFT_MUST_USE int weft_select(struct weft_select_case *cases, unsigned count,
                                       weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
