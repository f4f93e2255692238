/* SPDX-License-Identifier: MIT */
/* One mutex, locked by code that was compiled in different ways: a program and its libraries choose
 * each for itself whether its locks are checked, and other languages call the functions. */
#define _GNU_SOURCE 1
#define WEFT_LOCK_CHECKS 0

#include "../support/fixture.h"

enum { INLINE, CHECKED, BY_CALL, FORMS, FIBERS = 30, ROUNDS = 400 };

static weft_mutex mutex = WEFT_MUTEX_INIT;
static long count; /* under the mutex: plain on purpose */

static int lock_by(unsigned form)
{
    if (form == INLINE)
        return weft_mutex_lock(&mutex, WEFT_FOREVER);
    if (form == CHECKED)
        return weft_mutex_lock_checked(&mutex, WEFT_FOREVER);
    return (weft_mutex_lock)(&mutex, WEFT_FOREVER);
}

static void unlock_by(unsigned form)
{
    if (form == INLINE)
        weft_mutex_unlock(&mutex);
    else
        (weft_mutex_unlock)(&mutex);
}

static int count_by(void *arg)
{
    unsigned form = (unsigned)(uintptr_t)arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(lock_by(form), 0);
        count++;
        if (i % 8 == 0)
            (void)weft_yield();
        unlock_by(form);
    }
    return 0;
}

static int count_by_all(void *arg)
{
    weft_fiber *fibers[FIBERS];

    (void)arg;
    for (uintptr_t i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(count_by, (void *)(i % FORMS));
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

WORKER_TEST(mutex_mixed, it_excludes_however_others_were_compiled, TEST_TIMEOUT_S)
{
    count = 0;
    cr_expect_eq(run_workers(*workers, count_by_all, NULL), 0);
    cr_expect_eq(count, (long)FIBERS * ROUNDS);
    cr_expect_eq(mutex.word, 0u);
    cr_expect_null(mutex.queue);
    weft_mutex_destroy(&mutex); /* which leaves a word of its own */
    mutex = (weft_mutex)WEFT_MUTEX_INIT;
}
