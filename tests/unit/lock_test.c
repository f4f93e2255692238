/* SPDX-License-Identifier: MIT */
/* runtime/lock.c with far more threads than CPUs; tests/model has the interleavings. */
#include "runtime/lock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

enum { TIMEOUT_S = 120, THREADS = 16, ROUNDS = 5000 };

static struct wf_lock lock;
static unsigned counter; /* plain memory: two holders at once lose an update */

static void *count_up(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned value;

        wf_lock_acquire(&lock);
        value = counter;
        /* The holder loses its CPU: the others have to sleep. */
        if (i % 50 == 0)
            sched_yield();
        counter = value + 1;
        wf_lock_release(&lock);
    }
    return NULL;
}

/* No update is lost, and no waiter sleeps for ever (which would run into the timeout). */
Test(lock, excludes_more_threads_than_there_are_cpus, .timeout = TIMEOUT_S)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect_eq(counter, THREADS * ROUNDS);
    cr_expect_eq(atomic_load(&lock.word), WF_LOCK_FREE);
}

Test(lock, is_free_again_after_each_release, .timeout = TIMEOUT_S)
{
    for (int i = 0; i < 3; i++) {
        wf_lock_acquire(&lock);
        cr_expect_eq(atomic_load(&lock.word), WF_LOCK_HELD);
        wf_lock_release(&lock);
        cr_expect_eq(atomic_load(&lock.word), WF_LOCK_FREE);
    }
}
