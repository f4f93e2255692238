/* SPDX-License-Identifier: MIT */
/* task.h: a cancel from a plain thread, which the joiner of a stolen task passes on. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { READERS = 8 }; /* as many as a ring has slots: their cancels fill it */

struct jam {
    int fds[2];
    _Atomic(int) reading, is_done;
    weft_fiber *readers[READERS];
    weft_fiber *joiner;
    pthread_t thread;
};

static int read_nothing(void *arg)
{
    struct jam *jam = arg;
    char byte;

    (void)atomic_fetch_add(&jam->reading, 1);
    return (int)weft_read(jam->fds[0], &byte, 1, WEFT_FOREVER);
}

static void *cancel_all(void *arg)
{
    struct jam *jam = arg;

    for (int i = 0; i < READERS; i++)
        weft_cancel(jam->readers[i]);
    weft_cancel(jam->joiner);
    atomic_store(&jam->is_done, 1);
    return NULL;
}

WEFT_TASK(read_in_task, int, struct jam *)

static int read_in_task(weft_team team, struct jam *jam)
{
    (void)team;
    return read_nothing(jam);
}

WEFT_TASK(hold_worker, int, struct jam *)

/* Submits nothing while the thread cancels, and then ends. */
static int hold_worker(weft_team team, struct jam *jam)
{
    weft_time end;

    (void)team;
    while (atomic_load(&jam->reading) < READERS + 1)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_sleep(5 * WEFT_MILLISECOND), 0); /* the joiner has come to its join */
    end = weft_after(30 * WEFT_MILLISECOND);
    CHECK_EQ(pthread_create(&jam->thread, NULL, cancel_all, jam), 0);
    while (weft_now() < end)
        continue;
    return 1;
}

WEFT_TASK(join_both, int, struct jam *)

static int join_both(weft_team team, struct jam *jam)
{
    struct hold_worker_task first;
    struct read_in_task_task second;
    int result;

    hold_worker_fork(&team, &first, jam);
    read_in_task_fork(&team, &second, jam);
    while (atomic_load(&jam->reading) < READERS + 1)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
    result = read_in_task_join(&team, &second);
    CHECK_EQ(hold_worker_join(&team, &first), 1);
    return result;
}

static int call_join_both(void *arg)
{
    return join_both_call(arg);
}

static int run_jam(void *arg)
{
    struct jam *jam = arg;

    CHECK_EQ(pipe(jam->fds), 0);
    for (int i = 0; i < READERS; i++)
        jam->readers[i] = must_spawn(read_nothing, jam);
    jam->joiner = must_spawn(call_join_both, jam);
    while (atomic_load(&jam->is_done) == 0)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(pthread_join(jam->thread, NULL), 0);
    CHECK_EQ(must_join(jam->joiner), -ECANCELED);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(must_join(jam->readers[i]), -ECANCELED);
    return close(jam->fds[0]) + close(jam->fds[1]);
}

/* The thread finds the only worker's ring full, and waits until it is submitted.  If it held a lock
 * of the tasks meanwhile, the worker would wait for it at the end of the other task, for ever. */
Test(task_cancel, a_thread_that_cancels_a_joiner_holds_nobody_up, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .ring_entries = READERS, .monitor = 3};
    struct jam jam = {{0, 0}, 0, 0, {NULL}, NULL, 0};

    cr_expect_eq(run_config(&config, run_jam, &jam), 0);
    cr_expect_eq(run_stats().tasks_stolen, 2);
}
