/* SPDX-License-Identifier: MIT */
/* A worker takes from its own queues without claims while nobody steals: others still can, and it
 * goes back to that; and where the system has no barrier for it, all is as it was. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/forbid.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROUNDS = 16, CROWD = 200, TURNS = 200 /* more than between a worker's looks around */ };

static const struct weft_config two_workers = {.workers = 2, .monitor = 2}; /* and no spares */

static int set_flag(void *arg)
{
    atomic_store((_Atomic(int) *)arg, 1);
    return 0;
}

/* Another worker has to take the fiber away. */
static void compute_before_a_fiber(void)
{
    _Atomic(int) flag = 0;
    weft_fiber *other = must_spawn(set_flag, &flag);

    /* Relaxed: ThreadSanitizer keeps writers waiting for readers of any other order. */
    while (atomic_load_explicit(&flag, memory_order_relaxed) == 0)
        ;
    CHECK_EQ(must_join(other), 0);
}

static int yield_a_little(void *arg)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(weft_yield(), 0);
    return (int)(intptr_t)arg;
}

static void run_a_crowd(void)
{
    weft_fiber *fibers[CROWD];

    for (intptr_t i = 0; i < CROWD; i++)
        fibers[i] = must_spawn(yield_a_little, (void *)i);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(fibers[i]), i);
}

static void yield_often(void)
{
    for (int i = 0; i < TURNS; i++)
        CHECK_EQ(weft_yield(), 0);
}

/* Turns for as long as a worker claims what it takes after a theft. */
static void have_turns_for_long(void)
{
    weft_time end;

    yield_often();
    end = weft_after(3 * WEFT_MILLISECOND);
    while (weft_now() < end)
        CHECK_EQ(weft_yield(), 0);
    yield_often();
}

static int be_stolen_from(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        compute_before_a_fiber();
        run_a_crowd();
        have_turns_for_long();
    }
    return 0;
}

static bool has_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Each round is a theft from a worker that has been alone for a while: the second from the same
 * worker takes a barrier again only if that worker has gone back to taking without claims. */
Test(gate, opens_again_after_each_theft, .timeout = TEST_TIMEOUT_S)
{
    struct weft_stats stats;

    if (!has_membarrier())
        cr_skip_test("this system has no membarrier");
    cr_expect_eq(run_config(&two_workers, be_stolen_from, NULL), 0);
    stats = run_stats();
    /* In chaos mode whoever should be behind a computation can be somewhere else. */
    if (getenv("WEFT_CHAOS") == NULL)
        cr_expect_geq(stats.barriers, ROUNDS / 4, "%llu barriers, %llu steals",
                      (unsigned long long)stats.barriers, (unsigned long long)stats.steals);
}

static int yield_for_long(void *arg)
{
    (void)arg;
    run_a_crowd();
    have_turns_for_long();
    return 0;
}

/* Who is alone asks for none. */
Test(gate, one_worker_takes_no_barrier, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};

    cr_expect_eq(run_config(&config, yield_for_long, NULL), 0);
    cr_expect_eq(run_stats().barriers, 0);
}

CHILD(run_without_membarrier)
{
    struct weft_stats stats;

    forbid_system_call(SYS_membarrier, parameter);
    CHECK_EQ(weft_run(&two_workers, be_stolen_from, NULL), 0);
    CHECK_EQ(weft_stats_read(&stats), 0);
    CHECK_EQ(stats.barriers, 0);
    CHECK(stats.steals > 0);
    return weft_doctor(NULL, stdout);
}

static unsigned long long steal_more(unsigned long long steals)
{
    struct weft_stats stats;

    do {
        run_a_crowd();
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.steals <= steals);
    return stats.steals;
}

static int lose_membarrier(void *arg)
{
    unsigned long long steals = steal_more(0);

    forbid_system_call(SYS_membarrier, *(unsigned *)arg);
    for (int i = 0; i < ROUNDS; i++)
        steals = steal_more(steals);
    return 0;
}

CHILD(run_and_lose_membarrier)
{
    struct weft_config config = {.workers = 2, .monitor = 2, .wake_backlog_us = 20};
    unsigned error = parameter;

    return weft_run(&config, lose_membarrier, &error);
}

/* A program can shut itself in when it has started.  Whoever waited for a barrier that does not
 * come any more would never steal again. */
Test(gate, goes_on_where_membarrier_is_refused_later, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    run_child("run_and_lose_membarrier", EPERM, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "signal %d: %s", end.signal, end.output);
}

/* Sandboxes refuse what is newer than they are. */
Test(gate, everything_is_claimed_where_membarrier_is_refused, .timeout = TEST_TIMEOUT_S)
{
    static const unsigned errors[] = {ENOSYS, EPERM};

    for (size_t i = 0; i < 2; i++) {
        struct child_end end;

        run_child("run_without_membarrier", errors[i], NULL, &end);
        cr_expect_eq(end.exit_status, 0, "error %u, signal %d: %s", errors[i], end.signal,
                     end.output);
        cr_expect_not_null(strstr(end.output, "membarrier is refused"), "\"%s\"", end.output);
    }
}
