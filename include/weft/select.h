/* SPDX-License-Identifier: MIT */
/* Waiting for the first of several sends, receives and timers. */
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
};

/* One case of a weft_select().  WEFT_SEND_CASE(), WEFT_RECEIVE_CASE() and WEFT_TIMER_CASE() make
 * them. */
struct weft_select_case {
    weft_channel *channel; /* NULL: this case is never ready; of WEFT_SELECT_TIMER a weft_timer */
    void *item;
    size_t item_size; /* of the channel's values */
    uint32_t kind;
    int32_t result;       /* of the case that has happened */
    uint64_t reserved[6]; /* weft's own during the call */
};

/* `channel` is a weft_channel, or the `base` of a typed one; `item` points to a value. */
#define WEFT_SEND_CASE(channel, item)                           \
    {                                                           \
        (channel), (item), sizeof *(item), WEFT_SELECT_SEND, 0, \
        {                                                       \
            0, 0, 0, 0, 0, 0                                    \
        }                                                       \
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

/*
 * Do one of several sends and receives, or report the expirations of one of several timers: the
 * first that need not wait.  Of those that are ready at once one is taken at random.  All others
 * have not happened.
 *
 * A case on a closed channel is ready: it happens with the result -EPIPE (send) or, once the buffer
 * is empty, -ENODATA (receive).  So is one on a timer that is not armed, or is cancelled meanwhile:
 * -ENODATA.  The same channel may be in several cases; a select does not meet itself.  With no
 * case, or none that has a channel or timer, the call waits for its deadline.
 *
 * The call takes the locks of all channels and timers when it has to wait; it puts them into order,
 * in a time that grows with the square of their number.
 *
 * Returns   the index of the case that has happened, whose `result` is 0 or as above; or a negative
 *           errno, and then none has.
 * Deadline  absolute; with one that has passed the call succeeds if a case is ready: 0 is the
 *           deadline for those who would rather do something else than wait.
 * Context   any fiber, or any thread, which blocks.
 * Switches  if it has to wait.
 * Cancel    -ECANCELED, and no case has happened; also if one was ready.
 * Errors    -ETIMEDOUT, -ECANCELED.
 */
WEFT_API WEFT_MUST_USE int weft_select(struct weft_select_case *cases, unsigned count,
                                       weft_time deadline);

#ifdef __cplusplus
}
#endif

#endif
