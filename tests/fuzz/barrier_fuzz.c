/* SPDX-License-Identifier: MIT */
/* Barriers: who has arrived, and whether it is broken. */
#include "fuzz.h"

#include <errno.h>

enum kind { WAIT, WAIT_AGAIN, WAIT_ONCE_MORE, BREAK, RESET, KINDS };

static weft_barrier barrier;
static struct {
    unsigned parties;
    bool is_broken;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_barrier fresh = WEFT_BARRIER_INIT(1 + byte % FUZZ_ACTORS);

    barrier = fresh;
    model.parties = 1 + byte % FUZZ_ACTORS;
    model.is_broken = false;
}

static int perform(const struct fuzz_op *op)
{
    if (op->kind == BREAK)
        weft_barrier_break(&barrier);
    else if (op->kind == RESET)
        weft_barrier_reset(&barrier);
    else
        return weft_barrier_wait(&barrier, op->deadline);
    return 0;
}

static void end_cycle(int result)
{
    while (model.queue.length > 0)
        fuzz_return(fuzz_pop(&model.queue), result);
}

static void arrive(const struct fuzz_op *op)
{
    if (model.is_broken) {
        fuzz_return(op->actor, -EPIPE);
    } else if (model.queue.length + 1 == model.parties) {
        fuzz_return(op->actor, WEFT_BARRIER_SERIAL);
        end_cycle(0);
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.queue, op->actor);
    } else {
        model.is_broken = true;
        end_cycle(-EPIPE);
    }
}

static void update(const struct fuzz_op *op)
{
    if (op->kind != BREAK && op->kind != RESET) {
        arrive(op);
        return;
    }
    fuzz_return(op->actor, 0);
    model.is_broken = op->kind == BREAK;
    end_cycle(-EPIPE);
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
    model.is_broken = true;
    end_cycle(-EPIPE);
}

static void check(void)
{
    FUZZ_CHECK(weft_barrier_is_broken(&barrier) == model.is_broken);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
};
