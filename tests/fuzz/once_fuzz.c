/* SPDX-License-Identifier: MIT */
/* Something done once: who does it, who waits for that, and what comes of it. */
#include "fuzz.h"

#include <errno.h>

enum kind { RUN, FINISH, FAIL, KINDS };

enum { NOBODY = FUZZ_ACTORS };

static weft_once once;
static int outcomes[FUZZ_ACTORS]; /* 1: its function is still at work */
static struct {
    unsigned runner;
    bool is_done;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_once fresh = WEFT_ONCE_INIT;

    (void)byte;
    once = fresh;
    model.runner = NOBODY;
    model.is_done = false;
}

static bool is_allowed(const struct fuzz_op *op)
{
    return op->kind == RUN || model.runner != NOBODY;
}

/* Does not look for its cancel: another actor says how it ends. */
static int work(void *arg)
{
    int *outcome = arg;

    while (*outcome == 1)
        (void)weft_yield();
    return *outcome;
}

static int perform(const struct fuzz_op *op)
{
    if (op->kind == RUN)
        return weft_once_run(&once, work, &outcomes[op->actor], op->deadline);
    return 0;
}

static void finish(int outcome)
{
    unsigned runner = model.runner;

    outcomes[runner] = outcome;
    fuzz_return(runner, outcome);
    model.runner = NOBODY;
    if (outcome == 0) {
        model.is_done = true;
        while (model.queue.length > 0)
            fuzz_return(fuzz_pop(&model.queue), 0);
    } else if (model.queue.length > 0) {
        model.runner = fuzz_pop(&model.queue);
    }
}

static void update(const struct fuzz_op *op)
{
    outcomes[op->actor] = 1;
    if (op->kind != RUN) {
        fuzz_return(op->actor, 0);
        finish(op->kind == FINISH ? 0 : -EIO);
    } else if (model.is_done) {
        fuzz_return(op->actor, 0);
    } else if (model.runner == NOBODY) {
        model.runner = op->actor;
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.queue, op->actor);
    }
}

static void withdraw(unsigned actor, int error)
{
    if (fuzz_remove(&model.queue, actor))
        fuzz_return(actor, error);
}

/* Whoever does it is busy; with none but that one busy, another is idle. */
static bool relieve(struct fuzz_op *op)
{
    *op = (struct fuzz_op){.actor = (model.runner + 1) % FUZZ_ACTORS, .kind = FAIL};
    return model.runner != NOBODY;
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .relieve = relieve,
};
