/* SPDX-License-Identifier: MIT */
/*
 * Sequences of operations that libFuzzer makes up, on one object at a time, against a model that
 * knows what an object used by one at a time would do.
 *
 * A few fibers, the actors, do one operation after the other as they are told; the driver, a fiber
 * as well, tells them, asks the model what must follow, and waits until each actor has returned or
 * waits as the model has it.  There is one worker and nothing happens beside, so each input does
 * the same each time.  An operation runs in a scope of its own: that is what is cancelled.
 *
 * An input is a byte for the object, and two for each operation: who and how, what and with what.
 */
#ifndef WEFT_FUZZ_H
#define WEFT_FUZZ_H

#include "driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft.h>

enum { FUZZ_ACTORS = 5 };

enum fuzz_mode {
    FUZZ_PATIENT,   /* no deadline */
    FUZZ_PAST,      /* a deadline that has passed */
    FUZZ_CANCELLED, /* the actor is cancelled before the call */
    FUZZ_BRIEF,     /* a deadline that passes before the next operation */
};

struct fuzz_op {
    unsigned actor;
    unsigned kind; /* below the target's `kinds` */
    unsigned arg;
    enum fuzz_mode mode;
    weft_time deadline;
};

/* What each *_fuzz.c with a model is.  Results are ints, 0 or more or a negative errno. */
struct fuzz_target {
    unsigned kinds;
    void (*begin)(unsigned byte); /* a new object, a new model */
    /* Whether the program may do this now; what may not be done would abort. */
    bool (*is_allowed)(const struct fuzz_op *op);
    /* In the actor: the call. */
    int (*perform)(const struct fuzz_op *op);
    /* What it does to the model, with a fuzz_return() for each actor whose call returns by it.  An
     * actor for which there is none waits. */
    void (*model)(const struct fuzz_op *op);
    /* The wait of an actor is ended by this error, if its call can still be: as model(). */
    void (*withdraw)(unsigned actor, int error);
    /* After fuzz_return_any(): what the call has returned; as model().  May be null. */
    void (*chosen)(unsigned actor, int result);
    void (*check)(void); /* compares what can be read of the object.  May be null. */
    /* At the end, where waits are left that a cancel does not end: what an idle actor does about
     * it.  Returns false if there is none.  May be null. */
    bool (*relieve)(struct fuzz_op *op);
    void (*end)(void); /* nobody waits any more.  May be null. */
};

extern const struct fuzz_target fuzz_target;

/* Caller: the model. */
void fuzz_return(unsigned actor, int result);

/* The call returns, but the object may choose how: see `chosen`. */
void fuzz_return_any(unsigned actor);

/* The call would have to wait.  Returns false if it must not, and so returns with an error; if true
 * it waits, and stands in the model's queue. */
bool fuzz_waits(const struct fuzz_op *op);

/* Actors in their order. */
struct fuzz_queue {
    unsigned length;
    unsigned actors[FUZZ_ACTORS];
};

void fuzz_push(struct fuzz_queue *queue, unsigned actor);
unsigned fuzz_pop(struct fuzz_queue *queue);

/* Returns false if it is not in there. */
bool fuzz_remove(struct fuzz_queue *queue, unsigned actor);

/* It is in there: its wait ends with this error. */
void fuzz_leave(struct fuzz_queue *queue, unsigned actor, int error);

#endif
