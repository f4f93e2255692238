/* SPDX-License-Identifier: MIT */
/* A keyed mutex with few places, so that keys share them: a holder and a queue for each key. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

enum kind { LOCK, TRY_LOCK, UNLOCK, KINDS };

enum { KEYS = 4, PLACES_MAX = 2, NOBODY = FUZZ_ACTORS, NO_KEY = KEYS };

static const char *const names[KEYS] = {"", "a", "b", "ab"};

static weft_key_bucket buckets[PLACES_MAX];
static weft_keyed_mutex mutex;
static weft_key_hold holds[FUZZ_ACTORS];
static struct {
    unsigned holders[KEYS];
    struct fuzz_queue queues[KEYS];
    unsigned held[FUZZ_ACTORS]; /* a key, or NO_KEY */
    unsigned wanted[FUZZ_ACTORS];
} model;

static void begin(unsigned byte)
{
    weft_keyed_mutex fresh = WEFT_KEYED_MUTEX_INIT(buckets, 1 + byte % PLACES_MAX);
    weft_key_hold hold = WEFT_KEY_HOLD_INIT;

    memset(buckets, 0, sizeof buckets);
    mutex = fresh;
    for (unsigned i = 0; i < KEYS; i++)
        model.holders[i] = NOBODY;
    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        holds[i] = hold;
        model.held[i] = NO_KEY;
    }
}

static bool is_allowed(const struct fuzz_op *op)
{
    return (op->kind == UNLOCK) == (model.held[op->actor] != NO_KEY);
}

static int perform(const struct fuzz_op *op)
{
    const char *name = names[op->arg % KEYS];

    if (op->kind == LOCK)
        return weft_keyed_mutex_lock(&mutex, &holds[op->actor], name, strlen(name), op->deadline);
    if (op->kind == TRY_LOCK)
        return weft_keyed_mutex_try_lock(&mutex, &holds[op->actor], name, strlen(name));
    weft_keyed_mutex_unlock(&mutex, &holds[op->actor]);
    return 0;
}

static void give(unsigned key, unsigned actor)
{
    model.holders[key] = actor;
    model.held[actor] = key;
    fuzz_return(actor, 0);
}

static void unlock(unsigned actor)
{
    unsigned key = model.held[actor];

    model.held[actor] = NO_KEY;
    model.holders[key] = NOBODY;
    fuzz_return(actor, 0);
    if (model.queues[key].length > 0)
        give(key, fuzz_pop(&model.queues[key]));
}

static void update(const struct fuzz_op *op)
{
    unsigned key = op->arg % KEYS;

    if (op->kind == UNLOCK) {
        unlock(op->actor);
    } else if (model.holders[key] == NOBODY) {
        give(key, op->actor);
    } else if (op->kind == TRY_LOCK) {
        fuzz_return(op->actor, -EBUSY);
    } else if (fuzz_waits(op)) {
        model.wanted[op->actor] = key;
        fuzz_push(&model.queues[key], op->actor);
    }
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queues[model.wanted[actor]], actor, error);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .is_allowed = is_allowed,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
};
