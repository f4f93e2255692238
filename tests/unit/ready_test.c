/* SPDX-License-Identifier: MIT */
/* runtime/ready.h at its real size.  tests/model has the interleavings of a small one. */
#include "runtime/ready.h"

#include "check.h"
#include "random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 120, THIEVES = 3, ITEMS = 200000, CAPACITY = 16, MOST = 300 };

static struct wf_ready *create_ready(void)
{
    struct wf_ready *ready = aligned_alloc(_Alignof(struct wf_ready), sizeof *ready);

    cr_assert_not_null(ready);
    memset(ready, 0, sizeof *ready);
    cr_assert(wf_ready_init(ready, CAPACITY));
    return ready;
}

static void destroy_ready(struct wf_ready *ready)
{
    wf_ready_destroy(ready);
    free(ready);
}

/* Woken fibers run in the order in which they were woken, or the first would starve; also when the
 * queue grows under them, from the middle of its ring. */
Test(ready, is_first_in_first_out_while_it_grows, .timeout = TIMEOUT_S)
{
    struct wf_ready *ready = create_ready();

    for (uintptr_t filled = CAPACITY / 2; filled <= MOST; filled *= 2) {
        for (uintptr_t i = 1; i <= filled; i++)
            cr_assert(wf_ready_push(ready, (void *)i));
        cr_expect_eq(wf_ready_size(ready), filled);
        for (uintptr_t i = 1; i <= filled; i++)
            cr_assert_eq((uintptr_t)wf_ready_pop(ready), i);
        cr_assert_null(wf_ready_pop(ready));
        /* The next round starts elsewhere in the ring. */
        for (unsigned i = 0; i < 5; i++) {
            cr_assert(wf_ready_push(ready, (void *)7));
            cr_assert_eq((uintptr_t)wf_ready_pop(ready), 7);
        }
    }
    destroy_ready(ready);
}

/* A thief takes half, the only item included: half of one rounded down would leave a fiber alone
 * behind a worker that is busy for long. */
Test(ready, take_half_rounds_up_and_keeps_to_its_limit, .timeout = TIMEOUT_S)
{
    void *items[MOST];

    for (uint64_t filled = 0; filled <= MOST; filled++) {
        struct wf_ready *ready = create_ready();
        uint64_t limit = 1 + filled % 100;
        uint64_t half = (filled + 1) / 2;
        uint64_t expected = half < limit ? half : limit;

        for (uintptr_t i = 1; i <= filled; i++)
            cr_assert(wf_ready_push(ready, (void *)i));
        cr_assert_eq(wf_ready_take_half(ready, items, limit), expected, "of %zu", (size_t)filled);
        for (uintptr_t i = 0; i < expected; i++)
            cr_assert_eq((uintptr_t)items[i], i + 1, "the oldest come first");
        cr_assert_eq(wf_ready_size(ready), filled - expected);
        destroy_ready(ready);
    }
}

struct contest {
    struct wf_ready ready;
    _Atomic(unsigned char) taken[ITEMS + 1];
    int payload[ITEMS + 1]; /* plain memory: ThreadSanitizer sees a take that missed its push */
    _Atomic(int) pushed_all;
};

static void take(struct contest *contest, void *item)
{
    uintptr_t number = (uintptr_t)item;

    CHECK_EQ(contest->payload[number], (int)number);
    CHECK_EQ(atomic_fetch_add(&contest->taken[number], 1), 0);
}

static void *run_thief(void *arg)
{
    struct contest *contest = arg;
    void *items[100];
    uintptr_t newest = 0;

    while (atomic_load(&contest->pushed_all) == 0 || wf_ready_size(&contest->ready) > 0) {
        /* Nothing is freed before the end: no need to say that we look. */
        uint64_t count = wf_ready_take_half(&contest->ready, items, sizeof items / sizeof *items);

        for (uint64_t i = 0; i < count; i++) {
            CHECK((uintptr_t)items[i] > newest);
            newest = (uintptr_t)items[i];
            take(contest, items[i]);
        }
    }
    return NULL;
}

/* Threads at full speed round a ring that grows: every item is taken once, and each taker sees them
 * in order. */
Test(ready, threads_take_every_item_exactly_once_and_in_order, .timeout = TIMEOUT_S)
{
    struct contest *contest = aligned_alloc(_Alignof(struct contest), sizeof *contest);
    struct random random = random_stream(random_seed("ready"), 0);
    pthread_t thieves[THIEVES];
    uintptr_t newest = 0;

    cr_assert_not_null(contest);
    memset(contest, 0, sizeof *contest);
    cr_assert(wf_ready_init(&contest->ready, CAPACITY));
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&thieves[i], NULL, run_thief, contest), 0);
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        void *item = NULL;

        contest->payload[i] = (int)i;
        CHECK(wf_ready_push(&contest->ready, (void *)i));
        /* Keeps the queue short for most of the time: slots are used again then, not only grown. */
        while (wf_ready_size(&contest->ready) > MOST)
            sched_yield();
        if (random_below(&random, 3) == 0)
            item = wf_ready_pop(&contest->ready);
        if (item != NULL) {
            CHECK((uintptr_t)item > newest);
            newest = (uintptr_t)item;
            take(contest, item);
        }
    }
    atomic_store(&contest->pushed_all, 1);
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_join(thieves[i], NULL), 0);
    for (uintptr_t i = 1; i <= ITEMS; i++)
        CHECK_EQ(atomic_load(&contest->taken[i]), 1);
    wf_ready_destroy(&contest->ready);
    free(contest);
}
