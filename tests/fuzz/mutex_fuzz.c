/* SPDX-License-Identifier: MIT */
/* Mutexes of all kinds: a holder, and those who wait in their order. */
#define WEFT_LOCK_CHECKS 0 /* each kind is called by its own name */
#include "fuzz.h"

#include <errno.h>

enum kind { LOCK, TRY_LOCK, UNLOCK, KINDS };
enum variant { PLAIN, INLINE, CHECKED, RECURSIVE, VARIANTS };

enum { NOBODY = FUZZ_ACTORS };

static weft_mutex mutex;
static weft_recursive_mutex recursive;
static struct {
    enum variant variant;
    unsigned holder, depth;
    struct fuzz_queue queue;
} model;

static void begin(unsigned byte)
{
    weft_mutex fresh = WEFT_MUTEX_INIT;
    weft_recursive_mutex fresh_recursive = WEFT_RECURSIVE_MUTEX_INIT;

    mutex = fresh;
    recursive = fresh_recursive;
    model.variant = byte % VARIANTS;
    model.holder = NOBODY;
    model.depth = 0;
}

static bool is_allowed(const struct fuzz_op *op)
{
    if (op->kind == UNLOCK)
        return model.holder == op->actor;
    return model.holder != op->actor || model.variant == RECURSIVE;
}

static int lock(const struct fuzz_op *op)
{
    switch (model.variant) {
    case PLAIN:
        return weft_mutex_lock(&mutex, op->deadline);
    case INLINE:
        return weft_mutex_lock_inline(&mutex, op->deadline);
    case CHECKED:
        return weft_mutex_lock_checked(&mutex, op->deadline);
    default:
        return weft_recursive_mutex_lock(&recursive, op->deadline);
    }
}

static int try_lock(void)
{
    if (model.variant == CHECKED)
        return weft_mutex_try_lock_checked(&mutex);
    if (model.variant == RECURSIVE)
        return weft_recursive_mutex_try_lock(&recursive);
    return weft_mutex_try_lock(&mutex);
}

static int perform(const struct fuzz_op *op)
{
    if (op->kind == LOCK)
        return lock(op);
    if (op->kind == TRY_LOCK)
        return try_lock();
    if (model.variant == RECURSIVE)
        weft_recursive_mutex_unlock(&recursive);
    else if (model.variant == INLINE)
        weft_mutex_unlock_inline(&mutex);
    else
        weft_mutex_unlock(&mutex);
    return 0;
}

static void give(unsigned actor)
{
    model.holder = actor;
    model.depth++;
    fuzz_return(actor, 0);
}

static void update(const struct fuzz_op *op)
{
    if (op->kind == UNLOCK) {
        fuzz_return(op->actor, 0);
        if (--model.depth > 0)
            return;
        model.holder = NOBODY;
        if (model.queue.length > 0)
            give(fuzz_pop(&model.queue));
    } else if (model.holder == NOBODY || model.holder == op->actor) {
        give(op->actor);
    } else if (op->kind == TRY_LOCK) {
        fuzz_return(op->actor, -EBUSY);
    } else if (fuzz_waits(op)) {
        fuzz_push(&model.queue, op->actor);
    }
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
