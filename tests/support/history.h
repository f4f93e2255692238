/* SPDX-License-Identifier: MIT */
/*
 * Records what several actors did to one object at the same time, and decides afterwards whether it
 * can be explained: whether there is an order of the operations, each between its call and its
 * return, in which an object that is used by one at a time would have given the same results
 * (Herlihy and Wing, "Linearizability", 1990).
 *
 * The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the
 * memory of Lowe ("Testing for Linearizability", 2017): of two orders of the same operations that
 * leave the object in the same state, only the first is followed.
 *
 * Operations that failed without an effect are not recorded; an effect that they had all the same
 * makes the others inexplicable.  One that waits in between, and lets others see that it does, is
 * recorded as several with the same call and return; the model keeps their order.
 */
#ifndef WEFT_TEST_HISTORY_H
#define WEFT_TEST_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { HISTORY_OPS_MAX = 64, HISTORY_STATE_WORDS = 16 };

struct history_op {
    uint64_t called; /* in the order of the history's clock */
    uint64_t returned;
    int kind; /* the model's */
    int actor;
    int value;
};

struct history {
    _Atomic(uint64_t) clock;
    _Atomic(unsigned) count;
    struct history_op ops[HISTORY_OPS_MAX];
};

/* What the object is; the model's, compared as bytes. */
struct history_state {
    int words[HISTORY_STATE_WORDS];
};

/* Does the operation.  Returns false if the object, in that state, would not have done it so. */
typedef bool history_model(struct history_state *state, const struct history_op *op);

/* Before the call.  Returns what history_add() wants. */
static inline uint64_t history_call(struct history *history)
{
    return atomic_fetch_add(&history->clock, 1);
}

/* After the return. */
void history_add(struct history *history, uint64_t called, int kind, int actor, int value);

/* The same with a return that is known already, for the parts of one operation. */
void history_add_part(struct history *history, uint64_t called, uint64_t returned, int kind,
                      int actor, int value);

enum history_verdict {
    HISTORY_EXPLAINED,
    HISTORY_WRONG,
    HISTORY_UNDECIDED, /* the search was given up, it took too much memory */
};

enum history_verdict history_check(const struct history *history,
                                   const struct history_state *initial, history_model *model);

void history_print(const struct history *history, FILE *out);

#endif
