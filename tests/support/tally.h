/* SPDX-License-Identifier: MIT */
/* Fibers that count themselves: what runs in the scopes of the tests. */
#ifndef WEFT_TEST_TALLY_H
#define WEFT_TEST_TALLY_H

#include "check.h"

#include <errno.h>
#include <stdatomic.h>
#include <weft.h>

struct tally {
    _Atomic(int) begun;
    _Atomic(int) ended;
    _Atomic(int) cancelled;
    weft_scope *scope;
    _Atomic(int) go;
};

static inline int count(void *arg)
{
    struct tally *tally = arg;

    atomic_fetch_add(&tally->begun, 1);
    (void)weft_yield();
    atomic_fetch_add(&tally->ended, 1);
    return 3; /* 0 or more is success */
}

/* Waits until it is cancelled, and says how. */
static inline int linger(void *arg)
{
    struct tally *tally = arg;
    int result;

    atomic_fetch_add(&tally->begun, 1);
    result = weft_sleep_until(WEFT_FOREVER);
    CHECK(result == -ECANCELED || result == -ETIMEDOUT);
    CHECK(weft_is_cancelled());
    CHECK_EQ(weft_yield(), result);
    CHECK_EQ(weft_sleep(3600 * WEFT_SECOND), result);
    CHECK_EQ(weft_spawn(NULL, count, tally), result);
    atomic_fetch_add(&tally->cancelled, 1);
    return result;
}

static inline void await_count(_Atomic(int) *counter, int value)
{
    while (atomic_load(counter) < value)
        (void)weft_yield();
}

#endif
