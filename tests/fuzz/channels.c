/* SPDX-License-Identifier: MIT */
/* See channels.h. */
#include "channels.h"

#include <errno.h>
#include <string.h>

enum {
    CAPACITY_MAX = 2,
    WAITS_MAX = FUZZ_ACTORS * CHANNEL_CASES,
    CASE = 100000, /* times the number of the case */
    UNTOUCHED = 0x5a,
    VALUE_MASK = 0x7fff, /* of errors, too */
};

struct wait {
    unsigned actor, number; /* of the case */
};

struct call channel_calls[FUZZ_ACTORS];
weft_channel channels[CHANNELS];

static int buffers[CHANNELS][CAPACITY_MAX];
static int next_value;
static struct {
    unsigned capacity, length, waits;
    int values[CAPACITY_MAX];
    bool is_closed;
    struct wait queue[WAITS_MAX];
} model[CHANNELS];

void channel_renew(unsigned channel)
{
    unsigned capacity = model[channel].capacity;

    FUZZ_CHECK(weft_channel_init(&channels[channel], sizeof(int),
                                 capacity > 0 ? buffers[channel] : NULL, capacity) == 0);
}

void channel_model_renewed(unsigned channel)
{
    model[channel].length = model[channel].waits = 0;
    model[channel].is_closed = false;
}

void channels_begin(unsigned byte)
{
    next_value = 1;
    memset(channel_calls, 0, sizeof channel_calls);
    for (unsigned i = 0; i < CHANNELS; i++) {
        model[i].capacity = (i == 0 ? byte : byte / 3) % (CAPACITY_MAX + 1);
        channel_model_renewed(i);
        channel_renew(i);
    }
}

void channels_check(void)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        FUZZ_CHECK(weft_channel_length(&channels[i]) == model[i].length);
}

void channels_end(void)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        weft_channel_destroy(&channels[i]);
}

int channel_new_value(void)
{
    return next_value++;
}

int channel_result(unsigned number, bool has_failed, int value)
{
    return (int)number * CASE + (has_failed ? CHANNEL_FAILED : value & VALUE_MASK);
}

int channel_send(unsigned actor, weft_time deadline)
{
    const struct want *want = &channel_calls[actor].wants[0];
    int value = want->value;
    int error = weft_channel_send(&channels[want->object], &value, sizeof value, deadline);

    return error == -EPIPE ? CHANNEL_FAILED : error;
}

int channel_try_send(unsigned actor)
{
    const struct want *want = &channel_calls[actor].wants[0];
    int value = want->value;
    int error = weft_channel_try_send(&channels[want->object], &value, sizeof value);

    return error == -EPIPE ? CHANNEL_FAILED : error;
}

int channel_receive(unsigned actor, weft_time deadline)
{
    const struct want *want = &channel_calls[actor].wants[0];
    int value = 0;
    int error = weft_channel_receive(&channels[want->object], &value, sizeof value, deadline);

    return error == -ENODATA ? CHANNEL_FAILED : error != 0 ? error : value;
}

int channel_try_receive(unsigned actor)
{
    const struct want *want = &channel_calls[actor].wants[0];
    int value = 0;
    int error = weft_channel_try_receive(&channels[want->object], &value, sizeof value);

    return error == -ENODATA ? CHANNEL_FAILED : error != 0 ? error : value;
}

/* What a case gives goes here. */
union item {
    int value;
    int64_t count;
    unsigned char bytes[sizeof(int64_t)];
};

static void make_case(unsigned actor, unsigned number, union item *item,
                      struct weft_select_case *made)
{
    const struct want *want = &channel_calls[actor].wants[number];
    weft_channel *channel = &channels[want->object];

    if (want->kind == WANT_SEND) {
        item->value = want->value;
        *made = (struct weft_select_case)WEFT_SEND_CASE(channel, &item->value);
    } else {
        *made = (struct weft_select_case)WEFT_RECEIVE_CASE(channel, &item->value);
    }
}

/* Returns as channel_result(); all cases but that one have not happened. */
static int result_of_select(unsigned actor, int index, const struct weft_select_case *cases,
                            const union item *items, const union item *before)
{
    const struct want *want;
    int error;

    for (unsigned i = 0; i < channel_calls[actor].count; i++)
        FUZZ_CHECK((int)i == index || memcmp(&items[i], &before[i], sizeof items[i]) == 0);
    if (index < 0)
        return index;
    FUZZ_CHECK(index < (int)channel_calls[actor].count);
    want = &channel_calls[actor].wants[index];
    error = cases[index].result;
    if (want->kind != WANT_OTHER)
        FUZZ_CHECK(error == 0 || error == (want->kind == WANT_SEND ? -EPIPE : -ENODATA));
    return channel_result((unsigned)index, error != 0,
                          want->kind == WANT_SEND ? 0 : items[index].value);
}

int channel_select(unsigned actor, weft_time deadline,
                   void (*others)(unsigned actor, unsigned number, void *item,
                                  struct weft_select_case *made))
{
    struct weft_select_case cases[CHANNEL_CASES];
    union item items[CHANNEL_CASES], before[CHANNEL_CASES];
    unsigned count = channel_calls[actor].count;
    int index;

    memset(items, UNTOUCHED, sizeof items);
    for (unsigned i = 0; i < count; i++)
        if (channel_calls[actor].wants[i].kind == WANT_OTHER)
            others(actor, i, &items[i], &cases[i]);
        else
            make_case(actor, i, &items[i], &cases[i]);
    memcpy(before, items, sizeof items);
    index = weft_select(cases, count, deadline);
    return result_of_select(actor, index, cases, items, before);
}

static const struct want *want_of(const struct wait *wait)
{
    return &channel_calls[wait->actor].wants[wait->number];
}

/* The first that waits on the other side, but not the actor itself; or NULL. */
static struct wait *find_partner(unsigned actor, const struct want *want)
{
    for (unsigned i = 0; i < model[want->object].waits; i++) {
        struct wait *wait = &model[want->object].queue[i];

        if (want_of(wait)->kind != want->kind && wait->actor != actor)
            return wait;
    }
    return NULL;
}

static void forget_waits(unsigned actor)
{
    channel_calls[actor].waits = false;
    for (unsigned c = 0; c < CHANNELS; c++) {
        unsigned kept = 0;

        for (unsigned i = 0; i < model[c].waits; i++)
            if (model[c].queue[i].actor != actor)
                model[c].queue[kept++] = model[c].queue[i];
        model[c].waits = kept;
    }
}

void channel_wait(unsigned actor)
{
    struct call *call = &channel_calls[actor];

    call->waits = true;
    for (unsigned i = 0; i < call->count; i++)
        if (call->wants[i].kind != WANT_OTHER) {
            unsigned c = call->wants[i].object;

            model[c].queue[model[c].waits++] = (struct wait){actor, i};
        }
}

static void end_wait(struct wait wait, int value)
{
    forget_waits(wait.actor);
    fuzz_return(wait.actor, channel_result(wait.number, false, value));
}

void channel_choose(unsigned actor, unsigned choices)
{
    forget_waits(actor);
    channel_calls[actor].choices = choices;
    fuzz_return_any(actor);
}

unsigned channel_chosen(unsigned actor, int result)
{
    unsigned number = (unsigned)result / CASE;

    FUZZ_CHECK(result >= 0 && number < CHANNEL_CASES);
    FUZZ_CHECK((channel_calls[actor].choices & 1U << number) != 0);
    return number;
}

void channel_withdraw(unsigned actor, int error)
{
    forget_waits(actor);
    fuzz_return(actor, error);
}

bool channel_is_ready(unsigned actor, unsigned number)
{
    const struct want *want = &channel_calls[actor].wants[number];
    unsigned c = want->object;

    if (model[c].is_closed || find_partner(actor, want) != NULL)
        return true;
    return want->kind == WANT_SEND ? model[c].length < model[c].capacity : model[c].length > 0;
}

static void put(unsigned c, int value)
{
    model[c].values[model[c].length++] = value;
}

static int take(unsigned c)
{
    int value = model[c].values[0];

    model[c].values[0] = model[c].values[1];
    model[c].length--;
    return value;
}

static int happen_to_receive(unsigned c, unsigned number, const struct wait *partner)
{
    int value;

    if (model[c].length == 0 && partner == NULL)
        return channel_result(number, true, 0);
    if (partner == NULL)
        return channel_result(number, false, take(c));
    value = want_of(partner)->value;
    if (model[c].length > 0) { /* what the partner sends comes last */
        int first = take(c);

        put(c, value);
        value = first;
    }
    end_wait(*partner, 0);
    return channel_result(number, false, value);
}

int channel_happen(unsigned actor, unsigned number)
{
    const struct want *want = &channel_calls[actor].wants[number];
    struct wait *partner = find_partner(actor, want);
    unsigned c = want->object;

    FUZZ_CHECK(channel_is_ready(actor, number));
    if (want->kind == WANT_RECEIVE)
        return happen_to_receive(c, number, partner);
    if (model[c].is_closed)
        return channel_result(number, true, 0);
    if (partner != NULL)
        end_wait(*partner, want->value);
    else
        put(c, want->value);
    return channel_result(number, false, 0);
}

bool channel_is_closed(unsigned channel)
{
    return model[channel].is_closed;
}

void channel_close(unsigned c)
{
    model[c].is_closed = true;
    while (model[c].waits > 0) {
        unsigned actor = model[c].queue[0].actor;
        unsigned choices = 0;

        for (unsigned i = 0; i < model[c].waits; i++)
            if (model[c].queue[i].actor == actor)
                choices |= 1U << model[c].queue[i].number;
        channel_choose(actor, choices);
    }
}
