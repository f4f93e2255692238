/* SPDX-License-Identifier: MIT */
/* A condition variable with its mutex: who waits for a signal, and who for the mutex. */
#define WEFT_LOCK_CHECKS 0
#include "fuzz.h"

#include <errno.h>

enum kind { LOCK, UNLOCK, WAIT, SIGNAL, BROADCAST, KINDS };

enum { NOBODY = FUZZ_ACTORS };

static weft_mutex mutex;
static weft_condition condition;
static struct {
    unsigned holder;
    struct fuzz_queue for_mutex, for_signal;
    bool was_signalled[FUZZ_ACTORS]; /* or gave up: only the mutex is missing */
    int results[FUZZ_ACTORS];        /* what it returns with the mutex */
} model;

static void begin(unsigned byte)
{
    weft_mutex fresh = WEFT_MUTEX_INIT;
    weft_condition fresh_condition = WEFT_CONDITION_INIT;

    (void)byte;
    mutex = fresh;
    condition = fresh_condition;
    model.holder = NOBODY;
}

static bool is_allowed(const struct fuzz_op *op)
{
    /* Whether the deadline has passed before the call decides whether they have the mutex. */
    if (op->kind == WAIT && op->mode == FUZZ_BRIEF && model.for_mutex.length > 0)
        return false;
    if (op->kind == LOCK)
        return model.holder != op->actor;
    return (op->kind != UNLOCK && op->kind != WAIT) || model.holder == op->actor;
}

static int perform(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case LOCK:
        return weft_mutex_lock(&mutex, op->deadline);
    case UNLOCK:
        weft_mutex_unlock(&mutex);
        return 0;
    case WAIT:
        return weft_condition_wait(&condition, &mutex, op->deadline);
    case SIGNAL:
        weft_condition_signal(&condition);
        return 0;
    default:
        weft_condition_broadcast(&condition);
        return 0;
    }
}

static void give_mutex(unsigned actor)
{
    model.holder = actor;
    fuzz_return(actor, model.results[actor]);
}

static void want_mutex(unsigned actor, int result)
{
    model.results[actor] = result;
    if (model.holder == NOBODY)
        give_mutex(actor);
    else
        fuzz_push(&model.for_mutex, actor);
}

static void unlock(void)
{
    model.holder = NOBODY;
    if (model.for_mutex.length > 0)
        give_mutex(fuzz_pop(&model.for_mutex));
}

static void signal_one(void)
{
    unsigned actor = fuzz_pop(&model.for_signal);

    model.was_signalled[actor] = true;
    want_mutex(actor, 0);
}

static void update(const struct fuzz_op *op)
{
    model.was_signalled[op->actor] = false;
    if (op->kind == LOCK) {
        if (model.holder == NOBODY || fuzz_waits(op))
            want_mutex(op->actor, 0);
        return;
    }
    if (op->kind == WAIT) {
        if (!fuzz_waits(op))
            return;
        fuzz_push(&model.for_signal, op->actor);
        unlock();
        return;
    }
    fuzz_return(op->actor, 0);
    if (op->kind == UNLOCK)
        unlock();
    else if (op->kind == SIGNAL && model.for_signal.length > 0)
        signal_one();
    else if (op->kind == BROADCAST)
        while (model.for_signal.length > 0)
            signal_one();
}

/* One that was signalled waits for the mutex, whatever comes. */
static void withdraw(unsigned actor, int error)
{
    if (fuzz_remove(&model.for_signal, actor)) {
        model.was_signalled[actor] = true;
        want_mutex(actor, error);
    } else if (!model.was_signalled[actor]) {
        FUZZ_CHECK(fuzz_remove(&model.for_mutex, actor));
        fuzz_return(actor, error);
    }
}

/* For those who were signalled: the mutex. */
static bool relieve(struct fuzz_op *op)
{
    *op = (struct fuzz_op){.actor = model.holder, .kind = UNLOCK};
    return model.for_mutex.length > 0;
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
