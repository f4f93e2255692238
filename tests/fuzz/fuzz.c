/* SPDX-License-Identifier: MIT */
/* See fuzz.h. */
#include "fuzz.h"

#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPS_MAX = 100,
    BRIEF_MAX = 2,        /* operations in an input that cost the time of a tick */
    QUIET_TURNS = 3,      /* for which nothing may change where the model says that all is quiet */
    SETTLE_TURNS = 50000, /* after which something has hung that must not */
    TICK_NS = 65536,      /* of timers: docs/limits.md */
    LOOK_TURNS = 130,     /* within which a worker looks at its timers: docs/fairness.md */
    NONE = -4095,         /* no result */
    ANY = -4096,          /* a result that the object may choose */
};

static struct actor {
    weft_fiber *fiber;
    weft_scope scope;
    struct fuzz_op op;
    bool is_told; /* to do `op` */
    bool is_busy;
    bool must_end;
    int result;
    bool model_is_busy;
    int expected;
} actors[FUZZ_ACTORS];

void fuzz_push(struct fuzz_queue *queue, unsigned actor)
{
    FUZZ_CHECK(queue->length < FUZZ_ACTORS);
    queue->actors[queue->length++] = actor;
}

bool fuzz_remove(struct fuzz_queue *queue, unsigned actor)
{
    for (unsigned i = 0; i < queue->length; i++)
        if (queue->actors[i] == actor) {
            queue->length--;
            memmove(&queue->actors[i], &queue->actors[i + 1],
                    (queue->length - i) * sizeof queue->actors[0]);
            return true;
        }
    return false;
}

unsigned fuzz_pop(struct fuzz_queue *queue)
{
    unsigned actor = queue->actors[0];

    FUZZ_CHECK(queue->length > 0 && fuzz_remove(queue, actor));
    return actor;
}

void fuzz_return(unsigned actor, int result)
{
    FUZZ_CHECK(actors[actor].model_is_busy);
    actors[actor].model_is_busy = false;
    actors[actor].expected = result;
}

void fuzz_leave(struct fuzz_queue *queue, unsigned actor, int error)
{
    FUZZ_CHECK(fuzz_remove(queue, actor));
    fuzz_return(actor, error);
}

void fuzz_return_any(unsigned actor)
{
    fuzz_return(actor, ANY);
}

bool fuzz_waits(const struct fuzz_op *op)
{
    if (op->mode == FUZZ_PAST)
        fuzz_return(op->actor, -ETIMEDOUT);
    if (op->mode == FUZZ_CANCELLED)
        fuzz_return(op->actor, -ECANCELED);
    return actors[op->actor].model_is_busy;
}

static void do_as_told(struct actor *actor)
{
    weft_scope empty = WEFT_SCOPE_INIT;

    actor->is_told = false;
    actor->scope = empty;
    FUZZ_CHECK(weft_scope_open(&actor->scope, WEFT_FOREVER) == 0);
    if (actor->op.mode == FUZZ_CANCELLED)
        FUZZ_CHECK(weft_scope_cancel(&actor->scope) == 0);
    actor->result = fuzz_target.perform(&actor->op);
    (void)weft_scope_close(&actor->scope, 0);
    actor->is_busy = false;
}

static int act(void *arg)
{
    struct actor *actor = arg;

    while (!actor->must_end) {
        if (actor->is_told)
            do_as_told(actor);
        (void)weft_yield();
    }
    return 0;
}

static void fail(const struct actor *actor, const char *what)
{
    (void)fprintf(stderr, "actor %d, operation %u, argument %u, mode %d: %s; ",
                  (int)(actor - actors), actor->op.kind, actor->op.arg, (int)actor->op.mode, what);
    if (actor->is_busy)
        (void)fprintf(stderr, "it waits, ");
    else
        (void)fprintf(stderr, "it has returned %d, ", actor->result);
    if (actor->model_is_busy)
        (void)fprintf(stderr, "and should wait\n");
    else
        (void)fprintf(stderr, "and should have returned %d\n", actor->expected);
    abort();
}

/* Whoever is to return has; who does so too early, or with another result, ends the program. */
static bool is_settled(void)
{
    bool is_settled = true;

    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        struct actor *actor = &actors[i];

        if (actor->is_busy && !actor->model_is_busy)
            is_settled = false;
        if (!actor->is_busy && actor->model_is_busy)
            fail(actor, "it must wait");
        if (!actor->is_busy && actor->expected > NONE && actor->result != actor->expected)
            fail(actor, "another result");
    }
    return is_settled;
}

static void await_return(struct actor *actor)
{
    for (unsigned turns = 0; actor->is_busy; turns++) {
        if (turns > SETTLE_TURNS)
            fail(actor, "it hangs");
        (void)weft_yield();
    }
}

/* What the object has chosen decides what the model has to say about the others. */
static void note_choices(void)
{
    for (unsigned i = 0; i < FUZZ_ACTORS; i++)
        if (!actors[i].model_is_busy && actors[i].expected == ANY) {
            await_return(&actors[i]);
            actors[i].expected = NONE;
            fuzz_target.chosen(i, actors[i].result);
        }
}

static void settle(void)
{
    note_choices();
    for (unsigned quiet = 0; quiet <= QUIET_TURNS;) {
        quiet = is_settled() ? quiet + 1 : 0;
        for (unsigned i = 0; i < FUZZ_ACTORS && quiet == 0; i++)
            if (!actors[i].model_is_busy)
                await_return(&actors[i]);
        (void)weft_yield();
    }
    if (fuzz_target.check != NULL)
        fuzz_target.check();
}

static void cancel(struct actor *actor)
{
    FUZZ_CHECK(weft_scope_cancel(&actor->scope) == 0);
    fuzz_target.withdraw((unsigned)(actor - actors), -ECANCELED);
    settle();
}

/* Until it has returned, or its deadline has passed by a tick and more, and the worker has looked
 * at its timers since. */
static void outlast(struct actor *actor)
{
    while (weft_now() < actor->op.deadline + 2 * TICK_NS && actor->is_busy)
        (void)weft_yield();
    for (unsigned i = 0; i < LOOK_TURNS && actor->is_busy; i++)
        (void)weft_yield();
    if (actor->model_is_busy)
        fuzz_target.withdraw((unsigned)(actor - actors), -ETIMEDOUT);
}

static void tell(struct actor *actor, const struct fuzz_op *op)
{
    actor->op = *op;
    if (op->mode == FUZZ_PAST)
        actor->op.deadline = 0;
    else if (op->mode == FUZZ_BRIEF)
        actor->op.deadline = weft_now() + TICK_NS;
    else
        actor->op.deadline = WEFT_FOREVER;
    actor->is_busy = actor->is_told = actor->model_is_busy = true;
    actor->expected = NONE;
    fuzz_target.model(&actor->op);
    if (op->mode == FUZZ_BRIEF)
        outlast(actor);
    settle();
}

static void step(const uint8_t *bytes, unsigned *briefs)
{
    static const enum fuzz_mode modes[8] = {FUZZ_PATIENT, FUZZ_PATIENT,  FUZZ_PATIENT,
                                            FUZZ_PATIENT, FUZZ_PAST,     FUZZ_PAST,
                                            FUZZ_BRIEF,   FUZZ_CANCELLED};
    struct fuzz_op op = {.actor = bytes[0] % FUZZ_ACTORS,
                         .kind = bytes[1] % fuzz_target.kinds,
                         .arg = bytes[1] / fuzz_target.kinds,
                         .mode = modes[bytes[0] / FUZZ_ACTORS % 8]};
    struct actor *actor = &actors[op.actor];

    if (op.mode == FUZZ_BRIEF && ++*briefs > BRIEF_MAX)
        op.mode = FUZZ_PAST;
    if (actor->is_busy)
        cancel(actor);
    else if (fuzz_target.is_allowed == NULL || fuzz_target.is_allowed(&op))
        tell(actor, &op);
}

/* Each round ends one wait at least. */
static void end_waits(void)
{
    for (unsigned round = 0; round < 3 * FUZZ_ACTORS; round++) {
        struct fuzz_op op = {0};

        for (unsigned i = 0; i < FUZZ_ACTORS; i++)
            if (actors[i].is_busy)
                cancel(&actors[i]);
        if (fuzz_target.relieve != NULL && fuzz_target.relieve(&op))
            tell(&actors[op.actor], &op);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    unsigned briefs = 0;

    if (size < 3)
        return;
    memset(actors, 0, sizeof actors);
    fuzz_target.begin(data[0]);
    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        actors[i].expected = NONE;
        FUZZ_CHECK(weft_spawn(&actors[i].fiber, act, &actors[i]) == 0);
    }
    for (size_t at = 1; at + 1 < size && at < 2 * OPS_MAX; at += 2)
        step(&data[at], &briefs);
    end_waits();
    if (fuzz_target.end != NULL)
        fuzz_target.end();
    for (unsigned i = 0; i < FUZZ_ACTORS; i++) {
        FUZZ_CHECK(!actors[i].is_busy);
        actors[i].must_end = true;
        FUZZ_CHECK(weft_join(actors[i].fiber, NULL, WEFT_FOREVER) == 0);
    }
}
