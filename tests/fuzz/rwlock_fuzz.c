/* SPDX-License-Identifier: MIT */
/* Readers-writer locks of both kinds, with the readers that may pass those who wait. */
#define WEFT_LOCK_CHECKS 0 /* each variant is called by its own name */
#include "fuzz.h"

#include <errno.h>

enum kind { READ, WRITE, TRY_READ, TRY_WRITE, UNLOCK, DOWNGRADE, PASS, KINDS };

static weft_rwlock lock;
static struct {
    bool prefers_readers;
    bool is_checked;
    unsigned holders; /* a bit for each */
    bool is_written;
    unsigned bypasses; /* left, while somebody waits */
    struct fuzz_queue queue;
    bool is_writer[FUZZ_ACTORS]; /* that waits */
} model;

static void begin(unsigned byte)
{
    weft_rwlock fair = WEFT_RWLOCK_INIT, other = WEFT_RWLOCK_INIT_PREFER_READERS;

    model.prefers_readers = byte % 2 != 0;
    lock = model.prefers_readers ? other : fair;
    model.is_checked = byte / 2 % 2 != 0;
    model.holders = 0;
    model.is_written = false;
}

static bool is_allowed(const struct fuzz_op *op)
{
    bool is_holder = (model.holders & 1U << op->actor) != 0;

    if (op->kind == DOWNGRADE)
        return is_holder && model.is_written;
    return op->kind == UNLOCK ? is_holder : !is_holder;
}

/* Locks for reading and unlocks, so often as it need not wait, up to a number. */
static int pass(unsigned count)
{
    unsigned passed = 0;

    while (passed < count && weft_rwlock_try_read_lock(&lock) == 0) {
        weft_rwlock_unlock(&lock);
        passed++;
    }
    return (int)passed;
}

static int perform_checked(const struct fuzz_op *op)
{
    switch ((enum kind)op->kind) {
    case READ:
        return weft_rwlock_read_lock_checked(&lock, op->deadline);
    case WRITE:
        return weft_rwlock_write_lock_checked(&lock, op->deadline);
    case TRY_READ:
        return weft_rwlock_try_read_lock_checked(&lock);
    default:
        return weft_rwlock_try_write_lock_checked(&lock);
    }
}

static int perform(const struct fuzz_op *op)
{
    if (model.is_checked && op->kind <= TRY_WRITE)
        return perform_checked(op);
    switch ((enum kind)op->kind) {
    case READ:
        return weft_rwlock_read_lock(&lock, op->deadline);
    case WRITE:
        return weft_rwlock_write_lock(&lock, op->deadline);
    case TRY_READ:
        return weft_rwlock_try_read_lock(&lock);
    case TRY_WRITE:
        return weft_rwlock_try_write_lock(&lock);
    case UNLOCK:
        weft_rwlock_unlock(&lock);
        return 0;
    case DOWNGRADE:
        weft_rwlock_downgrade(&lock);
        return 0;
    default:
        return pass(op->arg);
    }
}

static bool take_read(void)
{
    if (model.is_written)
        return false;
    if (model.queue.length == 0 || model.prefers_readers)
        return true;
    if (model.bypasses == 0)
        return false;
    model.bypasses--;
    return true;
}

static void give(unsigned actor, bool is_writer)
{
    model.holders |= 1U << actor;
    model.is_written = is_writer;
    fuzz_return(actor, 0);
}

/* Readers up to the first writer, or all of them.  Returns how many. */
static unsigned let_readers_in(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < model.queue.length;) {
        unsigned actor = model.queue.actors[i];

        if (!model.is_writer[actor]) {
            (void)fuzz_remove(&model.queue, actor);
            give(actor, false);
            count++;
        } else if (model.prefers_readers) {
            i++;
        } else {
            break;
        }
    }
    return count;
}

static void hand_over(void)
{
    unsigned readers = let_readers_in();

    model.bypasses = readers * WEFT_RWLOCK_BYPASSES;
    if (readers == 0 && model.queue.length > 0) {
        give(fuzz_pop(&model.queue), true);
        model.bypasses = WEFT_RWLOCK_BYPASSES;
    }
}

static void take(const struct fuzz_op *op, bool is_writer, bool is_try)
{
    if (is_writer ? model.holders == 0 : take_read()) {
        give(op->actor, is_writer);
    } else if (is_try) {
        fuzz_return(op->actor, -EBUSY);
    } else if (fuzz_waits(op)) {
        if (model.queue.length == 0)
            model.bypasses = WEFT_RWLOCK_BYPASSES;
        model.is_writer[op->actor] = is_writer;
        fuzz_push(&model.queue, op->actor);
    }
}

static void update(const struct fuzz_op *op)
{
    unsigned passed = 0;

    switch ((enum kind)op->kind) {
    case READ:
    case WRITE:
        take(op, op->kind == WRITE, false);
        break;
    case TRY_READ:
    case TRY_WRITE:
        take(op, op->kind == TRY_WRITE, true);
        break;
    case UNLOCK:
        fuzz_return(op->actor, 0);
        model.holders &= ~(1U << op->actor);
        model.is_written = false;
        if (model.holders == 0)
            hand_over();
        break;
    case DOWNGRADE:
        fuzz_return(op->actor, 0);
        model.is_written = false;
        (void)let_readers_in();
        break;
    default:
        while (passed < op->arg && take_read())
            passed++;
        fuzz_return(op->actor, (int)passed);
    }
}

/* Readers may have waited for nothing but a writer that gave up. */
static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queue, actor, error);
    if (!model.is_written)
        (void)let_readers_in();
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
};
