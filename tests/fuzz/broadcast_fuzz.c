/* SPDX-License-Identifier: MIT */
/* A broadcast whose values are the numbers 0, 1, 2: each actor is a receiver at its own place. */
#include "fuzz.h"

#include <errno.h>

enum kind { RECEIVE, TRY_RECEIVE, SEND, SUBSCRIBE, CLOSE, KINDS };

enum { CAPACITY_MAX = 4 };

static unsigned buffer[CAPACITY_MAX];
static weft_broadcast broadcast;
static weft_broadcast_receiver receivers[FUZZ_ACTORS];
static unsigned next_value; /* that is sent */
static struct {
    unsigned capacity, sent;
    bool is_closed;
    unsigned next[FUZZ_ACTORS];
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    model.capacity = 1 + byte % CAPACITY_MAX;
    FUZZ_CHECK(weft_broadcast_init(&broadcast, sizeof *buffer, buffer, model.capacity) == 0);
    model.sent = next_value = 0;
    model.is_closed = false;
    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        weft_broadcast_subscribe(&broadcast, &receivers[i]);
        model.next[i] = 0;
    }
}

/* What was received, or how many were missed with the bits turned round to be a result. */
static int receive(const struct fuzz_op *op)
{
    weft_broadcast_receiver *receiver = &receivers[op->actor];
    unsigned value = 0;
    int error = op->kind == TRY_RECEIVE
                    ? weft_broadcast_try_receive(receiver, &value, sizeof value)
                    : weft_broadcast_receive(receiver, &value, sizeof value, op->deadline);

    if (error == -EOVERFLOW)
        return 1000 + (int)receiver->missed;
    return error != 0 ? error : (int)value;
}

static int perform(const struct fuzz_op *op)
{
    int error = 0;

    switch ((enum kind)op->kind) {
    case RECEIVE:
    case TRY_RECEIVE:
        return receive(op);
    case SEND:
        error = weft_broadcast_send(&broadcast, &next_value, sizeof next_value);
        next_value += error == 0;
        return error;
    case SUBSCRIBE:
        weft_broadcast_subscribe(&broadcast, &receivers[op->actor]);
        return 0;
    default:
        weft_broadcast_close(&broadcast);
        return 0;
    }
}

/* Returns false if it must wait. */
static bool take(unsigned actor)
{
    unsigned *next = &model.next[actor];

    if (model.sent > *next + model.capacity) {
        fuzz_return(actor, 1000 + (int)(model.sent - model.capacity - *next));
        *next = model.sent - model.capacity;
    } else if (*next < model.sent) {
        fuzz_return(actor, (int)(*next)++);
    } else if (model.is_closed) {
        fuzz_return(actor, -ENODATA);
    } else {
        return false;
    }
    return true;
}

static void let_go(void)
{
    while (model.queue.length > 0)
        FUZZ_CHECK(take(fuzz_pop(&model.queue)));
}

static void update(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case RECEIVE:
        if (op->mode == FUZZ_CANCELLED)
            fuzz_return(op->actor, -ECANCELED);
        else if (!take(op->actor) && fuzz_waits(op))
            fuzz_push(&model.queue, op->actor);
        return;
    case TRY_RECEIVE:
        if (!take(op->actor))
            fuzz_return(op->actor, -EAGAIN);
        return;
    case SEND:
        fuzz_return(op->actor, model.is_closed ? -EPIPE : 0);
        model.sent += !model.is_closed;
        break;
    case SUBSCRIBE:
        fuzz_return(op->actor, 0);
        model.next[op->actor] = model.sent;
        return;
    default:
        fuzz_return(op->actor, 0);
        model.is_closed = true;
    }
    if (model.is_closed || op->kind == SEND)
        let_go();
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
}

static void end(void)
{
    weft_broadcast_destroy(&broadcast);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .end = end,
};
