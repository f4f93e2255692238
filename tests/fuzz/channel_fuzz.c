/* SPDX-License-Identifier: MIT */
/*
 * Two channels, with and without a buffer, and selects over both: what is in the buffers, and who
 * waits for what.
 *
 * A result says which case it was, whether the channel was closed, and which value came.
 */
#include "fuzz.h"

#include <errno.h>

enum kind { SEND, RECEIVE, TRY_SEND, TRY_RECEIVE, SELECT, CLOSE, KINDS };

enum {
    CHANNELS = 2,
    CAPACITY_MAX = 2,
    CASES_MAX = 3,
    WAITS_MAX = FUZZ_ACTORS * CASES_MAX,
    CASE = 100000,  /* times the number of the case */
    CLOSED = 50000, /* it was closed; else the value that was received */
};

struct want { /* one case of a select, or a call of its own */
    bool is_send;
    unsigned channel;
    int value; /* to send */
};

struct wait {
    unsigned actor, number; /* of the case */
};

static weft_channel channels[CHANNELS];
static int buffers[CHANNELS][CAPACITY_MAX];
static int next_value;
static struct {
    struct {
        unsigned capacity, length, waits;
        int values[CAPACITY_MAX];
        bool is_closed;
        struct wait queue[WAITS_MAX];
    } channels[CHANNELS];
    struct {
        unsigned count;
        struct want wants[CASES_MAX];
        unsigned choices; /* a bit for each case that may happen */
    } calls[FUZZ_ACTORS];
} model;

static void begin(unsigned byte)
{
    next_value = 1;
    for (unsigned i = 0; i < CHANNELS; i++) {
        unsigned capacity = (i == 0 ? byte : byte / 3) % (CAPACITY_MAX + 1);

        FUZZ_CHECK(weft_channel_init(&channels[i], sizeof(int), capacity > 0 ? buffers[i] : NULL,
                                     capacity) == 0);
        model.channels[i].capacity = capacity;
        model.channels[i].length = model.channels[i].waits = 0;
        model.channels[i].is_closed = false;
    }
}

/* The wants of an operation: what is sent has a value of its own.  No two cases of a select want
 * the same of the same channel: the object might choose either. */
static void decode(const struct fuzz_op *op)
{
    unsigned way = op->arg / CASES_MAX, step = way / 4 % 2 == 0 ? 1 : 3;

    model.calls[op->actor].count = op->kind == SELECT ? 1 + op->arg % CASES_MAX : 1;
    for (unsigned i = 0; i < CASES_MAX; i++, way += step) {
        struct want *want = &model.calls[op->actor].wants[i];

        want->is_send = op->kind == SELECT ? way / 2 % 2 != 0
                                           : op->kind == SEND || op->kind == TRY_SEND;
        want->channel = op->kind == SELECT ? way % CHANNELS : op->arg % CHANNELS;
        want->value = next_value++;
    }
}

static int result_of(unsigned number, bool is_closed, int value)
{
    return (int)number * CASE + (is_closed ? CLOSED : value);
}

static int select_case(const struct fuzz_op *op)
{
    struct weft_select_case cases[CASES_MAX];
    int values[CASES_MAX] = {0};
    unsigned count = model.calls[op->actor].count;
    int index;

    for (unsigned i = 0; i < count; i++) {
        const struct want *want = &model.calls[op->actor].wants[i];
        weft_channel *channel = &channels[want->channel];

        values[i] = want->is_send ? want->value : 0;
        if (want->is_send)
            cases[i] = (struct weft_select_case)WEFT_SEND_CASE(channel, &values[i]);
        else
            cases[i] = (struct weft_select_case)WEFT_RECEIVE_CASE(channel, &values[i]);
    }
    index = weft_select(cases, count, op->deadline);
    if (index < 0)
        return index;
    if (cases[index].result != 0)
        FUZZ_CHECK(cases[index].result ==
                   (model.calls[op->actor].wants[index].is_send ? -EPIPE : -ENODATA));
    return result_of((unsigned)index, cases[index].result != 0,
                     model.calls[op->actor].wants[index].is_send ? 0 : values[index]);
}

static int perform(const struct fuzz_op *op)
{
    const struct want *want = &model.calls[op->actor].wants[0];
    weft_channel *channel = &channels[want->channel];
    int value = want->value, error;

    if (op->kind == SELECT)
        return select_case(op);
    if (op->kind == CLOSE) {
        weft_channel_close(channel);
        return 0;
    }
    if (op->kind == SEND || op->kind == TRY_SEND) {
        error = op->kind == SEND ? weft_channel_send(channel, &value, sizeof value, op->deadline)
                                 : weft_channel_try_send(channel, &value, sizeof value);
        return error == -EPIPE ? CLOSED : error;
    }
    value = 0;
    error = op->kind == RECEIVE ? weft_channel_receive(channel, &value, sizeof value, op->deadline)
                                : weft_channel_try_receive(channel, &value, sizeof value);
    return error == -ENODATA ? CLOSED : error != 0 ? error : value;
}

static const struct want *want_of(const struct wait *wait)
{
    return &model.calls[wait->actor].wants[wait->number];
}

/* The first that waits on the other side, but not the actor itself; or NULL. */
static struct wait *find_partner(unsigned channel, bool is_send, unsigned actor)
{
    for (unsigned i = 0; i < model.channels[channel].waits; i++) {
        struct wait *wait = &model.channels[channel].queue[i];

        if (want_of(wait)->is_send != is_send && wait->actor != actor)
            return wait;
    }
    return NULL;
}

static void forget_waits(unsigned actor)
{
    for (unsigned c = 0; c < CHANNELS; c++) {
        unsigned kept = 0;

        for (unsigned i = 0; i < model.channels[c].waits; i++)
            if (model.channels[c].queue[i].actor != actor)
                model.channels[c].queue[kept++] = model.channels[c].queue[i];
        model.channels[c].waits = kept;
    }
}

static void end_wait(struct wait wait, int value)
{
    forget_waits(wait.actor);
    fuzz_return(wait.actor, result_of(wait.number, false, value));
}

static bool is_ready(unsigned actor, const struct want *want)
{
    unsigned c = want->channel;

    if (model.channels[c].is_closed || find_partner(c, want->is_send, actor) != NULL)
        return true;
    return want->is_send ? model.channels[c].length < model.channels[c].capacity
                         : model.channels[c].length > 0;
}

static void put(unsigned c, int value)
{
    model.channels[c].values[model.channels[c].length++] = value;
}

static int take(unsigned c)
{
    int value = model.channels[c].values[0];

    model.channels[c].values[0] = model.channels[c].values[1];
    model.channels[c].length--;
    return value;
}

/* The case happens: what it gives, and what it does to the others. */
static int happen(unsigned actor, unsigned number)
{
    const struct want *want = &model.calls[actor].wants[number];
    unsigned c = want->channel;
    struct wait *partner = find_partner(c, want->is_send, actor);
    int value;

    FUZZ_CHECK(is_ready(actor, want));
    if (want->is_send && model.channels[c].is_closed)
        return result_of(number, true, 0);
    if (want->is_send) {
        if (partner != NULL)
            end_wait(*partner, want->value);
        else
            put(c, want->value);
        return result_of(number, false, 0);
    }
    if (model.channels[c].length == 0 && partner == NULL)
        return result_of(number, true, 0);
    if (partner != NULL) { /* its value comes last */
        value = want_of(partner)->value;
        if (model.channels[c].length > 0) {
            int first = take(c);

            put(c, value);
            value = first;
        }
        end_wait(*partner, 0);
        return result_of(number, false, value);
    }
    return result_of(number, false, take(c));
}

static void close_channel(unsigned c)
{
    model.channels[c].is_closed = true;
    while (model.channels[c].waits > 0) {
        unsigned actor = model.channels[c].queue[0].actor;
        unsigned choices = 0;

        for (unsigned i = 0; i < model.channels[c].waits; i++)
            if (model.channels[c].queue[i].actor == actor)
                choices |= 1U << model.channels[c].queue[i].number;
        forget_waits(actor);
        model.calls[actor].choices = choices;
        fuzz_return_any(actor);
    }
}

static void chosen(unsigned actor, int result)
{
    unsigned number = (unsigned)result / CASE;

    FUZZ_CHECK(result >= 0 && number < CASES_MAX);
    FUZZ_CHECK((model.calls[actor].choices & 1U << number) != 0);
    FUZZ_CHECK(happen(actor, number) == result);
}

static void update(const struct fuzz_op *op)
{
    unsigned choices = 0;

    decode(op);
    if (op->kind == CLOSE) {
        fuzz_return(op->actor, 0);
        close_channel(op->arg % CHANNELS);
        return;
    }
    if (op->mode == FUZZ_CANCELLED && op->kind != TRY_SEND && op->kind != TRY_RECEIVE) {
        fuzz_return(op->actor, -ECANCELED);
        return;
    }
    for (unsigned i = 0; i < model.calls[op->actor].count; i++)
        if (is_ready(op->actor, &model.calls[op->actor].wants[i]))
            choices |= 1U << i;
    model.calls[op->actor].choices = choices;
    if (choices != 0)
        fuzz_return_any(op->actor);
    else if (op->kind == TRY_SEND || op->kind == TRY_RECEIVE)
        fuzz_return(op->actor, -EAGAIN);
    else if (fuzz_waits(op))
        for (unsigned i = 0; i < model.calls[op->actor].count; i++) {
            unsigned c = model.calls[op->actor].wants[i].channel;

            model.channels[c].queue[model.channels[c].waits++] = (struct wait){op->actor, i};
        }
}

static void withdraw(unsigned actor, int error)
{
    forget_waits(actor);
    fuzz_return(actor, error);
}

static void check(void)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        FUZZ_CHECK(weft_channel_length(&channels[i]) == model.channels[i].length);
}

static void end(void)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        weft_channel_destroy(&channels[i]);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .chosen = chosen,
    .check = check,
    .end = end,
};
