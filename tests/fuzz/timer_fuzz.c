/* SPDX-License-Identifier: MIT */
/* A timer object whose times have passed long ago or are far away, so that nothing depends on when
 * a step is made.  (The wheel has a target of its own.) */
#include "fuzz.h"

#include <errno.h>

enum kind { WAIT, ARM, MOVE, CANCEL, NEXT, KINDS };

#define FAR (INT64_C(1) << 61)

static weft_timer timer;
static struct {
    bool is_armed;
    weft_time when;
    int64_t period; /* 0, or so long that it comes once */
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_timer fresh = WEFT_TIMER_INIT;

    (void)byte;
    timer = fresh;
    model.is_armed = false;
}

static weft_time time_of(const struct fuzz_op *op)
{
    static const weft_time times[] = {1, 2, FAR, FAR + 1};

    return times[op->arg % 4];
}

static int64_t period_of(const struct fuzz_op *op)
{
    return op->arg / 4 % 3 == 0 ? FAR : 0;
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case WAIT:
        return (int)weft_timer_wait(&timer, op->deadline);
    case ARM:
        return weft_timer_arm(&timer, time_of(op), period_of(op), WEFT_TIMER_SKIP);
    case MOVE:
        return weft_timer_move(&timer, time_of(op));
    case CANCEL:
        return weft_timer_cancel(&timer);
    default:
        return weft_timer_next(&timer) == (model.is_armed ? model.when : WEFT_FOREVER);
    }
}

/* Returns false if it must wait. */
static bool take(unsigned actor)
{
    if (model.is_armed && model.when >= FAR)
        return false;
    fuzz_return(actor, model.is_armed ? 1 : -ENODATA);
    if (model.is_armed)
        model.when += model.period;
    model.is_armed = model.is_armed && model.period != 0;
    return true;
}

static void look_again(void)
{
    while (model.queue.length > 0 && take(model.queue.actors[0]))
        (void)fuzz_pop(&model.queue);
}

static void update(const struct fuzz_op *op)
{
    bool was_armed = model.is_armed;

    switch ((enum kind)op->kind) {
    case WAIT:
        if (!take(op->actor) && fuzz_waits(op))
            fuzz_push(&model.queue, op->actor);
        return;
    case ARM:
        model.period = period_of(op);
        model.is_armed = true;
        model.when = time_of(op);
        fuzz_return(op->actor, 0);
        break;
    case MOVE:
        model.when = was_armed ? time_of(op) : model.when;
        fuzz_return(op->actor, was_armed ? 0 : -ENODATA);
        break;
    case CANCEL:
        model.is_armed = false;
        fuzz_return(op->actor, was_armed);
        break;
    default:
        fuzz_return(op->actor, 1);
        return;
    }
    look_again();
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
};
