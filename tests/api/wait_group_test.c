/* SPDX-License-Identifier: MIT */
/* wait_group.h: wait groups and latches, for fibers and plain threads. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FIBERS = 30, THREADS = 2, ALL = FIBERS + THREADS, ROUNDS = TEST_IS_TSAN ? 60 : 300 };

struct shared {
    weft_wait_group group;
    weft_latch latch;
    weft_latch gone; /* those who have nothing more to do with the others */
    int work[ALL];   /* plain: what was done must be seen after the wait */
    _Atomic(int) next;
    _Atomic(int) through;
    _Atomic(int) ended;
};

static void yield_a_while(void)
{
    for (int i = 0; i < 50; i++)
        (void)weft_yield();
}

static int sum(const struct shared *shared)
{
    int result = 0;

    for (int i = 0; i < ALL; i++)
        result += shared->work[i];
    return result;
}

static void work(struct shared *shared)
{
    int mine = atomic_fetch_add(&shared->next, 1);

    (void)weft_yield();
    shared->work[mine % ALL]++;
    weft_wait_group_done(&shared->group);
}

static int work_in_fiber(void *arg)
{
    work(arg);
    return 0;
}

static void *work_in_thread(void *arg)
{
    work(arg);
    return NULL;
}

/* A piece of work that finds more to do: the count cannot be zero in between. */
static int divide_work(void *arg)
{
    struct shared *shared = arg;

    weft_wait_group_add(&shared->group, 1);
    CHECK_EQ(weft_spawn(NULL, work_in_fiber, shared), 0);
    work(shared);
    return 0;
}

static void await_and_add_up(struct shared *shared)
{
    CHECK_EQ(weft_wait_group_wait(&shared->group, WEFT_FOREVER), 0);
    CHECK_EQ(sum(shared), ALL);
    (void)atomic_fetch_add(&shared->through, 1);
}

static int await_in_fiber(void *arg)
{
    await_and_add_up(arg);
    return 0;
}

static void *await_in_thread(void *arg)
{
    await_and_add_up(arg);
    return NULL;
}

static int give_work_away(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS + 1];

    weft_wait_group_add(&shared->group, THREADS + FIBERS / 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_spawn(NULL, await_in_fiber, shared), 0);
    CHECK_EQ(pthread_create(&threads[THREADS], NULL, await_in_thread, shared), 0);
    yield_a_while();
    CHECK_EQ(atomic_load(&shared->through), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_thread, shared), 0);
    for (int i = 0; i < FIBERS / 2; i++)
        CHECK_EQ(weft_spawn(NULL, divide_work, shared), 0);
    await_and_add_up(shared);
    while (atomic_load(&shared->through) < 5)
        (void)weft_yield();
    for (int i = 0; i <= THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(wait_group, all_work_is_done_and_seen_when_the_wait_is_over, TEST_TIMEOUT_S)
{
    struct shared shared = {.group = WEFT_WAIT_GROUP_INIT};

    cr_expect_eq(run_workers(*workers, give_work_away, &shared), 0);
    cr_expect_eq(shared.group.count, 0);
    cr_expect_null(shared.group.queue);
}

static int use_again(void *arg)
{
    struct shared *shared = arg;

    for (int i = 1; i <= ROUNDS; i++) {
        weft_wait_group_add(&shared->group, 4);
        for (int j = 0; j < 4; j++)
            CHECK_EQ(weft_spawn(NULL, work_in_fiber, shared), 0);
        CHECK_EQ(weft_wait_group_wait(&shared->group, WEFT_FOREVER), 0);
        CHECK_EQ(sum(shared), 4 * i);
    }
    return 0;
}

WORKER_TEST(wait_group, it_is_used_again_and_again, TEST_TIMEOUT_S)
{
    struct shared shared = {.group = WEFT_WAIT_GROUP_INIT};

    cr_expect_eq(run_workers(*workers, use_again, &shared), 0);
}

static int let_deadlines_pass(void *arg)
{
    weft_wait_group *group = arg;
    weft_latch latch = WEFT_LATCH_INIT(2);

    CHECK_EQ(weft_wait_group_wait(group, 0), 0);
    weft_wait_group_add(group, 0);
    CHECK_EQ(weft_wait_group_wait(group, weft_now() - 1), 0);
    weft_wait_group_add(group, 2);
    weft_wait_group_done(group);
    CHECK_EQ(weft_wait_group_wait(group, 0), -ETIMEDOUT);
    CHECK_EQ(weft_wait_group_wait(group, weft_after(2 * WEFT_MILLISECOND)), -ETIMEDOUT);
    weft_wait_group_done(group);
    CHECK_EQ(weft_wait_group_wait(group, 0), 0);

    CHECK_EQ(weft_latch_wait(&latch, 0), -ETIMEDOUT);
    CHECK_EQ(weft_latch_arrive_and_wait(&latch, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_latch_wait(&latch, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_latch_arrive_and_wait(&latch, weft_now() - 1), 0);
    CHECK_EQ(weft_latch_wait(&latch, 0), 0);
    CHECK_EQ(weft_latch_wait(&latch, 0), 0);
    return 0;
}

WORKER_TEST(wait_group, a_deadline_counts_only_while_something_is_left, TEST_TIMEOUT_S)
{
    weft_wait_group group = WEFT_WAIT_GROUP_INIT;

    cr_expect_eq(run_workers(*workers, let_deadlines_pass, &group), 0);
    cr_expect_eq(let_deadlines_pass(&group), 0, "a plain thread");
}

static int wait_for_group(void *arg)
{
    struct shared *shared = arg;

    (void)atomic_fetch_add(&shared->through, 1);
    return weft_wait_group_wait(&shared->group, WEFT_FOREVER);
}

/* Some are cancelled while work is left, others only once it is done: that comes too late, also for
 * those that have not run yet. */
static int cancel_half(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[FIBERS];

    weft_wait_group_add(&shared->group, 1);
    for (int i = 0; i < FIBERS; i++)
        fibers[i] = must_spawn(wait_for_group, shared);
    while (atomic_load(&shared->through) < FIBERS)
        CHECK_EQ(weft_yield(), 0);
    yield_a_while();
    for (int i = 0; i < FIBERS / 2; i += 2)
        weft_cancel(fibers[i]);
    for (int i = 0; i < FIBERS / 2; i += 2)
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
    weft_wait_group_done(&shared->group);
    for (int i = FIBERS / 2 + 1; i < FIBERS; i += 2)
        weft_cancel(fibers[i]);
    for (int i = 0; i < FIBERS; i++)
        if (i % 2 == 1 || i >= FIBERS / 2)
            CHECK_EQ(must_join(fibers[i]), 0);
    weft_cancel(weft_self());
    CHECK_EQ(weft_wait_group_wait(&shared->group, WEFT_FOREVER), 0);
    weft_wait_group_add(&shared->group, 1);
    CHECK_EQ(weft_wait_group_wait(&shared->group, WEFT_FOREVER), -ECANCELED);
    weft_wait_group_done(&shared->group);
    return 0;
}

WORKER_TEST(wait_group, a_cancel_ends_one_wait_and_no_other, TEST_TIMEOUT_S)
{
    struct shared shared = {.group = WEFT_WAIT_GROUP_INIT};

    cr_expect_eq(run_workers(*workers, cancel_half, &shared), 0);
    cr_expect_null(shared.group.queue);
}

static void meet(struct shared *shared)
{
    int mine = atomic_fetch_add(&shared->next, 1);

    shared->work[mine] = 1;
    if (mine % 3 == 0) {
        weft_latch_arrive(&shared->latch);
        CHECK_EQ(weft_latch_wait(&shared->latch, WEFT_FOREVER), 0);
    } else {
        CHECK_EQ(weft_latch_arrive_and_wait(&shared->latch, WEFT_FOREVER), 0);
    }
    CHECK_EQ(sum(shared), ALL);
    weft_latch_arrive(&shared->gone);
}

static int meet_in_fiber(void *arg)
{
    meet(arg);
    return 0;
}

static void *meet_in_thread(void *arg)
{
    meet(arg);
    return NULL;
}

static int meet_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, meet_in_thread, shared), 0);
    for (int i = 1; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, meet_in_fiber, shared), 0);
    yield_a_while();
    CHECK_EQ(weft_latch_wait(&shared->latch, 0), -ETIMEDOUT);
    CHECK_EQ(weft_latch_wait(&shared->gone, 0), -ETIMEDOUT);
    CHECK_EQ(weft_spawn(NULL, meet_in_fiber, shared), 0);
    CHECK_EQ(weft_latch_wait(&shared->gone, WEFT_FOREVER), 0);
    CHECK_EQ(weft_latch_wait(&shared->latch, 0), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(latch, it_opens_when_all_have_arrived_and_stays_open, TEST_TIMEOUT_S)
{
    struct shared shared = {.latch = WEFT_LATCH_INIT(ALL), .gone = WEFT_LATCH_INIT(ALL)};

    cr_expect_eq(run_workers(*workers, meet_all, &shared), 0);
    cr_expect_null(shared.latch.queue);
    cr_expect_eq(shared.latch.count, 0);
}

static int arrive_and_wait(void *arg)
{
    return weft_latch_arrive_and_wait(arg, WEFT_FOREVER);
}

static int cancel_one_that_arrived(void *arg)
{
    weft_latch *latch = arg;
    weft_fiber *fiber = must_spawn(arrive_and_wait, latch);

    weft_cancel(fiber); /* before it arrives, or while it waits: both must end the same way */
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(weft_latch_wait(latch, 0), -ETIMEDOUT);
    return weft_latch_arrive_and_wait(latch, WEFT_FOREVER);
}

/* The others would wait for ever for one who has gone. */
WORKER_TEST(latch, one_that_is_cancelled_has_arrived, TEST_TIMEOUT_S)
{
    weft_latch latch = WEFT_LATCH_INIT(2);

    cr_expect_eq(run_workers(*workers, cancel_one_that_arrived, &latch), 0);
    cr_expect_null(latch.queue);
}

static int do_one(void *arg)
{
    weft_wait_group_done(arg);
    return 0;
}

static int arrive_at_one(void *arg)
{
    weft_latch_arrive(arg);
    return 0;
}

static int wait_and_free(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_wait_group *group = calloc(1, sizeof *group);
        weft_latch *latch = calloc(1, sizeof *latch);
        weft_fiber *fibers[2];

        CHECK(group != NULL && latch != NULL);
        *latch = (weft_latch)WEFT_LATCH_INIT(1);
        weft_wait_group_add(group, 1);
        fibers[0] = must_spawn(do_one, group);
        fibers[1] = must_spawn(arrive_at_one, latch);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_wait_group_wait(group, WEFT_FOREVER), 0);
        free(group);
        CHECK_EQ(weft_latch_wait(latch, WEFT_FOREVER), 0);
        free(latch);
        CHECK_EQ(must_join(fibers[0]), 0);
        CHECK_EQ(must_join(fibers[1]), 0);
    }
    return 0;
}

/* The last one may still be in its call. */
WORKER_TEST(wait_group, who_has_waited_may_free_it, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_and_free, NULL), 0);
}

enum { DONE_BELOW_ZERO, ADD_TOO_MANY, ARRIVE_AT_OPEN, ARRIVE_AND_WAIT_AT_OPEN };

CHILD(break_a_rule)
{
    weft_wait_group group = WEFT_WAIT_GROUP_INIT;
    weft_latch latch = WEFT_LATCH_INIT(1);

    weft_wait_group_add(&group, 1);
    weft_wait_group_done(&group);
    weft_latch_arrive(&latch);
    if (parameter == DONE_BELOW_ZERO)
        weft_wait_group_done(&group);
    weft_wait_group_add(&group, UINT64_MAX);
    if (parameter == ADD_TOO_MANY)
        weft_wait_group_add(&group, 1);
    if (parameter == ARRIVE_AT_OPEN)
        weft_latch_arrive(&latch);
    if (parameter == ARRIVE_AND_WAIT_AT_OPEN)
        return weft_latch_arrive_and_wait(&latch, 0);
    return 0;
}

Test(wait_group, misuse_aborts, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("break_a_rule", DONE_BELOW_ZERO, "more were done than had been added");
    expect_abort("break_a_rule", ADD_TOO_MANY, "does not fit into 64 bits");
    expect_abort("break_a_rule", ARRIVE_AT_OPEN, "weft_latch_arrive: the latch is open");
    expect_abort("break_a_rule", ARRIVE_AND_WAIT_AT_OPEN, "arrive_and_wait: the latch is open");
}
