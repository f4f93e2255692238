/* SPDX-License-Identifier: MIT */
/* Single flights over two keys in one place: who leads each, who follows, and what all get. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

enum kind { CALL, END, KINDS };

enum { KEYS = 2, NOBODY = FUZZ_ACTORS, AT_WORK = 1 };

static weft_key_bucket bucket;
static weft_singleflight flights;
static int outcomes[FUZZ_ACTORS]; /* AT_WORK: its function has not ended */
static struct {
    unsigned leaders[KEYS];
    struct fuzz_queue followers[KEYS];
    unsigned keys[FUZZ_ACTORS];
    bool is_cancelled[FUZZ_ACTORS];
} model;

static void begin(unsigned byte)
{
    weft_singleflight fresh = WEFT_SINGLEFLIGHT_INIT(int, &bucket, 1);

    (void)byte;
    memset(&bucket, 0, sizeof bucket);
    flights = fresh;
    for (unsigned i = 0; i < KEYS; i++)
        model.leaders[i] = NOBODY;
}

static bool is_allowed(const struct fuzz_op *op)
{
    return op->kind == CALL || model.leaders[op->arg % KEYS] != NOBODY;
}

/* Another actor says how it ends. */
static int work(void *arg, void *result)
{
    int *outcome = arg;

    while (*outcome == AT_WORK)
        (void)weft_yield();
    if (*outcome >= 0)
        *(int *)result = *outcome;
    return *outcome >= 0 ? 0 : *outcome;
}

static int perform(const struct fuzz_op *op)
{
    static const char *const names[KEYS] = {"a", "b"};
    int result = 0, error;

    if (op->kind == END)
        return 0;
    error = weft_singleflight_do(&flights, names[op->arg % KEYS], 1, work, &outcomes[op->actor],
                                 &result, sizeof result, op->deadline);
    return error != 0 ? error : result;
}

/* One whose call was cancelled, and that fails for it, fails alone. */
static void end_flight(unsigned key, int outcome)
{
    unsigned leader = model.leaders[key];

    outcomes[leader] = outcome;
    fuzz_return(leader, outcome);
    model.leaders[key] = NOBODY;
    if (outcome == -ECANCELED && model.is_cancelled[leader]) {
        if (model.followers[key].length > 0)
            model.leaders[key] = fuzz_pop(&model.followers[key]);
        return;
    }
    while (model.followers[key].length > 0)
        fuzz_return(fuzz_pop(&model.followers[key]), outcome);
}

static void update(const struct fuzz_op *op)
{
    static const int ends[] = {7, -EIO, -ECANCELED};
    unsigned key = op->arg % KEYS;

    if (op->kind == END) {
        fuzz_return(op->actor, 0);
        end_flight(key, ends[op->arg / KEYS % 3]);
        return;
    }
    outcomes[op->actor] = AT_WORK;
    model.is_cancelled[op->actor] = false;
    model.keys[op->actor] = key;
    if (op->mode == FUZZ_CANCELLED)
        fuzz_return(op->actor, -ECANCELED);
    else if (model.leaders[key] == NOBODY)
        model.leaders[key] = op->actor;
    else if (fuzz_waits(op))
        fuzz_push(&model.followers[key], op->actor);
}

static void withdraw(unsigned actor, int error)
{
    if (fuzz_remove(&model.followers[model.keys[actor]], actor))
        fuzz_return(actor, error);
    else if (error == -ECANCELED)
        model.is_cancelled[actor] = true;
}

/* Leaders are busy, and with two keys at most two. */
static bool relieve(struct fuzz_op *op)
{
    unsigned key = model.leaders[0] != NOBODY ? 0 : 1;

    *op = (struct fuzz_op){.kind = END, .arg = key};
    while (op->actor == model.leaders[0] || op->actor == model.leaders[1])
        op->actor++;
    return model.leaders[key] != NOBODY;
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
