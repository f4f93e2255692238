/* SPDX-License-Identifier: MIT */
/* What select_fuzz.c selects over beside channels, and what is done to it. */
#ifndef WEFT_FUZZ_SELECT_OBJECTS_H
#define WEFT_FUZZ_SELECT_OBJECTS_H

#include "channels.h"

enum { FUTURES = 2, TIMERS = 2 };

/* What can be listed; a descriptor with what is waited for. */
enum item {
    SEND_ITEM, /* on the first channel; those of the next follow */
    RECEIVE_ITEM,
    CHANNEL_ITEMS = 2 * CHANNELS,
    FUTURE_ITEM = CHANNEL_ITEMS,
    TIMER_ITEM = FUTURE_ITEM + FUTURES,
    COUNT_IN_ITEM = TIMER_ITEM + TIMERS,
    COUNT_OUT_ITEM,
    PIPE_ITEM,
    BAD_ITEM,
    NOTHING_ITEM,
    ITEMS,
};

enum future_action { SET, FAIL, CANCEL, RENEW, FUTURE_ACTIONS };
enum timer_action { ARM, ARM_FAR, ARM_PERIODIC, MOVE, MOVE_FAR, DISARM, EXPIRE, TIMER_ACTIONS };
enum descriptor_action { COUNT, FILL, COUNT_DOWN, WRITE, READ, HANG_UP, DESCRIPTOR_ACTIONS };

/* Bits: the timers that are armed for a time that is far away. */
void objects_begin(unsigned armed);
void objects_end(void);

static inline bool is_future(enum item item)
{
    return item >= FUTURE_ITEM && item < TIMER_ITEM;
}

static inline bool is_timer(enum item item)
{
    return item >= TIMER_ITEM && item < COUNT_IN_ITEM;
}

/* Of no channel.  What comes goes to `room`. */
void object_case(enum item item, weft_poll *poll, void *room, struct weft_select_case *made);

/* In the actor: what is to be done, and to which, is in the argument. */
enum future_action future_action_of(const struct fuzz_op *op);
enum timer_action timer_action_of(const struct fuzz_op *op);
enum descriptor_action descriptor_action_of(const struct fuzz_op *op);
int future_result(const struct fuzz_op *op);
int act_on_future(const struct fuzz_op *op);
int act_on_timer(const struct fuzz_op *op);
int act_on_descriptor(const struct fuzz_op *op);

#endif
