/* SPDX-License-Identifier: MIT */
/* A future without a fiber: its result, and those who wait for it. */
#include "fuzz.h"

#include <errno.h>

enum kind { AWAIT, SET, CANCEL, VALUE, KINDS };

static weft_future future;
static int values[64];
static struct {
    bool is_done;
    int result;
    int *value;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_future fresh = WEFT_FUTURE_INIT;

    (void)byte;
    future = fresh;
    model.is_done = false;
    model.result = 0;
    model.value = NULL;
}

static int result_of(const struct fuzz_op *op)
{
    return op->arg % 2 == 0 ? (int)op->arg : -EIO;
}

static int perform(const struct fuzz_op *op)
{
    int result = 0, error;

    switch ((enum kind)op->kind) {
    case AWAIT:
        error = weft_future_await(&future, &result, op->deadline);
        return error != 0 ? error : result;
    case SET:
        return weft_future_set(&future, result_of(op), &values[op->arg % 64]);
    case CANCEL:
        weft_future_cancel(&future);
        return 0;
    default:
        return weft_future_value(&future) == model.value;
    }
}

static void give(int result, int *value)
{
    model.is_done = true;
    model.result = result;
    model.value = value;
    while (model.queue.length > 0)
        fuzz_return(fuzz_pop(&model.queue), result);
}

static void update(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case AWAIT:
        if (model.is_done)
            fuzz_return(op->actor, model.result);
        else if (fuzz_waits(op))
            fuzz_push(&model.queue, op->actor);
        break;
    case SET:
        fuzz_return(op->actor, model.is_done ? -EALREADY : 0);
        if (!model.is_done)
            give(result_of(op), &values[op->arg % 64]);
        break;
    case CANCEL:
        fuzz_return(op->actor, 0);
        if (!model.is_done)
            give(-ECANCELED, NULL);
        break;
    default:
        fuzz_return(op->actor, 1);
    }
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
}

static void check(void)
{
    FUZZ_CHECK(weft_future_is_done(&future) == model.is_done);
}

static void end(void)
{
    int result;

    if (!model.is_done)
        (void)weft_future_set(&future, 0, NULL);
    FUZZ_CHECK(weft_future_await(&future, &result, 0) == 0); /* else the close complains */
    weft_future_close(&future);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
    .end = end,
};
