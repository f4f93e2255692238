/* SPDX-License-Identifier: MIT */
/* channel.h */
#include "../support/fixture.h"
#include "../support/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

WEFT_CHANNEL_DEFINE(ints, int)

struct point {
    char tag[13];
    double x;
};

WEFT_CHANNEL_DEFINE(points, struct point)
WEFT_CHANNEL_DEFINE(letters, char)

#define UNBUFFERED                      \
    {                                   \
        WEFT_CHANNEL_INIT(int, NULL, 0) \
    }

/* What a party of a test gets. */
struct party {
    ints *channel;
    int value;
    weft_time deadline;
    _Atomic(int) begun;
    int result;
    int got;
};

static int send_one(void *arg)
{
    struct party *party = arg;

    atomic_store(&party->begun, 1);
    party->result = ints_send(party->channel, party->value, party->deadline);
    return 0;
}

static int receive_one(void *arg)
{
    struct party *party = arg;

    atomic_store(&party->begun, 1);
    party->result = ints_receive(party->channel, &party->got, party->deadline);
    return 0;
}

static void *send_one_in_thread(void *arg)
{
    (void)send_one(arg);
    return NULL;
}

static void *receive_one_in_thread(void *arg)
{
    (void)receive_one(arg);
    return NULL;
}

/* Gives the others time to come to wait.  Should one be late, the test passes all the same. */
static void let_wait(void)
{
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
}

static int bad_sizes(void *arg)
{
    weft_channel channel = {0};
    weft_channel *made = NULL;
    char byte;

    (void)arg;
    CHECK_EQ(weft_channel_init(&channel, 0, NULL, 0), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, 8, NULL, 1), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, SIZE_MAX, NULL, 0), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, (size_t)UINT32_MAX + 1, NULL, 0), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, 1, &byte, SIZE_MAX), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, 1, &byte, (size_t)UINT32_MAX + 1), -EINVAL);
    CHECK_EQ(weft_channel_init(&channel, UINT32_MAX, &byte, UINT32_MAX), -EINVAL);
    CHECK_EQ(channel.item_size, 0);
    CHECK_EQ(weft_channel_create(&made, 0, 4), -EINVAL);
    CHECK_EQ(weft_channel_create(&made, UINT32_MAX, UINT32_MAX), -EINVAL);
    CHECK_EQ(weft_channel_create(&made, 8, SIZE_MAX), -EINVAL);
    CHECK(made == NULL);
    weft_channel_free(NULL);
    return 0;
}

/* A product of sizes that overflows would give a buffer that is too small. */
Test(channel, refuses_impossible_sizes, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(bad_sizes(NULL), 0);
    cr_expect_eq(run_workers(1, bad_sizes, NULL), 0);
}

/* Whoever has chosen a large capacity, to be safe, has not asked for the time and the memory. */
Test(channel, a_large_buffer_costs_what_is_used_of_it, .timeout = TEST_TIMEOUT_S)
{
    enum { MEBIBYTES = 256 };
    weft_channel *channel = NULL;
    unsigned long begin;

    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer writes down what is allocated");
    begin = memory_now().resident_kib;
    cr_assert_eq(weft_channel_create(&channel, 1024, MEBIBYTES * 1024), 0);
    cr_expect_lt(memory_now().resident_kib, begin + MEBIBYTES * 1024 / 8);
    weft_channel_free(channel);
}

static void fill_and_drain(size_t capacity)
{
    weft_channel *channel = NULL;
    int value = -1;

    CHECK_EQ(weft_channel_create(&channel, sizeof value, capacity), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < (int)capacity; i++) {
            CHECK_EQ(weft_channel_length(channel), i);
            CHECK_EQ(weft_channel_try_send(channel, &i, sizeof i), 0);
        }
        CHECK_EQ(weft_channel_try_send(channel, &value, sizeof value), -EAGAIN);
        CHECK_EQ(weft_channel_send(channel, &value, sizeof value, 0), -ETIMEDOUT);
        for (int i = 0; i < (int)capacity; i++) {
            CHECK_EQ(weft_channel_receive(channel, &value, sizeof value, 0), 0);
            CHECK_EQ(value, i);
        }
        value = -1;
        CHECK_EQ(weft_channel_try_receive(channel, &value, sizeof value), -EAGAIN);
        CHECK_EQ(weft_channel_receive(channel, &value, sizeof value, weft_after(-WEFT_SECOND)),
                 -ETIMEDOUT);
        CHECK_EQ(value, -1);
    }
    weft_channel_free(channel);
}

/* Work that needs no wait is done whatever the deadline, in order, and one more is refused: also on
 * a plain thread with no runtime. */
Test(channel, holds_as_much_as_its_capacity, .timeout = TEST_TIMEOUT_S)
{
    const size_t capacities[] = {0, 1, 2, 3, 64, 1000};

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++)
        fill_and_drain(capacities[i]);
}

static int hand_over(void *arg)
{
    ints channel = UNBUFFERED;
    struct party party = {.channel = &channel, .value = 42, .deadline = WEFT_FOREVER};
    weft_fiber *fiber = must_spawn(send_one, &party);
    int value = 0;

    (void)arg;
    CHECK_EQ(ints_receive(&channel, &value, WEFT_FOREVER), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(party.result, 0);
    fiber = must_spawn(receive_one, &party);
    let_wait();
    CHECK_EQ(ints_send(&channel, 43, WEFT_FOREVER), 0);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(party.result, 0);
    CHECK_EQ(party.got, 43);
    ints_destroy(&channel);
    return 0;
}

/* Whichever side comes first waits for the other. */
WORKER_TEST(channel, hands_over_without_a_buffer, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, hand_over, NULL), 0);
}

static int send_points(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct point point = {"a tag", i + 0.5};

        CHECK_EQ(points_send(arg, point, WEFT_FOREVER), 0);
    }
    points_close(arg);
    return 0;
}

static int receive_points(void *arg)
{
    struct point buffer[7];
    struct point point;
    points channel;
    weft_fiber *fiber;
    int count = 0;

    (void)arg;
    CHECK_EQ(points_init(&channel, buffer, 7), 0);
    fiber = must_spawn(send_points, &channel);
    while (points_receive(&channel, &point, WEFT_FOREVER) == 0) {
        CHECK(strcmp(point.tag, "a tag") == 0);
        CHECK(point.x == count++ + 0.5);
    }
    CHECK_EQ(count, 100);
    CHECK_EQ(points_receive(&channel, &point, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(must_join(fiber), 0);
    points_destroy(&channel);
    return 0;
}

/* Values of a size that is no register's arrive whole, in order, through buffer and frames. */
WORKER_TEST(channel, carries_structs_in_order, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, receive_points, NULL), 0);
}

static int close_on_waiters(void *arg)
{
    enum { EACH = 5 };
    int buffer[2];
    ints channels[2];
    struct party senders[EACH], receivers[EACH];
    weft_fiber *fibers[2 * EACH];
    int value = 0;

    (void)arg;
    CHECK_EQ(ints_init(&channels[0], buffer, 2), 0);
    CHECK_EQ(ints_init(&channels[1], NULL, 0), 0);
    CHECK_EQ(ints_send(&channels[0], 1, 0), 0);
    CHECK_EQ(ints_send(&channels[0], 2, 0), 0);
    for (int i = 0; i < EACH; i++) {
        senders[i] = (struct party){.channel = &channels[0], .deadline = WEFT_FOREVER};
        receivers[i] = (struct party){.channel = &channels[1], .deadline = WEFT_FOREVER, .got = -7};
        fibers[i] = must_spawn(send_one, &senders[i]);
        fibers[EACH + i] = must_spawn(receive_one, &receivers[i]);
    }
    let_wait();
    for (int i = 0; i < 2; i++) {
        ints_close(&channels[i]);
        ints_close(&channels[i]);
    }
    for (int i = 0; i < 2 * EACH; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    for (int i = 0; i < EACH; i++) {
        CHECK_EQ(senders[i].result, -EPIPE);
        CHECK_EQ(receivers[i].result, -ENODATA);
        CHECK_EQ(receivers[i].got, -7);
    }
    CHECK_EQ(ints_send(&channels[0], 3, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(ints_try_send(&channels[0], 3), -EPIPE);
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(ints_receive(&channels[0], &value, WEFT_FOREVER), 0);
        CHECK_EQ(value, i);
    }
    CHECK_EQ(ints_try_receive(&channels[0], &value), -ENODATA);
    CHECK_EQ(ints_receive(&channels[0], &value, WEFT_FOREVER), -ENODATA);
    return 0;
}

/* A close that left somebody waiting would hang; one that dropped the buffer would lose values. */
WORKER_TEST(channel, close_wakes_all_and_drains, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_on_waiters, NULL), 0);
}

static int time_out(void *arg)
{
    ints channel = UNBUFFERED;
    weft_time deadline = weft_after(2 * WEFT_MILLISECOND);
    int value = -1;

    (void)arg;
    CHECK_EQ(ints_receive(&channel, &value, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    deadline = weft_after(2 * WEFT_MILLISECOND);
    CHECK_EQ(ints_send(&channel, 1, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(ints_try_receive(&channel, &value), -EAGAIN); /* what timed out was not sent */
    CHECK_EQ(ints_try_send(&channel, 1), -EAGAIN);         /* nor does a receiver stand there */
    CHECK_EQ(value, -1);
    ints_destroy(&channel);
    return 0;
}

WORKER_TEST(channel, a_timeout_leaves_nothing_behind, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, time_out, NULL), 0);
    cr_expect_eq(time_out(NULL) == 0, true);
}

static int cancel_each(void *arg)
{
    int buffer[1];
    ints full, empty = UNBUFFERED;
    struct party sender = {.channel = &full, .value = 8, .deadline = WEFT_FOREVER};
    struct party receiver = {.channel = &empty, .deadline = WEFT_FOREVER, .got = -7};
    weft_fiber *fibers[2];
    int value = 0;

    CHECK_EQ(ints_init(&full, buffer, 1), 0);
    CHECK_EQ(ints_send(&full, 7, 0), 0);
    fibers[0] = must_spawn(send_one, &sender);
    fibers[1] = must_spawn(receive_one, &receiver);
    if (arg != NULL) /* else before they wait */
        let_wait();
    for (int i = 0; i < 2; i++) {
        weft_cancel(fibers[i]);
        CHECK_EQ(must_join(fibers[i]), 0);
    }
    CHECK_EQ(sender.result, -ECANCELED);
    CHECK_EQ(receiver.result, -ECANCELED);
    CHECK_EQ(receiver.got, -7);
    CHECK_EQ(ints_receive(&full, &value, 0), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(ints_try_receive(&full, &value), -EAGAIN);
    CHECK_EQ(ints_try_send(&empty, 1), -EAGAIN);
    ints_destroy(&full);
    ints_destroy(&empty);
    return 0;
}

/* A cancelled sender whose value arrives all the same, or a cancelled receiver that takes one with
 * it, would break every protocol above. */
WORKER_TEST(channel, a_cancelled_operation_has_not_happened, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_each, NULL), 0);
    cr_expect_eq(run_workers(*workers, cancel_each, ""), 0);
}

static int act_cancelled(void *arg)
{
    ints *channel = arg;
    int value = -1;

    weft_cancel(weft_self());
    CHECK_EQ(ints_send(channel, 5, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(ints_receive(channel, &value, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(ints_try_send(channel, 6), 0);
    CHECK_EQ(ints_try_receive(channel, &value), 0);
    CHECK_EQ(value, 6);
    return 0;
}

static int spawn_cancelled(void *arg)
{
    int buffer[2];
    ints channel;

    (void)arg;
    CHECK_EQ(ints_init(&channel, buffer, 2), 0);
    return must_join(must_spawn(act_cancelled, &channel));
}

/* A loop of sends that never wait must notice a cancel, too; what never waits works on. */
WORKER_TEST(channel, a_cancelled_fiber_may_only_try, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_cancelled, NULL), 0);
}

static int meet_threads(void *arg)
{
    ints channel = UNBUFFERED;
    struct party sender = {.channel = &channel, .value = 1, .deadline = WEFT_FOREVER};
    struct party receiver = {.channel = &channel, .deadline = WEFT_FOREVER};
    struct party closed = {.channel = &channel, .deadline = WEFT_FOREVER};
    pthread_t thread;
    int value = 0;

    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, send_one_in_thread, &sender), 0);
    CHECK_EQ(ints_receive(&channel, &value, WEFT_FOREVER), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(sender.result, 0);
    CHECK_EQ(pthread_create(&thread, NULL, receive_one_in_thread, &receiver), 0);
    CHECK_EQ(ints_send(&channel, 2, WEFT_FOREVER), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(receiver.got, 2);
    CHECK_EQ(pthread_create(&thread, NULL, receive_one_in_thread, &closed), 0);
    await_flag(&closed.begun);
    ints_close(&channel);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(closed.result, -ENODATA);
    return 0;
}

WORKER_TEST(channel, threads_and_fibers_meet, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, meet_threads, NULL), 0);
}

/* Two threads, and no runtime at all. */
Test(channel, works_between_threads_alone, .timeout = TEST_TIMEOUT_S)
{
    static ints channel = UNBUFFERED;
    static struct party sender = {.channel = &channel, .deadline = WEFT_FOREVER};

    for (int i = 0; i < 1000; i++) {
        pthread_t thread;
        int value = -1;

        sender.value = i;
        cr_assert_eq(pthread_create(&thread, NULL, send_one_in_thread, &sender), 0);
        cr_assert_eq(ints_receive(&channel, &value, WEFT_FOREVER), 0);
        cr_assert_eq(value, i);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
}

static int receive_letters(void *arg)
{
    static const char text[] = "in the order in which they came";
    char letter;

    for (size_t i = 0; i < sizeof text - 1; i++) {
        CHECK_EQ(letters_receive(arg, &letter, WEFT_FOREVER), 0);
        CHECK_EQ(letter, text[i]);
    }
    return 0;
}

static int send_letter(void *arg)
{
    struct {
        letters *channel;
        char letter;
    } *task = arg;

    return letters_send(task->channel, task->letter, WEFT_FOREVER);
}

static int queue_letters(void *arg)
{
    static const char text[] = "in the order in which they came";
    enum { COUNT = sizeof text - 1 };
    letters channel = {WEFT_CHANNEL_INIT(char, NULL, 0)};
    struct {
        letters *channel;
        char letter;
    } tasks[COUNT];
    weft_fiber *fibers[COUNT];

    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        tasks[i].channel = &channel;
        tasks[i].letter = text[i];
        fibers[i] = must_spawn(send_letter, &tasks[i]);
        let_wait();
    }
    CHECK_EQ(receive_letters(&channel), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* With one worker it is certain that each stands in the queue before the next one comes. */
Test(channel, senders_stand_in_line, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, queue_letters, NULL), 0);
}

static int end_beside_waiters(void *arg)
{
    static ints channel = UNBUFFERED;
    static struct party receivers[10];

    (void)arg;
    for (int i = 0; i < 10; i++) {
        receivers[i] = (struct party){.channel = &channel, .deadline = WEFT_FOREVER};
        weft_detach(must_spawn(receive_one, &receivers[i]));
    }
    let_wait();
    return 0;
}

/* The end of the runtime cancels who still waits, and the channel outlives it. */
WORKER_TEST(channel, outlives_the_runtime_of_its_waiters, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, end_beside_waiters, NULL), 0);
    cr_expect_eq(run_workers(*workers, end_beside_waiters, NULL), 0);
}
