/* SPDX-License-Identifier: MIT */
/* See select_objects.h. */
#include "select_objects.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    TICK_NS = 65536, /* of timers: docs/limits.md */
    NO_FD = 1000000, /* more than may be open */
};

#define FAR (INT64_C(1) << 61)
#define FULL UINT64_C(0xfffffffffffffffe) /* of an eventfd: it cannot be written to */

static weft_future futures[FUTURES];
static weft_timer timers[TIMERS];
static int counter = -1; /* an eventfd */
static uint64_t counted;
static int ends[2]; /* of a pipe */

void objects_begin(unsigned armed)
{
    weft_future future = WEFT_FUTURE_INIT;
    weft_timer timer = WEFT_TIMER_INIT;

    for (unsigned i = 0; i < FUTURES; i++)
        futures[i] = future;
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i] = timer;
        if ((armed & 1U << i) != 0)
            FUZZ_CHECK(weft_timer_arm(&timers[i], FAR, 0, WEFT_TIMER_SKIP) == 0);
    }
    if (counter < 0)
        counter = eventfd(0, EFD_NONBLOCK);
    FUZZ_CHECK(counter >= 0 && pipe(ends) == 0);
}

void object_case(enum item item, weft_poll *poll, void *room, struct weft_select_case *made)
{
    weft_poll fresh = WEFT_POLL_INIT(NO_FD, POLLIN);

    if (item == NOTHING_ITEM) {
        *made = (struct weft_select_case)WEFT_RECEIVE_CASE(NULL, (int *)room);
    } else if (is_future(item)) {
        *made = (struct weft_select_case)WEFT_FUTURE_CASE(&futures[item - FUTURE_ITEM],
                                                          (int *)room);
    } else if (is_timer(item)) {
        *made = (struct weft_select_case)WEFT_TIMER_CASE(&timers[item - TIMER_ITEM],
                                                         (int64_t *)room);
    } else {
        *poll = fresh;
        poll->fd = item == BAD_ITEM ? NO_FD : item == PIPE_ITEM ? ends[0] : counter;
        poll->events = item == COUNT_OUT_ITEM ? POLLOUT : POLLIN;
        *made = (struct weft_select_case)WEFT_POLL_CASE(poll, (int *)room);
    }
}

enum future_action future_action_of(const struct fuzz_op *op)
{
    return op->arg / FUTURES % FUTURE_ACTIONS;
}

enum timer_action timer_action_of(const struct fuzz_op *op)
{
    return op->arg / TIMERS % TIMER_ACTIONS;
}

enum descriptor_action descriptor_action_of(const struct fuzz_op *op)
{
    return op->arg % DESCRIPTOR_ACTIONS;
}

static int renew_future(unsigned number)
{
    weft_future fresh = WEFT_FUTURE_INIT;
    int ignored;

    FUZZ_CHECK(weft_future_await(&futures[number], &ignored, 0) == 0);
    weft_future_close(&futures[number]);
    futures[number] = fresh;
    return 0;
}

int future_result(const struct fuzz_op *op)
{
    return future_action_of(op) == SET ? (int)op->arg : -EIO;
}

int act_on_future(const struct fuzz_op *op)
{
    unsigned number = op->arg % FUTURES;

    switch (future_action_of(op)) {
    case CANCEL:
        weft_future_cancel(&futures[number]);
        return 0;
    case RENEW:
        return renew_future(number);
    default:
        return weft_future_set(&futures[number], future_result(op), NULL);
    }
}

static int expire(weft_timer *timer)
{
    weft_time when = weft_now() + TICK_NS;
    int error = weft_timer_arm(timer, when, 0, WEFT_TIMER_SKIP);

    while (weft_now() < when)
        (void)weft_yield();
    return error;
}

int act_on_timer(const struct fuzz_op *op)
{
    weft_timer *timer = &timers[op->arg % TIMERS];

    switch (timer_action_of(op)) {
    case ARM:
        return weft_timer_arm(timer, 1, 0, WEFT_TIMER_SKIP);
    case ARM_FAR:
        return weft_timer_arm(timer, FAR, 0, WEFT_TIMER_SKIP);
    case ARM_PERIODIC:
        return weft_timer_arm(timer, 1, FAR, WEFT_TIMER_BURST);
    case MOVE:
        return weft_timer_move(timer, 1);
    case MOVE_FAR:
        return weft_timer_move(timer, FAR);
    case DISARM:
        return weft_timer_cancel(timer);
    default:
        return expire(timer);
    }
}

static void raise_to(uint64_t level)
{
    uint64_t more = level - counted;

    if (level <= counted)
        return;
    counted = level;
    FUZZ_CHECK(write(counter, &more, sizeof more) == sizeof more);
}

static void count_down(void)
{
    uint64_t old;

    if (counted > 0)
        FUZZ_CHECK(read(counter, &old, sizeof old) == sizeof old && old == counted);
    counted = 0;
}

int act_on_descriptor(const struct fuzz_op *op)
{
    char bytes[4] = {0};

    switch (descriptor_action_of(op)) {
    case COUNT:
        raise_to(1);
        break;
    case FILL:
        raise_to(FULL);
        break;
    case COUNT_DOWN:
        count_down();
        break;
    case WRITE:
        FUZZ_CHECK(write(ends[1], bytes, 1) == 1);
        break;
    case READ:
        FUZZ_CHECK(read(ends[0], bytes, sizeof bytes) == 1);
        break;
    default:
        FUZZ_CHECK(close(ends[1]) == 0);
        ends[1] = -1;
    }
    return 0;
}

void objects_end(void)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        int ignored;

        (void)weft_future_set(&futures[i], 0, NULL);
        FUZZ_CHECK(weft_future_await(&futures[i], &ignored, 0) == 0); /* else the close complains */
        weft_future_close(&futures[i]);
    }
    count_down();
    FUZZ_CHECK(close(ends[0]) == 0 && (ends[1] < 0 || close(ends[1]) == 0));
}
