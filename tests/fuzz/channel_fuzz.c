/* SPDX-License-Identifier: MIT */
/* Two channels, with and without a buffer, and selects over both.  (Selects that have other objects
 * beside have a target of their own.) */
#include "channels.h"

#include <errno.h>

enum kind { SEND, RECEIVE, TRY_SEND, TRY_RECEIVE, SELECT, CLOSE, KINDS };

enum { CASES_MAX = 3 };

/* The wants of an operation: what is sent has a value of its own.  No two cases of a select want
 * the same of the same channel: the object might choose either. */
static void decode(const struct fuzz_op *op)
{
    unsigned way = op->arg / CASES_MAX, step = way / 4 % 2 == 0 ? 1 : 3;
    bool is_select = op->kind == SELECT;
    struct call *call = &channel_calls[op->actor];

    call->count = is_select ? 1 + op->arg % CASES_MAX : 1;
    for (unsigned i = 0; i < CASES_MAX; i++, way += step) {
        bool is_send = is_select ? way / 2 % 2 != 0 : op->kind == SEND || op->kind == TRY_SEND;

        call->wants[i].kind = is_send ? WANT_SEND : WANT_RECEIVE;
        call->wants[i].object = (is_select ? way : op->arg) % CHANNELS;
        call->wants[i].value = channel_new_value();
    }
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case SEND:
        return channel_send(op->actor, op->deadline);
    case RECEIVE:
        return channel_receive(op->actor, op->deadline);
    case TRY_SEND:
        return channel_try_send(op->actor);
    case TRY_RECEIVE:
        return channel_try_receive(op->actor);
    case SELECT:
        return channel_select(op->actor, op->deadline, NULL);
    default:
        weft_channel_close(&channels[op->arg % CHANNELS]);
        return 0;
    }
}

static void chosen(unsigned actor, int result)
{
    FUZZ_CHECK(channel_happen(actor, channel_chosen(actor, result)) == result);
}

static void update(const struct fuzz_op *op)
{
    bool is_try = op->kind == TRY_SEND || op->kind == TRY_RECEIVE;
    unsigned choices = 0;

    decode(op);
    if (op->kind == CLOSE) {
        fuzz_return(op->actor, 0);
        channel_close(op->arg % CHANNELS);
        return;
    }
    if (op->mode == FUZZ_CANCELLED && !is_try) {
        fuzz_return(op->actor, -ECANCELED);
        return;
    }
    for (unsigned i = 0; i < channel_calls[op->actor].count; i++)
        if (channel_is_ready(op->actor, i))
            choices |= 1U << i;
    if (choices != 0)
        channel_choose(op->actor, choices);
    else if (is_try)
        fuzz_return(op->actor, -EAGAIN);
    else if (fuzz_waits(op))
        channel_wait(op->actor);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = channels_begin,
    .perform = perform,
    .model = update,
    .withdraw = channel_withdraw,
    .chosen = chosen,
    .check = channels_check,
    .end = channels_end,
};
