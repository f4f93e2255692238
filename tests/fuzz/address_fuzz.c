/* SPDX-License-Identifier: MIT */
/* Waits for an address: two words of either size, and a queue for each. */
#include "fuzz.h"

#include <errno.h>

enum kind { WAIT, WAKE, STORE, KINDS };

enum { WORDS = 3, VALUES = 2 };

static uint64_t words[WORDS]; /* the first is used as 4 bytes */
static struct {
    struct fuzz_queue queues[WORDS];
    unsigned where[FUZZ_ACTORS];
} model;

static void begin(unsigned byte)
{
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = (byte >> i) % VALUES;
}

static unsigned word_of(const struct fuzz_op *op)
{
    return op->arg % WORDS;
}

static unsigned value_of(const struct fuzz_op *op)
{
    return op->arg / WORDS % 4;
}

static int perform(const struct fuzz_op *op)
{
    unsigned word = word_of(op), value = value_of(op);
    size_t count = value == 3 ? SIZE_MAX : value;

    if (op->kind == WAIT)
        return weft_wait_on(&words[word], value % VALUES, word == 0 ? 4 : 8, op->deadline);
    if (op->kind == WAKE)
        return (int)weft_wake_on(&words[word], count);
    words[word] = value % VALUES;
    return 0;
}

static void wake(const struct fuzz_op *op)
{
    struct fuzz_queue *queue = &model.queues[word_of(op)];
    unsigned count = value_of(op) == 3 ? FUZZ_ACTORS : value_of(op), woken = 0;

    for (; woken < count && queue->length > 0; woken++)
        fuzz_return(fuzz_pop(queue), 0);
    fuzz_return(op->actor, (int)woken);
}

static void update(const struct fuzz_op *op)
{
    unsigned word = word_of(op);

    if (op->kind == WAKE) {
        wake(op);
    } else if (op->kind == STORE) {
        fuzz_return(op->actor, 0);
    } else if (words[word] != value_of(op) % VALUES) {
        fuzz_return(op->actor, -EAGAIN);
    } else if (fuzz_waits(op)) {
        model.where[op->actor] = word;
        fuzz_push(&model.queues[word], op->actor);
    }
}

static void withdraw(unsigned actor, int error)
{
    fuzz_leave(&model.queues[model.where[actor]], actor, error);
}

static void end(void)
{
    for (unsigned i = 0; i < WORDS; i++)
        FUZZ_CHECK(weft_wake_on(&words[i], SIZE_MAX) == 0);
}

const struct fuzz_target fuzz_target = {
    .kinds = KINDS,
    .begin = begin,
    .perform = perform,
    .model = update,
    .withdraw = withdraw,
    .end = end,
};
