/* SPDX-License-Identifier: MIT */
/* Rate limiters whose next permit comes in decades, so that nothing depends on when a step is made.
 * (tests/unit/bucket_test.c is about what comes with time.) */
#include "fuzz.h"

#include <errno.h>

enum kind { ACQUIRE, TRY_ACQUIRE, REFILL, KINDS };

#define PERIOD_SHIFT 60
#define PERIODS_MAX 8 /* no point in time is further ahead */

static weft_rate_limiter limiter;
static struct {
    unsigned burst;
    unsigned held;
    unsigned wanted; /* by all in the queue */
    struct fuzz_queue queue;
    unsigned wants[FUZZ_ACTORS];
} model;

static void refill(unsigned arg)
{
    model.burst = model.held = 1 + arg % 6;
    FUZZ_CHECK(weft_rate_limiter_init(&limiter, 1, INT64_C(1) << PERIOD_SHIFT, model.burst) == 0);
}

/* Nobody uses it then. */
static bool is_allowed(const struct fuzz_op *op)
{
    return op->kind != REFILL || model.queue.length == 0;
}

static unsigned count_of(const struct fuzz_op *op)
{
    return op->arg % 8;
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case ACQUIRE:
        return weft_rate_limiter_acquire(&limiter, count_of(op), op->deadline);
    case TRY_ACQUIRE:
        return weft_rate_limiter_try_acquire(&limiter, count_of(op));
    default:
        refill(op->arg);
        return 0;
    }
}

/* After so many periods one who asks now has its turn; 0 if that is now. */
static unsigned periods_until(unsigned count)
{
    unsigned all = model.wanted + count;

    return all > model.held ? all - model.held : 0;
}

static void let_go(void)
{
    while (model.queue.length > 0 && model.wants[model.queue.actors[0]] <= model.held) {
        unsigned actor = fuzz_pop(&model.queue);

        model.held -= model.wants[actor];
        model.wanted -= model.wants[actor];
        fuzz_return(actor, 0);
    }
}

static void update(const struct fuzz_op *op)
{
    unsigned count = count_of(op);

    if (op->kind == REFILL) {
        fuzz_return(op->actor, 0);
    } else if (count > model.burst) {
        fuzz_return(op->actor, -EINVAL);
    } else if (count == 0 || periods_until(count) == 0) {
        model.held -= count;
        fuzz_return(op->actor, 0);
    } else if (op->kind == TRY_ACQUIRE) {
        fuzz_return(op->actor, -EBUSY);
    } else if (op->mode == FUZZ_BRIEF || periods_until(count) >= PERIODS_MAX) {
        /* It would come too late, and so need not wait; a cancel is what it hears of first. */
        fuzz_return(op->actor, op->mode == FUZZ_CANCELLED ? -ECANCELED : -ETIMEDOUT);
    } else if (fuzz_waits(op)) {
        model.wants[op->actor] = count;
        model.wanted += count;
        fuzz_push(&model.queue, op->actor);
    }
}

/* Those behind one who wanted many may be content with what there is. */
static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
    model.wanted -= model.wants[actor];
    let_go();
}

static void check(void)
{
    for (unsigned count = 1; count <= model.burst + 1; count++) {
        weft_time due = weft_rate_limiter_due(&limiter, count);
        unsigned periods = periods_until(count);

        if (count > model.burst || periods >= PERIODS_MAX)
            FUZZ_CHECK(due == WEFT_FOREVER);
        else if (periods == 0)
            FUZZ_CHECK(due <= weft_now());
        else
            FUZZ_CHECK(due >> PERIOD_SHIFT == periods);
    }
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = refill,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .check = check,
};
