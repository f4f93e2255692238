/* SPDX-License-Identifier: MIT */
/* Wait groups and latches: a count, and those who wait for its zero. */
#include "fuzz.h"

enum kind { WAIT, ADD, DONE, ARRIVE_AND_WAIT, KINDS };

static weft_wait_group group;
static weft_latch latch;
static struct {
    bool is_latch;
    unsigned count;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_wait_group fresh = WEFT_WAIT_GROUP_INIT;
    weft_latch fresh_latch = WEFT_LATCH_INIT(byte / 2 % 8);

    group = fresh;
    latch = fresh_latch;
    model.is_latch = byte % 2 != 0;
    model.count = model.is_latch ? byte / 2 % 8 : 0;
}

static bool is_allowed(const struct fuzz_op *op)
{
    if (op->kind == WAIT)
        return true;
    if (op->kind == ADD)
        return !model.is_latch;
    return model.count > 0 && (op->kind == DONE || model.is_latch);
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case WAIT:
        return model.is_latch ? weft_latch_wait(&latch, op->deadline)
                              : weft_wait_group_wait(&group, op->deadline);
    case ADD:
        weft_wait_group_add(&group, op->arg % 4);
        return 0;
    case DONE:
        if (model.is_latch)
            weft_latch_arrive(&latch);
        else
            weft_wait_group_done(&group);
        return 0;
    default:
        return weft_latch_arrive_and_wait(&latch, op->deadline);
    }
}

static void count_down(void)
{
    if (--model.count == 0)
        while (model.queue.length > 0)
            fuzz_return(fuzz_pop(&model.queue), 0);
}

static void update(const struct fuzz_op *op)
{
    if (op->kind == ADD)
        model.count += op->arg % 4;
    if (op->kind == DONE || op->kind == ARRIVE_AND_WAIT)
        count_down();
    if (op->kind == ADD || op->kind == DONE || model.count == 0)
        fuzz_return(op->actor, 0);
    else if (fuzz_waits(op))
        fuzz_push(&model.queue, op->actor);
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
};
