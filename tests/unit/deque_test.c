/* SPDX-License-Identifier: MIT */
/* runtime/deque.h at its real size.  tests/model has the interleavings of a small one. */
#define _GNU_SOURCE 1

#include "runtime/deque.h"

#include "arch/os.h"
#include "check.h"
#include "fixture.h"
#include "random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TIMEOUT_S = 120, STEPS = 200000, THIEVES = 3, ITEMS = 200000, CAPACITY = 256 };

/* The items are numbers from 1 on, never dereferenced. */
static void *item_of(uintptr_t number)
{
    return (void *)number;
}

static uintptr_t number_of(void *item)
{
    return (uintptr_t)item;
}

/* The owner's end is a stack and the thieves' end a queue: the other way round, recursive spawning
 * would be breadth-first and need memory without bound. */
Test(deque, owner_takes_the_youngest_and_thieves_the_oldest, .timeout = TIMEOUT_S)
{
    struct wf_deque deque = {0};

    cr_assert(wf_deque_init(&deque, CAPACITY));
    for (uintptr_t i = 1; i <= 4; i++)
        cr_assert(wf_deque_push(&deque, item_of(i)));
    cr_expect_eq(wf_deque_size(&deque), 4);
    cr_expect_eq(number_of(wf_deque_pop(&deque)), 4);
    cr_expect_eq(number_of(wf_deque_steal(&deque)), 1);
    cr_expect_eq(number_of(wf_deque_pop(&deque)), 3);
    cr_expect_eq(number_of(wf_deque_steal(&deque)), 2);
    cr_expect_eq(wf_deque_size(&deque), 0);
    wf_deque_destroy(&deque);
}

/* An empty deque stays empty and usable however often it is asked: an index that a failed pop left
 * too low would hand out slots that hold nothing. */
Test(deque, taking_from_an_empty_deque_changes_nothing, .timeout = TIMEOUT_S)
{
    struct wf_deque deque = {0};

    cr_assert(wf_deque_init(&deque, CAPACITY));
    for (unsigned round = 0; round < 1000; round++) {
        cr_assert_null(wf_deque_pop(&deque));
        cr_assert_null(wf_deque_steal(&deque));
        cr_assert_eq(wf_deque_size(&deque), 0);
        cr_assert(wf_deque_push(&deque, item_of(round + 1)));
        cr_assert_eq(number_of(round % 2 ? wf_deque_pop(&deque) : wf_deque_steal(&deque)),
                     round + 1);
    }
    wf_deque_destroy(&deque);
}

/* Random operations against an array.  The indices wrap round the ring many times before and after
 * it grows: a copy by the wrong mask would lose or repeat items only then. */
Test(deque, behaves_like_an_array_while_it_wraps_and_grows, .timeout = TIMEOUT_S)
{
    struct random random = random_stream(random_seed("deque"), 0);
    struct wf_deque deque = {0};
    uintptr_t *array = calloc(STEPS + 1, sizeof *array);
    size_t first = 0, end = 0;
    int64_t most = 0;
    unsigned shrunk = 0;

    cr_assert_not_null(array);
    cr_assert(wf_deque_init(&deque, CAPACITY));
    for (uintptr_t step = 1; step <= STEPS; step++) {
        /* Phases that fill and phases that drain, so that the ring grows several times. */
        unsigned pushes_in_8 = (step / 5000) % 2 == 0 ? 5 : 3;
        unsigned choice = random_below(&random, 8);

        if (choice < pushes_in_8) {
            cr_assert(wf_deque_push(&deque, item_of(step)));
            array[end++] = step;
        } else if (choice % 2 == 0) {
            uintptr_t expected = first < end ? array[--end] : 0;

            cr_assert_eq(number_of(wf_deque_pop(&deque)), expected, "pop in step %zu", step);
        } else {
            uintptr_t expected = first < end ? array[first++] : 0;

            cr_assert_eq(number_of(wf_deque_steal(&deque)), expected, "steal in step %zu", step);
        }
        cr_assert_eq(wf_deque_size(&deque), (int64_t)(end - first));
        if (random_below(&random, 500) == 0)
            shrunk += wf_deque_shrink(&deque, CAPACITY);
        if (random_below(&random, 500) == 0)
            wf_deque_free_retired(&deque);
        most = wf_deque_size(&deque) > most ? wf_deque_size(&deque) : most;
    }
    cr_expect_gt(most, 2 * CAPACITY, "the ring must have grown twice");
    cr_expect_gt(shrunk, 2);
    wf_deque_destroy(&deque);
    free(array);
}

struct contest {
    struct wf_deque deque;
    struct wf_thief thieves[THIEVES];
    _Atomic(int) thief_count;
    int freed; /* how often what was left could be freed */
    _Atomic(unsigned char) taken[ITEMS + 1];
    int payload[ITEMS + 1]; /* plain memory: ThreadSanitizer sees a take that missed its push */
    _Atomic(int) pushed_all;
};

static void take(struct contest *contest, void *item)
{
    uintptr_t number = number_of(item);

    if (number == 0)
        return;
    CHECK_EQ(contest->payload[number], (int)number);
    CHECK_EQ(atomic_fetch_add(&contest->taken[number], 1), 0);
}

static void *run_thief(void *arg)
{
    struct contest *contest = arg;
    struct wf_thief *self = &contest->thieves[atomic_fetch_add(&contest->thief_count, 1)];

    while (atomic_load(&contest->pushed_all) == 0 || wf_deque_size(&contest->deque) > 0) {
        void *item;

        wf_thief_enter(self);
        item = wf_deque_steal(&contest->deque);
        wf_thief_leave(self);
        take(contest, item);
    }
    return NULL;
}

/* Pushes all items, while thieves steal. */
typedef void owner_fn(struct contest *contest, struct random *random);

static void hold_contest(owner_fn *push_all)
{
    struct contest *contest = calloc(1, sizeof *contest);
    struct random random = random_stream(random_seed("deque"), 1);
    pthread_t thieves[THIEVES];

    cr_assert_not_null(contest);
    cr_assert(wf_deque_init(&contest->deque, CAPACITY));
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&thieves[i], NULL, run_thief, contest), 0);
    push_all(contest, &random);
    while (wf_deque_size(&contest->deque) > 0)
        take(contest, wf_deque_pop(&contest->deque));
    atomic_store(&contest->pushed_all, 1);
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_join(thieves[i], NULL), 0);
    for (uintptr_t i = 1; i <= ITEMS; i++)
        CHECK_EQ(atomic_load(&contest->taken[i]), 1);
    wf_deque_destroy(&contest->deque);
    free(contest);
}

static void push_one(struct contest *contest, uintptr_t number)
{
    contest->payload[number] = (int)number;
    CHECK(wf_deque_push(&contest->deque, item_of(number)));
}

static void push_and_pop(struct contest *contest, struct random *random)
{
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        push_one(contest, i);
        if (random_below(random, 3) == 0)
            take(contest, wf_deque_pop(&contest->deque));
    }
}

/* Threads at full speed, over many growths: no item is taken twice (a fiber would run on two
 * workers) and none is lost (it would never run). */
Test(deque, threads_take_every_item_exactly_once, .timeout = TIMEOUT_S)
{
    hold_contest(push_and_pop);
}

static void clean(struct contest *contest)
{
    bool may = true;

    for (int i = 0; i < THIEVES; i++)
        may = !wf_thief_looks(&contest->thieves[i]) && may;
    wf_deque_clean(&contest->deque, may, false);
    contest->freed += may;
}

static void push_and_shrink(struct contest *contest, struct random *random)
{
    enum { BURST = 4000 }; /* so many slots are several pages */

    for (uintptr_t i = 1; i <= ITEMS; i++) {
        push_one(contest, i);
        if (i % BURST != 0)
            continue;
        for (unsigned left = random_below(random, 8); wf_deque_size(&contest->deque) > left;)
            take(contest, wf_deque_pop(&contest->deque));
        while (wf_deque_shrink(&contest->deque, CAPACITY))
            ;
        clean(contest);
    }
    while (contest->freed == 0)
        clean(contest);
}

/* A thief that stands in a buffer when it is left must lose nothing, and find it there. */
Test(deque, threads_lose_nothing_while_it_shrinks, .timeout = TIMEOUT_S)
{
    hold_contest(push_and_shrink);
}

/* Of the buffers' memory, how much is resident. */
static size_t resident_bytes(struct wf_deque *deque)
{
    struct wf_deque_buffer *buffer = atomic_load(&deque->buffer);
    size_t page = wf_os_page_size(), bytes = 0;

    for (; buffer != NULL;
         buffer = buffer == atomic_load(&deque->buffer) ? deque->retired : buffer->retired) {
        uintptr_t at = (uintptr_t)buffer / page * page;

        for (; at < (uintptr_t)(buffer + 1) + (size_t)(buffer->mask + 1) * sizeof(void *);
             at += page) {
            unsigned char resident = 0;

            cr_assert_eq(mincore((void *)at, 1, &resident), 0);
            bytes += (resident & 1) != 0 ? page : 0;
        }
    }
    return bytes;
}

static void trim(struct wf_deque *deque, bool all)
{
    wf_deque_trim(deque, all);
    wf_deque_clean(deque, true, all);
}

/* A million fibers that are spawned at once lie in the queue for a moment; it must not be as large
 * ever after.  What is in it meanwhile stays. */
Test(deque, room_that_is_not_needed_goes_back, .timeout = TIMEOUT_S)
{
    enum { MANY = 1 << 17, FEW = 100, SMALL = 3 * 4096 }; /* the first buffer */
    struct wf_deque deque = {0};

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer's allocator has memory of its own");
    cr_assert(wf_deque_init(&deque, CAPACITY));
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 1; i <= MANY; i++)
            cr_assert(wf_deque_push(&deque, item_of(i)));
        cr_expect_geq(resident_bytes(&deque), MANY * sizeof(void *));
        trim(&deque, true);
        cr_expect_geq(resident_bytes(&deque), MANY * sizeof(void *), "it is needed");
        for (uintptr_t i = MANY; i > FEW; i--)
            cr_assert_eq(number_of(wf_deque_pop(&deque)), i);
        if (round == 0)
            trim(&deque, true);
        /* By halves; the first look after it has grown leaves it alone. */
        for (int look = 0; look == 0 || wf_deque_has_excess(&deque); look++) {
            cr_assert_lt(look, 12);
            trim(&deque, false);
        }
        cr_expect_not(wf_deque_has_excess(&deque));
        cr_expect_lt(resident_bytes(&deque), SMALL);
        for (uintptr_t i = 1; i <= FEW; i++)
            cr_assert_eq(number_of(wf_deque_steal(&deque)), i);
        cr_assert_null(wf_deque_pop(&deque));
    }
    wf_deque_destroy(&deque);
}
