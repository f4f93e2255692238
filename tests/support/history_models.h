/* SPDX-License-Identifier: MIT */
/* What the objects of sync/ do where one uses them at a time: models for history.h.  Actors are
 * numbered from 1. */
#ifndef WEFT_TEST_HISTORY_MODELS_H
#define WEFT_TEST_HISTORY_MODELS_H

#include "history.h"

enum { MODEL_ACTORS_MAX = 8 };

/* A value for a channel: it says who sent it, and each is sent once. */
#define MODEL_VALUE(actor, number) ((actor)*100 + (number))

/* words[0]: who has it.  Free at first. */
enum model_mutex_kind {
    MUTEX_LOCK,
    MUTEX_BUSY, /* a try that found it locked */
    MUTEX_UNLOCK,
};
history_model model_mutex;

/*
 * words[0]: how many there are, the initial state says so; words[1]: a bit for each actor that
 * waits; words[2]: one for each that has asked and found them there.  `value` is a number of
 * permits.  A call that may wait has two parts: it asks, and then acquires or leaves.
 */
enum model_semaphore_kind {
    SEMAPHORE_ASK,
    SEMAPHORE_ACQUIRE,
    SEMAPHORE_LEAVE,
    SEMAPHORE_TAKE, /* without waiting */
    SEMAPHORE_BUSY, /* the same, and they were not there, or somebody waited */
    SEMAPHORE_RELEASE,
    SEMAPHORE_AVAILABLE, /* `value` was read */
};
history_model model_semaphore;

/* words[0]: the number of readers; words[1]: the writer. */
enum model_rwlock_kind {
    RWLOCK_READ,
    RWLOCK_WRITE,
    RWLOCK_DOWNGRADE,
    RWLOCK_UNLOCK_READER,
    RWLOCK_UNLOCK_WRITER,
};
history_model model_rwlock;

/*
 * words[0]: the capacity, the initial state says so; words[1]: closed; words[2]: the number of
 * values, which follow; the last: a bit for each actor whose offer was taken.  A send without a
 * buffer, that is with capacity 0, has two parts: it offers, and ends when the value was received.
 */
enum model_channel_kind {
    CHANNEL_SEND,
    CHANNEL_OFFER,
    CHANNEL_TAKEN,
    CHANNEL_RECEIVE,
    CHANNEL_FULL,  /* a try to send that would have had to wait */
    CHANNEL_EMPTY, /* the same to receive */
    CHANNEL_CLOSE,
    CHANNEL_BROKEN, /* a send after the close */
    CHANNEL_END,    /* a receive after the close, with nothing left */
};
history_model model_channel;

/*
 * A mutex and a condition variable.  words[0]: who has the mutex; words[1]: a bit for each actor
 * that may go on; words[2]: the number of those who wait, which follow in their order.  A wait has
 * two parts, or three if a deadline or a cancel ended it.
 */
enum model_condition_kind {
    CONDITION_LOCK,
    CONDITION_UNLOCK,
    CONDITION_BEGIN, /* unlocks and waits */
    CONDITION_LEAVE, /* waits no more, though nobody has signalled */
    CONDITION_GO_ON, /* locks the mutex */
    CONDITION_SIGNAL,
    CONDITION_BROADCAST,
};
history_model model_condition;

#endif
