/* SPDX-License-Identifier: MIT */
/*
 * Selects over any mix of channels, futures, timers and descriptors, several at once, while what
 * they wait for comes, closes, and is renewed.
 *
 * An actor has a list of the cases that it wants, which it changes one per operation, and selects
 * over that list.
 * Timers have passed long ago or are far away, but for those that an operation has expire while
 * somebody waits.
 */
#include "select_objects.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum kind { LIST, SELECT, FAIR, SEND, RECEIVE, CLOSE, REOPEN, FUTURE, TIMER, DESCRIPTOR, KINDS };

enum {
    EXPIRATIONS_MAX = 2, /* in an input: each costs the time of a few ticks */
    FAIR_ROUNDS = 128,   /* of four cases that are ready, none is left out in so many */
};

struct list {
    unsigned count;
    enum item items[CHANNEL_CASES];
};

/* What the actors begin with; the last one has none. */
static const struct list first_lists[FUZZ_ACTORS] = {
    {4, {SEND_ITEM, RECEIVE_ITEM + 2, TIMER_ITEM, FUTURE_ITEM}},
    {4, {RECEIVE_ITEM, FUTURE_ITEM, COUNT_IN_ITEM, PIPE_ITEM}},
    {3, {PIPE_ITEM, COUNT_IN_ITEM, TIMER_ITEM}},
    {4, {RECEIVE_ITEM, SEND_ITEM + 2, FUTURE_ITEM + 1, TIMER_ITEM + 1}},
};

static weft_poll polls[FUZZ_ACTORS][CHANNEL_CASES];
static struct {
    struct list lists[FUZZ_ACTORS];
    struct {
        bool is_done;
        int result;
    } futures[FUTURES];
    struct {
        bool is_armed;
        bool is_far;
        bool is_periodic;
        unsigned woken;   /* those that an expiration has woken, and not all are told */
        unsigned reports; /* of it */
    } timers[TIMERS];
    unsigned expirations;
    enum { EMPTY, SOME, BRIMFUL } level; /* of the counter */
    bool has_data, has_hung_up;          /* the pipe */
} model;

static void begin(unsigned byte)
{
    unsigned armed = byte / 9; /* what the channels leave of it */

    memset(&model, 0, sizeof model);
    memcpy(model.lists, first_lists, sizeof model.lists);
    channels_begin(byte);
    objects_begin(armed);
    for (unsigned i = 0; i < TIMERS; i++)
        model.timers[i].is_armed = model.timers[i].is_far = (armed & 1U << i) != 0;
}

static void end(void)
{
    channels_end();
    objects_end();
}

static enum item item_of(unsigned actor, unsigned number)
{
    return model.lists[actor].items[number];
}

/* The events that hold. */
static int events_of(enum item item)
{
    if (item == COUNT_IN_ITEM)
        return model.level != EMPTY ? POLLIN : 0;
    if (item == COUNT_OUT_ITEM)
        return model.level != BRIMFUL ? POLLOUT : 0;
    return (model.has_data ? POLLIN : 0) | (model.has_hung_up ? POLLHUP : 0);
}

static bool is_ready(unsigned actor, unsigned number)
{
    enum item item = item_of(actor, number);

    if (channel_calls[actor].wants[number].kind != WANT_OTHER)
        return channel_is_ready(actor, number);
    if (is_future(item))
        return model.futures[item - FUTURE_ITEM].is_done;
    if (is_timer(item))
        return !model.timers[item - TIMER_ITEM].is_armed || !model.timers[item - TIMER_ITEM].is_far;
    if (item == NOTHING_ITEM)
        return false;
    return item == BAD_ITEM || events_of(item) != 0;
}

/* Taking the case leaves all as it is. */
static bool is_lasting(unsigned actor, unsigned number)
{
    enum item item = item_of(actor, number);

    if (item < CHANNEL_ITEMS)
        return channel_is_closed(item / 2) && channel_calls[actor].wants[number].kind == WANT_SEND;
    return !is_timer(item) || !model.timers[item - TIMER_ITEM].is_armed;
}

/* The first case about the same side of a channel counts: the object might choose either. */
static bool is_listed_before(unsigned actor, unsigned number)
{
    for (unsigned i = 0; i < number; i++)
        if (item_of(actor, i) == item_of(actor, number))
            return true;
    return false;
}

static void make_wants(const struct fuzz_op *op)
{
    struct call *call = &channel_calls[op->actor];
    bool is_select = op->kind == SELECT || op->kind == FAIR;

    call->count = is_select ? model.lists[op->actor].count : 1;
    for (unsigned i = 0; i < call->count; i++) {
        enum item item = is_select ? item_of(op->actor, i)
                                   : 2 * (op->arg % CHANNELS) + (op->kind == RECEIVE);

        if (item < CHANNEL_ITEMS && is_select && is_listed_before(op->actor, i))
            item = model.lists[op->actor].items[i] = NOTHING_ITEM;
        call->wants[i].kind = item >= CHANNEL_ITEMS ? WANT_OTHER
                              : item % 2 == 0       ? WANT_SEND
                                                    : WANT_RECEIVE;
        call->wants[i].object = item < CHANNEL_ITEMS ? item / 2 : 0;
        call->wants[i].value = channel_new_value();
    }
}

/* Bits: the cases that are ready. */
static unsigned ready_cases(unsigned actor)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < channel_calls[actor].count; i++)
        if (is_ready(actor, i))
            ready |= 1U << i;
    return ready;
}

static bool is_periodic(const struct fuzz_op *op)
{
    return timer_action_of(op) == ARM_PERIODIC;
}

/* Bits: the cases of a waiting actor that are about this. */
static unsigned cases_with(unsigned actor, enum item item)
{
    unsigned found = 0;

    for (unsigned i = 0; channel_calls[actor].waits && i < channel_calls[actor].count; i++)
        if (channel_calls[actor].wants[i].kind == WANT_OTHER && item_of(actor, i) == item)
            found |= 1U << i;
    return found;
}

static unsigned count_waiters(enum item item)
{
    unsigned count = 0;

    for (unsigned i = 0; i < FUZZ_ACTORS; i++)
        count += cases_with(i, item) != 0;
    return count;
}

/* Of several that wait for a timer that goes on, any may be told of its expiration; the model knows
 * who only where the others are told that there is none. */
static bool is_timer_action_allowed(const struct fuzz_op *op)
{
    unsigned waiters = count_waiters(TIMER_ITEM + op->arg % TIMERS);

    if (timer_action_of(op) == EXPIRE)
        return waiters > 0 && model.expirations++ < EXPIRATIONS_MAX;
    return waiters < 2 || (!is_periodic(op) && (timer_action_of(op) != MOVE ||
                                                !model.timers[op->arg % TIMERS].is_periodic));
}

static bool is_descriptor_action_allowed(enum descriptor_action action)
{
    if (action == READ)
        return model.has_data;
    if (action == WRITE)
        return !model.has_data && !model.has_hung_up;
    return action != HANG_UP || !model.has_hung_up;
}

static bool is_allowed(const struct fuzz_op *op)
{
    if (op->kind == REOPEN)
        return channel_is_closed(op->arg % CHANNELS);
    if (op->kind == DESCRIPTOR)
        return is_descriptor_action_allowed(descriptor_action_of(op));
    if (op->kind == FUTURE && future_action_of(op) == RENEW)
        return model.futures[op->arg % FUTURES].is_done;
    if (op->kind == TIMER)
        return is_timer_action_allowed(op);
    if (op->kind != FAIR)
        return true;
    make_wants(op);
    for (unsigned i = 0; i < channel_calls[op->actor].count; i++)
        if (is_ready(op->actor, i) && !is_lasting(op->actor, i))
            return false;
    return true;
}

static void make_case(unsigned actor, unsigned number, void *room, struct weft_select_case *made)
{
    object_case(item_of(actor, number), &polls[actor][number], room, made);
}

/* Bits: the cases that have been chosen some time. */
static int select_often(unsigned actor)
{
    int seen = 0;

    for (unsigned i = 0; i < FAIR_ROUNDS; i++) {
        int result = channel_select(actor, 0, make_case);

        if (result < 0)
            return result;
        seen |= 1 << result / channel_result(1, false, 0);
    }
    return seen;
}

static int perform(const struct fuzz_op *op)
{
    unsigned channel = op->arg % CHANNELS;

    switch ((enum kind)op->kind) {
    case SELECT:
        return channel_select(op->actor, op->deadline, make_case);
    case FAIR:
        return select_often(op->actor);
    case SEND:
        return channel_send(op->actor, op->deadline);
    case RECEIVE:
        return channel_receive(op->actor, op->deadline);
    case CLOSE:
        weft_channel_close(&channels[channel]);
        return 0;
    case REOPEN:
        weft_channel_destroy(&channels[channel]);
        channel_renew(channel);
        return 0;
    case FUTURE:
        return act_on_future(op);
    case TIMER:
        return act_on_timer(op);
    case DESCRIPTOR:
        return act_on_descriptor(op);
    default:
        return 0;
    }
}

/* All that wait for it look, or are told. */
static unsigned wake(enum item item)
{
    unsigned woken = 0;

    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        unsigned choices = cases_with(i, item);

        if (choices != 0)
            channel_choose(i, choices);
        woken += choices != 0;
    }
    return woken;
}

static int happen_to_timer(unsigned t, unsigned number, int result)
{
    bool is_report = true;

    if (model.timers[t].woken > 0) {
        model.timers[t].woken--;
        is_report = result == channel_result(number, false, 1);
        if (is_report)
            FUZZ_CHECK(model.timers[t].reports++ == 0);
        else
            FUZZ_CHECK(model.timers[t].woken + model.timers[t].reports > 0);
        if (model.timers[t].woken > 0)
            return channel_result(number, !is_report, 1);
    } else {
        is_report = model.timers[t].is_armed;
    }
    model.timers[t].reports = 0;
    model.timers[t].is_far = true;
    model.timers[t].is_armed = model.timers[t].is_armed && model.timers[t].is_periodic;
    return channel_result(number, !is_report, 1);
}

static void chosen(unsigned actor, int result)
{
    unsigned number = channel_chosen(actor, result);
    enum item item = item_of(actor, number);
    int expected;

    if (channel_calls[actor].wants[number].kind != WANT_OTHER)
        expected = channel_happen(actor, number);
    else if (is_future(item))
        expected = channel_result(number, false, model.futures[item - FUTURE_ITEM].result);
    else if (is_timer(item))
        expected = happen_to_timer(item - TIMER_ITEM, number, result);
    else
        expected = channel_result(number, item == BAD_ITEM, events_of(item));
    FUZZ_CHECK(result == expected);
}

static void update_list(const struct fuzz_op *op)
{
    unsigned choice = op->arg % (ITEMS + 1), *count = &model.lists[op->actor].count;

    fuzz_return(op->actor, 0);
    if (choice == ITEMS || *count == CHANNEL_CASES)
        *count = 0;
    if (choice < ITEMS)
        model.lists[op->actor].items[(*count)++] = choice;
}

static void update_future(const struct fuzz_op *op)
{
    unsigned number = op->arg % FUTURES;
    enum future_action action = future_action_of(op);
    bool was_done = model.futures[number].is_done;

    fuzz_return(op->actor, was_done && (action == SET || action == FAIL) ? -EALREADY : 0);
    model.futures[number].is_done = action != RENEW;
    if (was_done)
        return;
    model.futures[number].result = action == CANCEL ? -ECANCELED : future_result(op);
    (void)wake(FUTURE_ITEM + number);
}

static void update_timer(const struct fuzz_op *op)
{
    unsigned t = op->arg % TIMERS;
    enum timer_action action = timer_action_of(op);
    bool was_armed = model.timers[t].is_armed, is_move = action == MOVE || action == MOVE_FAR;

    fuzz_return(op->actor, action == DISARM ? was_armed : is_move && !was_armed ? -ENODATA : 0);
    if (is_move && !was_armed)
        return;
    model.timers[t].is_armed = action != DISARM;
    model.timers[t].is_far = action == ARM_FAR || action == MOVE_FAR;
    if (!is_move)
        model.timers[t].is_periodic = action == ARM_PERIODIC;
    if (action == DISARM)
        (void)wake(TIMER_ITEM + t);
    else if (!model.timers[t].is_far)
        model.timers[t].woken = wake(TIMER_ITEM + t);
}

static void update_descriptor(const struct fuzz_op *op)
{
    fuzz_return(op->actor, 0);
    switch (descriptor_action_of(op)) {
    case COUNT:
        model.level = model.level == EMPTY ? SOME : model.level;
        break;
    case FILL:
        model.level = BRIMFUL;
        break;
    case COUNT_DOWN:
        model.level = EMPTY;
        break;
    case HANG_UP:
        model.has_hung_up = true;
        break;
    default:
        model.has_data = descriptor_action_of(op) == WRITE;
    }
    for (enum item item = COUNT_IN_ITEM; item <= PIPE_ITEM; item++)
        if (events_of(item) != 0)
            (void)wake(item);
}

/* A select, a send or a receive. */
static void update_call(const struct fuzz_op *op)
{
    unsigned ready;

    make_wants(op);
    ready = ready_cases(op->actor);
    if (op->mode == FUZZ_CANCELLED)
        fuzz_return(op->actor, -ECANCELED);
    else if (op->kind == FAIR)
        fuzz_return(op->actor, ready != 0 ? (int)ready : -ETIMEDOUT);
    else if (ready != 0)
        channel_choose(op->actor, ready);
    else if (fuzz_waits(op))
        channel_wait(op->actor);
}

static void update(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case LIST:
        update_list(op);
        break;
    case CLOSE:
        fuzz_return(op->actor, 0);
        channel_close(op->arg % CHANNELS);
        break;
    case REOPEN:
        fuzz_return(op->actor, 0);
        channel_model_renewed(op->arg % CHANNELS);
        break;
    case FUTURE:
        update_future(op);
        break;
    case TIMER:
        update_timer(op);
        break;
    case DESCRIPTOR:
        update_descriptor(op);
        break;
    default:
        update_call(op);
    }
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = channel_withdraw,
    .chosen = chosen,
    .check = channels_check,
    .end = end,
};
