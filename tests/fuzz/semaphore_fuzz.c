/* SPDX-License-Identifier: MIT */
/* Semaphores: a number, and those who wait for some of it in their order. */
#include "fuzz.h"

#include <errno.h>

enum kind { ACQUIRE, TRY_ACQUIRE, RELEASE, KINDS };

static weft_semaphore semaphore;
static struct {
    unsigned permits;
    struct fuzz_queue queue;
    unsigned wants[FUZZ_ACTORS];
} model;

static void begin(unsigned byte)
{
    weft_semaphore fresh = WEFT_SEMAPHORE_INIT(byte % 5);

    semaphore = fresh;
    model.permits = byte % 5;
}

static unsigned count_of(const struct fuzz_op *op)
{
    return op->arg % 4;
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case ACQUIRE:
        return weft_semaphore_acquire(&semaphore, count_of(op), op->deadline);
    case TRY_ACQUIRE:
        return weft_semaphore_try_acquire(&semaphore, count_of(op));
    default:
        weft_semaphore_release(&semaphore, count_of(op));
        return 0;
    }
}

static void let_go(void)
{
    while (model.queue.length > 0 && model.wants[model.queue.actors[0]] <= model.permits) {
        model.permits -= model.wants[model.queue.actors[0]];
        fuzz_return(fuzz_pop(&model.queue), 0);
    }
}

static void update(const struct fuzz_op *op)
{
    unsigned count = count_of(op);
    bool is_there = model.queue.length == 0 && model.permits >= count;

    if (op->kind == RELEASE) {
        model.permits += count;
        fuzz_return(op->actor, 0);
        let_go();
    } else if (is_there) {
        model.permits -= count;
        fuzz_return(op->actor, 0);
    } else if (op->kind == TRY_ACQUIRE) {
        fuzz_return(op->actor, -EBUSY);
    } else if (fuzz_waits(op)) {
        model.wants[op->actor] = count;
        fuzz_push(&model.queue, op->actor);
    }
}

/* Those behind one who wanted many may be content with what there is. */
static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
    let_go();
}

static void check(void)
{
    FUZZ_CHECK(weft_semaphore_available(&semaphore) == model.permits);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
};
