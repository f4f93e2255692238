/* SPDX-License-Identifier: MIT */
/* address.h: waiting for an address, in fibers and plain threads. */
#include "../support/child.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    FIBERS = 20,
    THREADS = 2,
    ALL = FIBERS + THREADS,
    ROUNDS = TEST_IS_TSAN ? 60 : 300,
    /* More than there are buckets, so that some share one. */
    ADDRESSES = TEST_IS_TSAN ? 1500 : 5000,
};

struct shared {
    _Atomic(uint32_t) word;
    _Atomic(uint64_t) wide;
    int count; /* plain: under the lock that is made of the word */
    int order[ALL];
    _Atomic(int) begun;
    _Atomic(int) woken;
    _Atomic(int) ended;
    _Atomic(uint32_t) words[ADDRESSES];
};

static struct shared *make_shared(void)
{
    struct shared *shared = calloc(1, sizeof *shared);

    CHECK(shared != NULL);
    return shared;
}

/* A mutex out of one word, as Drepper's second: 0 is free, 1 held, 2 held and waited for. */
static void lock(_Atomic(uint32_t) *word)
{
    uint32_t expected = 0;

    if (atomic_compare_exchange_strong(word, &expected, 1))
        return;
    while (atomic_exchange(word, 2) != 0) {
        int error = weft_wait_on(word, 2, 4, WEFT_FOREVER);

        CHECK(error == 0 || error == -EAGAIN);
    }
}

static void unlock(_Atomic(uint32_t) *word)
{
    if (atomic_exchange(word, 0) == 2)
        CHECK(weft_wake_on(word, 1) <= 1);
}

static void add_under_lock(struct shared *shared, bool may_yield)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock(&shared->word);
        shared->count++;
        if (may_yield && i % 7 == 0)
            (void)weft_yield();
        unlock(&shared->word);
    }
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int add_in_fiber(void *arg)
{
    add_under_lock(arg, true);
    return 0;
}

static void *add_in_thread(void *arg)
{
    add_under_lock(arg, false);
    return NULL;
}

/* Joining a thread blocks the worker: first it is waited for as a fiber waits. */
static int add_in_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, add_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, add_in_fiber, shared), 0);
    while (atomic_load(&shared->ended) < ALL)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

/* A wake that is lost hangs. */
WORKER_TEST(address, a_lock_can_be_made_of_a_word, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, add_in_all, shared), 0);
    cr_expect_eq(shared->count, ALL * ROUNDS);
    cr_expect_eq(shared->word, 0);
    free(shared);
}

static int compare_values(void *arg)
{
    struct shared *shared = arg;
    const uint64_t high = UINT64_C(5) << 32;

    shared->word = 7;
    shared->wide = high + 7;
    CHECK_EQ(weft_wait_on(&shared->word, 8, 4, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_wait_on(&shared->wide, 7, 8, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_wait_on(&shared->wide, high, 8, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_wait_on(&shared->word, high + 7, 4, 0), -ETIMEDOUT);
    CHECK_EQ(weft_wait_on(&shared->word, 7, 4, weft_now() - 1), -ETIMEDOUT);
    CHECK_EQ(weft_wait_on(&shared->word, 8, 4, weft_now() - 1), -EAGAIN);
    CHECK_EQ(weft_wait_on(&shared->wide, high + 7, 8, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_wake_on(&shared->word, SIZE_MAX), 0);
    CHECK_EQ(weft_wake_on(NULL, 1), 0);
    return 0;
}

WORKER_TEST(address, it_waits_only_while_the_value_is_as_expected, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, compare_values, shared), 0);
    cr_expect_eq(compare_values(shared), 0, "a plain thread");
    free(shared);
}

static int wait_cancelled(void *arg)
{
    struct shared *shared = arg;

    weft_cancel(weft_self());
    CHECK_EQ(weft_wait_on(&shared->word, 1, 4, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_wait_on(&shared->word, 0, 4, WEFT_FOREVER), -ECANCELED);
    return 0;
}

WORKER_TEST(address, a_cancelled_fiber_does_not_wait, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, wait_cancelled, shared), 0);
    free(shared);
}

static void wait_until_woken(struct shared *shared)
{
    (void)atomic_fetch_add(&shared->begun, 1);
    CHECK_EQ(weft_wait_on(&shared->wide, 0, 8, WEFT_FOREVER), 0);
    (void)atomic_fetch_add(&shared->woken, 1);
}

static int wait_in_fiber(void *arg)
{
    wait_until_woken(arg);
    return 0;
}

static void *wait_in_thread(void *arg)
{
    wait_until_woken(arg);
    return NULL;
}

/* Wakes as many as ask to be, no sooner than they are there; each call wakes at most `count`. */
static void wake_in_steps(struct shared *shared, size_t count, int until)
{
    int woken = atomic_load(&shared->woken);

    while (woken < until) {
        size_t now = weft_wake_on(&shared->wide, count);

        CHECK(now <= count);
        woken += (int)now;
        while (atomic_load(&shared->woken) < woken)
            (void)weft_yield();
        CHECK_EQ(atomic_load(&shared->woken), woken);
        (void)weft_yield();
    }
}

static int wake_some_then_all(void *arg)
{
    struct shared *shared = arg;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_thread, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(weft_spawn(NULL, wait_in_fiber, shared), 0);
    CHECK_EQ(weft_wake_on(&shared->wide, 0), 0);
    wake_in_steps(shared, 1, 3);
    wake_in_steps(shared, 3, 9);
    wake_in_steps(shared, SIZE_MAX, ALL);
    CHECK_EQ(weft_wake_on(&shared->wide, SIZE_MAX), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(address, as_many_are_woken_as_the_wake_says, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, wake_some_then_all, shared), 0);
    cr_expect_eq(shared->woken, ALL);
    free(shared);
}

static int note_order(void *arg)
{
    struct shared *shared = arg;
    int mine = atomic_fetch_add(&shared->begun, 1);

    CHECK_EQ(weft_wait_on(&shared->word, 0, 4, WEFT_FOREVER), 0);
    shared->order[atomic_fetch_add(&shared->woken, 1)] = mine;
    return 0;
}

static int wake_in_order(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < FIBERS; i++) {
        CHECK_EQ(weft_spawn(NULL, note_order, shared), 0);
        while (atomic_load(&shared->begun) <= i)
            CHECK_EQ(weft_yield(), 0);
    }
    for (int i = 0; i < FIBERS; i++) {
        while (weft_wake_on(&shared->word, 1) == 0)
            CHECK_EQ(weft_yield(), 0);
        while (atomic_load(&shared->woken) <= i)
            CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

/* With one worker, and none in its place when the system takes it off its CPU, a fiber that has
 * begun waits when another runs. */
Test(address, the_longest_wait_is_woken_first, .timeout = TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = 1, .monitor = 2};
    struct shared *shared = make_shared();

    (void)unsetenv("WEFT_CHAOS");
    cr_expect_eq(run_config(&config, wake_in_order, shared), 0);
    for (int i = 0; i < FIBERS; i++)
        cr_expect_eq(shared->order[i], i);
    free(shared);
}

struct place {
    struct shared *shared;
    int index;
};

static int wait_at_place(void *arg)
{
    struct place *place = arg;
    _Atomic(uint32_t) *word = &place->shared->words[place->index];
    int error;

    (void)atomic_fetch_add(&place->shared->begun, 1);
    error = weft_wait_on(word, 0, 4, WEFT_FOREVER);
    CHECK(error == 0 || error == -EAGAIN);
    CHECK_EQ(atomic_load(word), 1); /* else it was woken for another address */
    (void)atomic_fetch_add(&place->shared->woken, 1);
    return 0;
}

static int wake_each_place(void *arg)
{
    struct shared *shared = arg;
    struct place *places = calloc(ADDRESSES, sizeof *places);

    CHECK(places != NULL);
    for (int i = 0; i < ADDRESSES; i++) {
        places[i] = (struct place){shared, i};
        CHECK_EQ(weft_spawn(NULL, wait_at_place, &places[i]), 0);
    }
    while (atomic_load(&shared->begun) < ADDRESSES)
        (void)weft_yield();
    for (int i = 0; i < ADDRESSES; i++) {
        int index = (int)((i * 1009L) % ADDRESSES);

        atomic_store(&shared->words[index], 1);
        CHECK(weft_wake_on(&shared->words[index], SIZE_MAX) <= 1);
    }
    while (atomic_load(&shared->woken) < ADDRESSES)
        (void)weft_yield();
    free(places);
    return 0;
}

WORKER_TEST(address, addresses_do_not_wake_each_other, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, wake_each_place, shared), 0);
    free(shared);
}

static int wait_for_word(void *arg)
{
    struct shared *shared = arg;

    return weft_wait_on(&shared->word, 0, 4, WEFT_FOREVER);
}

static int wait_a_moment(void *arg)
{
    struct shared *shared = arg;

    return weft_wait_on(&shared->word, 0, 4, weft_after(10 * WEFT_MICROSECOND));
}

/* A wake races with a cancel and with a deadline: what it counts is what comes back with 0. */
static int race_wake_with_end(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        bool is_cancel = i % 2 == 0;
        weft_fiber *fiber = must_spawn(is_cancel ? wait_for_word : wait_a_moment, shared);
        size_t woken;
        int result;

        for (int j = i % 5; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        if (is_cancel && i % 4 == 0)
            weft_cancel(fiber);
        woken = weft_wake_on(&shared->word, SIZE_MAX);
        weft_cancel(fiber);
        CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
        CHECK_EQ(woken, result == 0);
        CHECK(result == 0 || result == -ECANCELED || (!is_cancel && result == -ETIMEDOUT));
        CHECK_EQ(weft_wake_on(&shared->word, SIZE_MAX), 0);
    }
    return 0;
}

WORKER_TEST(address, a_wake_that_counts_is_not_lost, TEST_TIMEOUT_S)
{
    struct shared *shared = make_shared();

    cr_expect_eq(run_workers(*workers, race_wake_with_end, shared), 0);
    free(shared);
}

static int change_and_wake(void *arg)
{
    _Atomic(uint32_t) *word = arg;

    atomic_store(word, 1);
    (void)weft_wake_on(word, 1);
    return 0;
}

static int wait_and_free(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        _Atomic(uint32_t) *word = calloc(1, sizeof *word);
        weft_fiber *fiber;

        CHECK(word != NULL);
        fiber = must_spawn(change_and_wake, word);
        for (int j = i % 3; j > 0; j--)
            CHECK_EQ(weft_yield(), 0);
        while (atomic_load(word) == 0) {
            int error = weft_wait_on(word, 0, 4, WEFT_FOREVER);

            CHECK(error == 0 || error == -EAGAIN);
        }
        free(word);
        CHECK_EQ(must_join(fiber), 0);
    }
    return 0;
}

/* The wake may come when the word is gone. */
WORKER_TEST(address, a_wake_does_not_touch_the_memory, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_and_free, NULL), 0);
}

CHILD(wait_wrongly)
{
    static _Atomic(uint64_t) words[2];

    return parameter == 0 ? weft_wait_on(words, 0, 2, 0)
                          : weft_wait_on((const char *)words + parameter, 0, 8, 0);
}

Test(address, wrong_sizes_and_alignments_abort, .timeout = TEST_TIMEOUT_S)
{
    expect_abort("wait_wrongly", 0, "a value of 2 bytes");
    expect_abort("wait_wrongly", 4, "is not aligned to 8 bytes");
}
