/* SPDX-License-Identifier: MIT */
/* runtime/gate.h with the system's own barrier.  tests/model has the interleavings. */
#include "runtime/gate.h"

#include "check.h"
#include "child.h"
#include "forbid.h"
#include "runtime/ready.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { TIMEOUT_S = 120, THIEVES = 2, ITEMS = 200000, CAPACITY = 16, MOST = 300, TURNS = 61 };

static const int64_t start = 5;

static struct wf_gate make_gate(void)
{
    struct wf_gate gate = {0};

    if (!wf_os_barrier_prepare())
        cr_skip_test("this system has no membarrier");
    wf_gate_init(&gate, true);
    return gate;
}

static bool passes(struct wf_gate *gate)
{
    bool is_alone = wf_gate_pass(gate);

    if (is_alone)
        wf_gate_leave(gate);
    return is_alone;
}

static void shut(struct wf_gate *gate, uint64_t expected_barriers)
{
    uint64_t barriers = 0;

    cr_assert(wf_gate_shut(gate, &barriers));
    cr_expect_eq(barriers, expected_barriers);
}

/* The owner's way is free until a thief comes, and from then on it is not: neither while the thief
 * is there nor afterwards, when others may come for nothing. */
Test(gate, is_shut_by_the_first_thief_and_costs_the_next_ones_nothing, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = make_gate();

    cr_expect(passes(&gate));
    cr_expect(passes(&gate));
    shut(&gate, 1);
    cr_expect(!passes(&gate));
    shut(&gate, 0);
    wf_gate_withdraw(&gate);
    wf_gate_withdraw(&gate);
    cr_expect(!passes(&gate));
    shut(&gate, 0);
    wf_gate_withdraw(&gate);
    cr_expect(!passes(&gate));
}

/* The owner opens it, in its own time: a barrier for each fiber that is stolen would cost more than
 * all that is saved. */
Test(gate, opens_when_it_has_been_shut_for_long, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = make_gate();

    for (int64_t now = start; now < 4 * WF_GATE_SHUT_NS; now += 2 * WF_GATE_SHUT_NS) {
        wf_gate_open(&gate, now - 1);
        cr_expect(passes(&gate));
        shut(&gate, 1);
        wf_gate_withdraw(&gate);
        wf_gate_open(&gate, now);
        cr_expect(!passes(&gate));
        wf_gate_open(&gate, now + WF_GATE_SHUT_NS - 1);
        cr_expect(!passes(&gate));
        wf_gate_open(&gate, now + WF_GATE_SHUT_NS);
        cr_expect(passes(&gate));
    }
}

Test(gate, stays_shut_while_a_thief_is_there, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = make_gate();

    shut(&gate, 1);
    shut(&gate, 0);
    wf_gate_open(&gate, start);
    wf_gate_withdraw(&gate);
    wf_gate_open(&gate, start + WF_GATE_SHUT_NS);
    cr_expect(!passes(&gate));
    wf_gate_withdraw(&gate);
    wf_gate_open(&gate, start + WF_GATE_SHUT_NS + 1);
    cr_expect(passes(&gate));
}

/* An owner that is within may have lost its CPU. */
Test(gate, is_left_open_by_a_thief_that_gives_up, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = make_gate();
    uint64_t barriers = 0;

    cr_assert(wf_gate_pass(&gate));
    cr_expect(!wf_gate_shut(&gate, &barriers));
    cr_expect_eq(barriers, 1);
    wf_gate_leave(&gate);
    cr_expect(passes(&gate));
}

/* One that the owner has seen waiting, and that then gave up, has not shut it: the time of a later
 * one is not counted from there, or the gate would be open again at once. */
Test(gate, counts_its_time_from_when_it_was_shut, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = make_gate();
    int64_t later = start + 5 * WF_GATE_SHUT_NS;

    atomic_store(&gate.thieves, WF_GATE_THIEF);
    cr_expect(!passes(&gate));
    wf_gate_open(&gate, start);
    wf_gate_withdraw(&gate);
    shut(&gate, 1);
    wf_gate_withdraw(&gate);
    wf_gate_open(&gate, later);
    cr_expect(!passes(&gate));
    wf_gate_open(&gate, later + WF_GATE_SHUT_NS);
    cr_expect(passes(&gate));
}

/* As on a system that has no such barrier: everybody claims. */
Test(gate, stays_shut_without_the_barrier, .timeout = TIMEOUT_S)
{
    struct wf_gate gate = {0};

    wf_gate_init(&gate, false);
    cr_expect(!passes(&gate));
    shut(&gate, 0);
    wf_gate_withdraw(&gate);
    wf_gate_open(&gate, start);
    wf_gate_open(&gate, start + 2 * WF_GATE_SHUT_NS);
    cr_expect(!passes(&gate));
    shut(&gate, 0);
    wf_gate_withdraw(&gate);
}

CHILD(shut_without_membarrier)
{
    struct wf_gate gate = {0};
    uint64_t barriers = 0;

    (void)parameter;
    wf_gate_init(&gate, true);
    if (!wf_os_barrier_prepare())
        return 0;
    forbid_system_call(SYS_membarrier, EPERM);
    CHECK(!wf_os_barrier_prepare());
    CHECK(!wf_gate_shut(&gate, &barriers));
    CHECK_EQ(barriers, 1);
    CHECK(!passes(&gate));
    CHECK(wf_gate_shut(&gate, &barriers));
    CHECK_EQ(barriers, 1);
    wf_gate_withdraw(&gate);
    wf_gate_open(&gate, start);
    wf_gate_open(&gate, start + 2 * WF_GATE_SHUT_NS);
    CHECK(!passes(&gate));
    return 0;
}

/* A filter that comes late refuses what was promised: the first thief goes away with nothing, but
 * has the owner claim from then on, or there would never be a theft again. */
Test(gate, is_shut_by_its_owner_if_the_barrier_fails, .timeout = TIMEOUT_S)
{
    struct child_end end;

    run_child("shut_without_membarrier", 0, NULL, &end);
    cr_expect_eq(end.exit_status, 0, "signal %d: %s", end.signal, end.output);
}

struct contest {
    struct wf_gate gate;
    struct wf_ready ready; /* the odd items */
    struct wf_deque fresh; /* the even ones */
    _Atomic(unsigned char) taken[ITEMS + 1];
    int payload[ITEMS + 1]; /* plain memory: ThreadSanitizer sees a take that missed its push */
    _Atomic(int) pushed_all;
    _Atomic(uint64_t) barriers;
};

static void take(struct contest *contest, void *item)
{
    uintptr_t number = (uintptr_t)item;

    CHECK_EQ(contest->payload[number], (int)number);
    CHECK_EQ(atomic_fetch_add(&contest->taken[number], 1), 0);
}

static int64_t queued(struct contest *contest)
{
    return (int64_t)wf_ready_size(&contest->ready) + wf_deque_size(&contest->fresh);
}

static void steal(struct contest *contest, uint64_t *barriers)
{
    void *items[MOST], *fresh;
    uint64_t count;

    if (!wf_gate_shut(&contest->gate, barriers))
        return;
    count = wf_ready_take_half(&contest->ready, items, sizeof items / sizeof *items);
    fresh = wf_deque_steal(&contest->fresh);
    wf_gate_withdraw(&contest->gate);
    for (uint64_t i = 0; i < count; i++)
        take(contest, items[i]);
    if (fresh != NULL)
        take(contest, fresh);
}

static bool is_shut(struct wf_gate *gate)
{
    return (atomic_load(&gate->thieves) & WF_GATE_SHUT) != 0;
}

static void *run_thief(void *arg)
{
    struct contest *contest = arg;
    uint64_t barriers = 0;

    do {
        /* Nothing is freed before the end: no need to say that we look. */
        steal(contest, &barriers);
        /* Mostly to an open gate: it would seldom be one if somebody were always there. */
        while (is_shut(&contest->gate) && atomic_load(&contest->pushed_all) == 0)
            sched_yield();
    } while (atomic_load(&contest->pushed_all) == 0 || queued(contest) > 0);
    (void)atomic_fetch_add(&contest->barriers, barriers);
    return NULL;
}

/* As in take.h. */
static void take_own(struct contest *contest, uintptr_t turn)
{
    bool is_alone = wf_gate_pass(&contest->gate);
    void *item;

    if (turn % 4 < 2)
        item = is_alone ? wf_ready_pop_alone(&contest->ready) : wf_ready_pop(&contest->ready);
    else
        item = is_alone ? wf_deque_pop_alone(&contest->fresh) : wf_deque_pop(&contest->fresh);
    if (is_alone)
        wf_gate_leave(&contest->gate);
    if (item != NULL)
        take(contest, item);
}

static void run_owner(struct contest *contest)
{
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        contest->payload[i] = (int)i;
        CHECK(i % 2 == 1 ? wf_ready_push(&contest->ready, (void *)i)
                         : wf_deque_push(&contest->fresh, (void *)i));
        take_own(contest, i);
        /* The time between two looks is long enough for a gate that is shut to be open again. */
        if (i % TURNS == 0)
            wf_gate_open(&contest->gate, (int64_t)i * WF_GATE_SHUT_NS);
        while (queued(contest) > MOST)
            take_own(contest, (uintptr_t)random());
    }
    atomic_store(&contest->pushed_all, 1);
}

/* Threads at full speed, with the barrier of the system and none of the processor's on the owner's
 * side: every item is taken once. */
Test(gate, threads_take_every_item_exactly_once, .timeout = TIMEOUT_S)
{
    struct contest *contest = aligned_alloc(_Alignof(struct contest), sizeof *contest);
    pthread_t thieves[THIEVES];

    cr_assert_not_null(contest);
    memset(contest, 0, sizeof *contest);
    contest->gate = make_gate();
    cr_assert(wf_ready_init(&contest->ready, CAPACITY) && wf_deque_init(&contest->fresh, CAPACITY));
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&thieves[i], NULL, run_thief, contest), 0);
    run_owner(contest);
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_join(thieves[i], NULL), 0);
    cr_expect_gt(atomic_load(&contest->barriers), 0, "no thief came to an open gate");
    for (uintptr_t i = 1; i <= ITEMS; i++)
        CHECK_EQ(atomic_load(&contest->taken[i]), 1);
    wf_ready_destroy(&contest->ready);
    wf_deque_destroy(&contest->fresh);
    free(contest);
}
