/* SPDX-License-Identifier: MIT */
#include "history_models.h"

#include "check.h"

/* A queue within the state: its length is words[2]. */
enum { LENGTH = 2, FIRST = 3, TAKEN = HISTORY_STATE_WORDS - 1, QUEUE_MAX = TAKEN - FIRST };

static bool push(struct history_state *state, int value)
{
    CHECK(state->words[LENGTH] < QUEUE_MAX);
    state->words[FIRST + state->words[LENGTH]++] = value;
    return true;
}

/* Takes out the one at `index`, and leaves zero behind the last, since states are compared. */
static void pull(struct history_state *state, int index)
{
    int length = --state->words[LENGTH];

    for (int i = index; i < length; i++)
        state->words[FIRST + i] = state->words[FIRST + i + 1];
    state->words[FIRST + length] = 0;
}

/* Returns -1 if it is not there. */
static int index_of(const struct history_state *state, int value)
{
    for (int i = 0; i < state->words[LENGTH]; i++)
        if (state->words[FIRST + i] == value)
            return i;
    return -1;
}

static bool change(int *word, int from, int to)
{
    if (*word != from)
        return false;
    *word = to;
    return true;
}

bool model_mutex(struct history_state *state, const struct history_op *op)
{
    int *owner = &state->words[0];

    switch ((enum model_mutex_kind)op->kind) {
    case MUTEX_LOCK:
        return change(owner, 0, op->actor);
    case MUTEX_BUSY:
        return *owner != 0;
    case MUTEX_UNLOCK:
        return change(owner, op->actor, 0);
    }
    return false;
}

static bool clear(int *bits, int bit)
{
    bool was_set = (*bits & bit) != 0;

    *bits &= ~bit;
    return was_set;
}

bool model_semaphore(struct history_state *state, const struct history_op *op)
{
    int *permits = &state->words[0];
    int *waiting = &state->words[1];
    int *served = &state->words[2];
    int bit = 1 << op->actor;
    bool is_there = *permits >= op->value && *waiting == 0;

    switch ((enum model_semaphore_kind)op->kind) {
    case SEMAPHORE_ASK:
        if (is_there)
            *permits -= op->value;
        *(is_there ? served : waiting) |= bit;
        return true;
    case SEMAPHORE_ACQUIRE:
        if (clear(served, bit))
            return true;
        *permits -= op->value;
        return *permits >= 0 && clear(waiting, bit);
    case SEMAPHORE_LEAVE:
        return clear(waiting, bit);
    case SEMAPHORE_TAKE:
        *permits -= op->value;
        return is_there;
    case SEMAPHORE_BUSY:
        return !is_there;
    case SEMAPHORE_RELEASE:
        *permits += op->value;
        return true;
    case SEMAPHORE_AVAILABLE:
        return *permits == op->value;
    }
    return false;
}

bool model_rwlock(struct history_state *state, const struct history_op *op)
{
    int *readers = &state->words[0];
    int *writer = &state->words[1];

    switch ((enum model_rwlock_kind)op->kind) {
    case RWLOCK_READ:
        ++*readers;
        return *writer == 0;
    case RWLOCK_WRITE:
        return *readers == 0 && change(writer, 0, op->actor);
    case RWLOCK_DOWNGRADE:
        ++*readers;
        return change(writer, op->actor, 0);
    case RWLOCK_UNLOCK_READER:
        --*readers;
        return *readers >= 0;
    case RWLOCK_UNLOCK_WRITER:
        return change(writer, op->actor, 0);
    }
    return false;
}

bool model_channel(struct history_state *state, const struct history_op *op)
{
    int capacity = state->words[0];
    int *is_closed = &state->words[1];
    int length = state->words[LENGTH];

    switch ((enum model_channel_kind)op->kind) {
    case CHANNEL_SEND:
        return !*is_closed && length < capacity && push(state, op->value);
    case CHANNEL_OFFER:
        return !*is_closed && push(state, op->value);
    case CHANNEL_TAKEN:
        state->words[TAKEN] ^= 1 << op->actor;
        return (state->words[TAKEN] & 1 << op->actor) == 0;
    case CHANNEL_RECEIVE:
        if (length == 0 || state->words[FIRST] != op->value)
            return false;
        pull(state, 0);
        if (capacity == 0)
            state->words[TAKEN] |= 1 << op->value / MODEL_VALUE(1, 0);
        return true;
    case CHANNEL_FULL:
        return !*is_closed && length == capacity;
    case CHANNEL_EMPTY:
        return !*is_closed && length == 0;
    case CHANNEL_CLOSE:
        *is_closed = 1;
        return true;
    case CHANNEL_BROKEN:
        return *is_closed;
    case CHANNEL_END:
        return *is_closed && length == 0;
    }
    return false;
}

/* The first of those who wait may go on. */
static void let_go(struct history_state *state)
{
    state->words[1] |= 1 << state->words[FIRST];
    pull(state, 0);
}

bool model_condition(struct history_state *state, const struct history_op *op)
{
    int *owner = &state->words[0];
    int *released = &state->words[1];
    int bit = 1 << op->actor;
    int index;

    switch ((enum model_condition_kind)op->kind) {
    case CONDITION_LOCK:
        return change(owner, 0, op->actor);
    case CONDITION_UNLOCK:
        return change(owner, op->actor, 0);
    case CONDITION_BEGIN:
        return change(owner, op->actor, 0) && push(state, op->actor);
    case CONDITION_LEAVE:
        if ((index = index_of(state, op->actor)) < 0)
            return false;
        pull(state, index);
        *released |= bit;
        return true;
    case CONDITION_GO_ON:
        if ((*released & bit) == 0)
            return false;
        *released &= ~bit;
        return change(owner, 0, op->actor);
    case CONDITION_SIGNAL:
        if (state->words[LENGTH] > 0)
            let_go(state);
        return true;
    case CONDITION_BROADCAST:
        while (state->words[LENGTH] > 0)
            let_go(state);
        return true;
    }
    return false;
}
