/* SPDX-License-Identifier: MIT */
/* Events of both kinds: set or not, and those who wait in their order. */
#include "fuzz.h"

enum kind { WAIT, SET, RESET, KINDS };

static weft_event event;
static struct {
    bool is_auto, is_set;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_event manual = WEFT_EVENT_INIT, automatic = WEFT_EVENT_AUTO_INIT;

    model.is_auto = byte % 2 != 0;
    model.is_set = false;
    event = model.is_auto ? automatic : manual;
}

static int perform(const struct fuzz_op *op)
{
    if (op->kind == WAIT)
        return weft_event_wait(&event, op->deadline);
    if (op->kind == SET)
        weft_event_set(&event);
    else
        weft_event_reset(&event);
    return 0;
}

static void set(void)
{
    if (model.is_auto && model.queue.length > 0) {
        fuzz_return(fuzz_pop(&model.queue), 0);
        return;
    }
    model.is_set = true;
    while (model.queue.length > 0)
        fuzz_return(fuzz_pop(&model.queue), 0);
}

static void update(const struct fuzz_op *op)
{
    if (op->kind != WAIT) {
        fuzz_return(op->actor, 0);
        if (op->kind == SET)
            set();
        else
            model.is_set = false;
    } else if (model.is_set) {
        model.is_set = !model.is_auto;
        fuzz_return(op->actor, 0);
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.queue, op->actor);
    }
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
}

static void check(void)
{
    FUZZ_CHECK(weft_event_is_set(&event) == model.is_set);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
};
