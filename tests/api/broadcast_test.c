/* SPDX-License-Identifier: MIT */
/* broadcast.h: every receiver sees every value, or is told how many it has missed. */
#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 4, RECEIVERS = 12, THREADS = 2, VALUES = TEST_IS_TSAN ? 500 : 3000 };

struct wide { /* so large that a copy of one that is just overwritten would be torn */
    int64_t number;
    int64_t copies[7];
};

WEFT_BROADCAST_DEFINE(ints, int)
WEFT_BROADCAST_DEFINE(wides, struct wide)

struct shared {
    wides news;
    struct wide buffer[CAPACITY];
    _Atomic(int) subscribed;
    _Atomic(int) ended;
    _Atomic(int64_t) seen; /* by all together, and missed */
    uint64_t seed;
};

static void init_shared(struct shared *shared)
{
    *shared = (struct shared){0};
    cr_assert_eq(wides_init(&shared->news, shared->buffer, CAPACITY), 0);
    shared->seed = random_seed("broadcast");
}

static int keep_within_capacity(void *arg)
{
    int buffer[CAPACITY];
    ints news;
    ints_receiver early;
    ints_receiver late;
    int value = -1;

    (void)arg;
    CHECK_EQ(ints_init(&news, buffer, CAPACITY), 0);
    CHECK_EQ(ints_send(&news, 7), 0); /* nobody sees it */
    ints_subscribe(&news, &early);
    CHECK_EQ(ints_try_receive(&early, &value), -EAGAIN);
    CHECK_EQ(ints_receive(&early, &value, 0), -ETIMEDOUT);
    CHECK_EQ(ints_receive(&early, &value, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(value, -1);
    for (int i = 0; i < CAPACITY; i++)
        CHECK_EQ(ints_send(&news, i), 0);
    ints_subscribe(&news, &late);
    for (int i = 0; i < CAPACITY; i++) {
        CHECK_EQ(ints_receive(&early, &value, weft_now() - WEFT_SECOND), 0);
        CHECK_EQ(value, i);
    }
    CHECK_EQ(ints_try_receive(&late, &value), -EAGAIN);
    for (int i = 0; i < 3 * CAPACITY + 1; i++)
        CHECK_EQ(ints_send(&news, 100 + i), 0);
    value = -1;
    CHECK_EQ(ints_receive(&late, &value, WEFT_FOREVER), -EOVERFLOW);
    CHECK_EQ(late.base.missed, 2 * CAPACITY + 1);
    CHECK_EQ(value, -1);
    ints_close(&news);
    ints_close(&news);
    CHECK_EQ(ints_send(&news, 1), -EPIPE);
    for (int i = 0; i < CAPACITY; i++) {
        CHECK_EQ(ints_try_receive(&late, &value), 0);
        CHECK_EQ(value, 100 + 2 * CAPACITY + 1 + i);
    }
    CHECK_EQ(ints_try_receive(&late, &value), -ENODATA);
    CHECK_EQ(ints_receive(&late, &value, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(ints_try_receive(&early, &value), -EOVERFLOW);
    CHECK_EQ(early.base.missed, 2 * CAPACITY + 1);
    CHECK_EQ(ints_receive(&early, &value, WEFT_FOREVER), 0);
    ints_subscribe(&news, &early);
    CHECK_EQ(ints_receive(&early, &value, WEFT_FOREVER), -ENODATA);
    ints_destroy(&news);
    return 0;
}

WORKER_TEST(broadcast, keeps_the_last_values_and_counts_the_missed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, keep_within_capacity, NULL), 0);
    cr_expect_eq(keep_within_capacity(NULL), 0, "a plain thread");
}

static int check_wide(const struct wide *value, int64_t expected)
{
    CHECK_EQ(value->number, expected);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(value->copies[i], expected);
    return 0;
}

/* Sees the numbers in order, each once; what is between was counted as missed. */
static void follow(struct shared *shared, unsigned slowness)
{
    wides_receiver receiver;
    struct wide value;
    int64_t next = 0;
    int error;

    wides_subscribe(&shared->news, &receiver);
    (void)atomic_fetch_add(&shared->subscribed, 1);
    for (;;) {
        error = wides_receive(&receiver, &value, WEFT_FOREVER);
        if (error == -ENODATA)
            break;
        if (error == -EOVERFLOW) {
            CHECK(receiver.base.missed > 0);
            next += (int64_t)receiver.base.missed;
        } else {
            CHECK_EQ(error, 0);
            (void)check_wide(&value, next++);
        }
        for (unsigned i = 0; i < slowness; i++)
            (void)weft_yield();
    }
    (void)atomic_fetch_add(&shared->seen, next);
    (void)atomic_fetch_add(&shared->ended, 1);
}

static int follow_in_fiber(void *arg)
{
    follow(arg, (unsigned)weft_fiber_id(weft_self()) % 4);
    return 0;
}

static void *follow_in_thread(void *arg)
{
    follow(arg, 0);
    return NULL;
}

static int publish_to_all(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, 0);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, follow_in_thread, shared), 0);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_EQ(weft_spawn(NULL, follow_in_fiber, shared), 0);
    while (atomic_load(&shared->subscribed) < RECEIVERS + THREADS)
        (void)weft_yield();
    for (int64_t i = 0; i < VALUES; i++) {
        struct wide value = {i, {i, i, i, i, i, i, i}};

        CHECK_EQ(wides_send(&shared->news, value), 0);
        if (random_below(&random, 3) > 0)
            CHECK_EQ(weft_yield(), 0);
    }
    wides_close(&shared->news);
    while (atomic_load(&shared->ended) < RECEIVERS + THREADS)
        (void)weft_yield();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

WORKER_TEST(broadcast, every_receiver_sees_or_misses_every_value, TEST_TIMEOUT_S)
{
    struct shared shared;

    init_shared(&shared);
    cr_expect_eq(run_workers(*workers, publish_to_all, &shared), 0);
    cr_expect_eq(atomic_load(&shared.seen), (int64_t)VALUES * (RECEIVERS + THREADS));
    wides_destroy(&shared.news);
}

static int wait_for_one(void *arg)
{
    struct shared *shared = arg;
    wides_receiver receiver;
    struct wide value;
    int error;

    wides_subscribe(&shared->news, &receiver);
    (void)atomic_fetch_add(&shared->subscribed, 1);
    error = wides_receive(&receiver, &value, WEFT_FOREVER);
    if (error == 0)
        (void)check_wide(&value, 0);
    return error;
}

static void await_subscribed(struct shared *shared, int count)
{
    while (atomic_load(&shared->subscribed) < count)
        CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 50; i++) /* most of them wait by then */
        CHECK_EQ(weft_yield(), 0);
}

/* Far more than fit, in one go: who waits has the first before it runs. */
static int overwrite_what_is_waited_for(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[RECEIVERS];
    int got = 0;

    for (int i = 0; i < RECEIVERS; i++)
        fibers[i] = must_spawn(wait_for_one, shared);
    await_subscribed(shared, RECEIVERS);
    while (__atomic_load_n(&shared->news.base.reserved[1], __ATOMIC_ACQUIRE) == 0)
        CHECK_EQ(weft_yield(), 0); /* the queue: somebody does wait */
    for (int64_t i = 0; i < 10 * CAPACITY; i++) {
        struct wide value = {i, {i, i, i, i, i, i, i}};

        CHECK_EQ(wides_send(&shared->news, value), 0);
    }
    for (int i = 0; i < RECEIVERS; i++) {
        int result = must_join(fibers[i]);

        CHECK(result == 0 || result == -EOVERFLOW);
        got += result == 0;
    }
    CHECK(got > 0);
    return 0;
}

WORKER_TEST(broadcast, who_waits_cannot_be_overtaken, TEST_TIMEOUT_S)
{
    struct shared shared;

    init_shared(&shared);
    cr_expect_eq(run_workers(*workers, overwrite_what_is_waited_for, &shared), 0);
}

static int end_waits(void *arg)
{
    struct shared *shared = arg;
    weft_fiber *fibers[RECEIVERS];
    weft_scope scope = WEFT_SCOPE_INIT;
    wides_receiver receiver;
    struct wide value = {0, {0, 0, 0, 0, 0, 0, 0}};

    for (int i = 0; i < RECEIVERS; i++)
        fibers[i] = must_spawn(wait_for_one, shared);
    await_subscribed(shared, RECEIVERS);
    for (int i = 0; i < RECEIVERS / 2; i++) {
        weft_cancel(fibers[i]);
        CHECK_EQ(must_join(fibers[i]), -ECANCELED);
    }
    wides_close(&shared->news);
    for (int i = RECEIVERS / 2; i < RECEIVERS; i++)
        CHECK_EQ(must_join(fibers[i]), -ENODATA);

    CHECK_EQ(wides_init(&shared->news, shared->buffer, CAPACITY), 0);
    wides_subscribe(&shared->news, &receiver);
    CHECK_EQ(weft_scope_open(&scope, weft_after(WEFT_MILLISECOND)), 0);
    CHECK_EQ(wides_receive(&receiver, &value, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(wides_send(&shared->news, value), 0); /* a cancelled fiber sends, and does not wait */
    CHECK_EQ(wides_receive(&receiver, &value, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(wides_try_receive(&receiver, &value), 0);
    CHECK_EQ(weft_scope_close(&scope, 0), 0);
    return 0;
}

WORKER_TEST(broadcast, waits_end_by_cancel_close_and_deadline, TEST_TIMEOUT_S)
{
    struct shared shared;

    init_shared(&shared);
    cr_expect_eq(run_workers(*workers, end_waits, &shared), 0);
    wides_destroy(&shared.news);
}

/* Goes on after each cancel: what came in between must still be there. */
static int receive_all_with_deadlines(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, weft_fiber_id(weft_self()));
    wides_receiver receiver;
    struct wide value;
    int64_t next = 0;

    wides_subscribe(&shared->news, &receiver);
    (void)atomic_fetch_add(&shared->subscribed, 1);
    for (;;) {
        int error = wides_receive(&receiver, &value,
                                  weft_after(random_below(&random, 50) * WEFT_MICROSECOND));

        if (error == -ENODATA)
            break;
        if (error == -EOVERFLOW)
            next += (int64_t)receiver.base.missed;
        else if (error == 0)
            (void)check_wide(&value, next++);
        else
            CHECK_EQ(error, -ETIMEDOUT);
    }
    (void)atomic_fetch_add(&shared->seen, next);
    return 0;
}

static int race_deadlines(void *arg)
{
    struct shared *shared = arg;
    struct random random = random_stream(shared->seed, 0);
    weft_fiber *fibers[RECEIVERS];

    for (int i = 0; i < RECEIVERS; i++)
        fibers[i] = must_spawn(receive_all_with_deadlines, shared);
    while (atomic_load(&shared->subscribed) < RECEIVERS)
        CHECK_EQ(weft_yield(), 0);
    for (int64_t i = 0; i < VALUES / 10; i++) {
        struct wide value = {i, {i, i, i, i, i, i, i}};

        CHECK_EQ(weft_sleep(random_below(&random, 30) * WEFT_MICROSECOND), 0);
        CHECK_EQ(wides_send(&shared->news, value), 0);
    }
    wides_close(&shared->news);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* A value that was handed over as the deadline passed would be lost, or seen twice. */
WORKER_TEST(broadcast, deadlines_lose_nothing, TEST_TIMEOUT_S)
{
    struct shared shared;

    init_shared(&shared);
    cr_expect_eq(run_workers(*workers, race_deadlines, &shared), 0);
    cr_expect_eq(atomic_load(&shared.seen), (int64_t)(VALUES / 10) * RECEIVERS);
}

Test(broadcast, init_refuses_what_is_out_of_range, .timeout = TEST_TIMEOUT_S)
{
    int buffer[CAPACITY];
    weft_broadcast news = WEFT_BROADCAST_INIT(int, buffer, CAPACITY);

    cr_expect_eq(weft_broadcast_init(&news, 0, buffer, 1), -EINVAL);
    cr_expect_eq(weft_broadcast_init(&news, 4, NULL, 1), -EINVAL);
    cr_expect_eq(weft_broadcast_init(&news, 4, buffer, 0), -EINVAL);
    cr_expect_eq(weft_broadcast_init(&news, (size_t)1 << 32, buffer, 1), -EINVAL);
    cr_expect_eq(weft_broadcast_init(&news, 4, buffer, (size_t)1 << 32), -EINVAL);
    cr_expect_eq(news.item_size, sizeof(int), "as it was");
    cr_expect_eq(news.capacity, CAPACITY);
}

enum misuse { NOTHING, WRONG_SIZE, DESTROYED, NOT_SUBSCRIBED };

CHILD(misuse)
{
    static int buffer[CAPACITY];
    static weft_broadcast news = WEFT_BROADCAST_INIT(int, buffer, CAPACITY);
    weft_broadcast_receiver receiver = {NULL, 0, 0, 0};
    int64_t item = 0;

    if (parameter != NOT_SUBSCRIBED)
        weft_broadcast_subscribe(&news, &receiver);
    if (parameter == DESTROYED)
        weft_broadcast_destroy(&news);
    return weft_broadcast_try_receive(&receiver, &item, parameter == WRONG_SIZE ? 8 : 4) != -EAGAIN;
}

Test(broadcast, misuse_aborts, .timeout = TEST_TIMEOUT_S)
{
    static const char *const messages[] = {"", "the caller's 8", "destroyed", "not subscribed"};
    struct child_end end;

    run_child("misuse", NOTHING, NULL, &end);
    cr_expect_eq(end.exit_status, 0);
    for (unsigned i = WRONG_SIZE; i <= NOT_SUBSCRIBED; i++) {
        run_child("misuse", i, NULL, &end);
        cr_expect_eq(end.signal, SIGABRT);
        cr_expect_not_null(strstr(end.output, messages[i]), "\"%s\"", end.output);
    }
}
