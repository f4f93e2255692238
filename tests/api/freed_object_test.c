/* SPDX-License-Identifier: MIT */
/* Objects that are freed as soon as one party has been told that all is over, while the deadline of
 * another one passes: channel.h, barrier.h.  Each lies in a page of its own, which is unmapped, so
 * that a late look is a fault in any build. */
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static void *new_page(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    return page;
}

static void free_page(void *page)
{
    CHECK_EQ(munmap(page, PAGE), 0);
}

/* The lock is held while a value of this size is copied: time enough for a deadline to pass. */
enum { LETTER = TEST_IS_TSAN ? 1 << 18 : 1 << 24 };

struct letters {
    weft_channel *channel;
    char *sent;
    char *received;
    weft_time deadline;
    int result;
};

static void *receive_letter(void *arg)
{
    struct letters *letters = arg;

    letters->result = weft_channel_receive(letters->channel, letters->received, LETTER,
                                           letters->deadline);
    return NULL;
}

static int receive_on_fiber(void *arg)
{
    (void)receive_letter(arg);
    return 0;
}

/* Ends the channel by itself where it is allowed to: once the letter has gone. */
static bool send_letter(struct letters *letters)
{
    while (weft_now() < letters->deadline - WEFT_MILLISECOND / 2)
        continue;
    if (weft_channel_try_send(letters->channel, letters->sent, LETTER) != 0)
        return false;
    weft_channel_destroy(letters->channel);
    free_page(letters->channel);
    return true;
}

static void begin_letter(struct letters *letters)
{
    letters->channel = new_page();
    CHECK_EQ(weft_channel_init(letters->channel, LETTER, NULL, 0), 0);
    letters->deadline = weft_after(4 * WEFT_MILLISECOND);
}

static void end_letter(const struct letters *letters, bool was_sent)
{
    CHECK_EQ(letters->result, was_sent ? 0 : -ETIMEDOUT);
    if (!was_sent)
        free_page(letters->channel);
}

static struct letters new_letters(void)
{
    struct letters letters = {.sent = calloc(1, LETTER), .received = calloc(1, LETTER)};

    CHECK(letters.sent != NULL && letters.received != NULL);
    return letters;
}

static void free_letters(struct letters *letters)
{
    free(letters->sent);
    free(letters->received);
}

Test(freed_object, a_sender_frees_the_channel_of_a_thread, .timeout = TEST_TIMEOUT_S)
{
    struct letters letters = new_letters();

    for (int round = 0; round < 20; round++) {
        pthread_t receiver;
        bool was_sent;

        begin_letter(&letters);
        CHECK_EQ(pthread_create(&receiver, NULL, receive_letter, &letters), 0);
        was_sent = send_letter(&letters);
        CHECK_EQ(pthread_join(receiver, NULL), 0);
        end_letter(&letters, was_sent);
    }
    free_letters(&letters);
}

static int send_to_fibers(void *arg)
{
    struct letters letters = new_letters();

    (void)arg;
    for (int round = 0; round < 20; round++) {
        weft_fiber *receiver;
        bool was_sent;

        begin_letter(&letters);
        receiver = must_spawn(receive_on_fiber, &letters);
        (void)weft_yield();
        was_sent = send_letter(&letters);
        CHECK_EQ(must_join(receiver), 0);
        end_letter(&letters, was_sent);
    }
    free_letters(&letters);
    return 0;
}

WORKER_TEST(freed_object, a_sender_frees_the_channel_of_a_fiber, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_to_fibers, NULL), 0);
}

/* The lock is held while the crowd is taken out of the queue. */
enum { CROWD = TEST_IS_TSAN ? 500 : 5000, BARRIERS = 10 };

struct crossing {
    weft_barrier *barrier;
    _Atomic(int) come;
    weft_time deadline;
    int first_result;
    int late_result;
};

static int cross_with_crowd(void *arg)
{
    struct crossing *crossing = arg;
    int result;

    (void)atomic_fetch_add(&crossing->come, 1);
    result = weft_barrier_wait(crossing->barrier, WEFT_FOREVER);
    CHECK(result == 0 || result == -EPIPE);
    return 0;
}

/* Stands first in the queue, and so is woken first. */
static void *cross_and_free(void *arg)
{
    struct crossing *crossing = arg;

    (void)atomic_fetch_add(&crossing->come, 1);
    crossing->first_result = weft_barrier_wait(crossing->barrier, WEFT_FOREVER);
    if (crossing->first_result == 0)
        free_page(crossing->barrier);
    return NULL;
}

static void *cross_late(void *arg)
{
    struct crossing *crossing = arg;

    (void)atomic_fetch_add(&crossing->come, 1);
    crossing->late_result = weft_barrier_wait(crossing->barrier, crossing->deadline);
    return NULL;
}

static void await_come(struct crossing *crossing, int count)
{
    while (atomic_load(&crossing->come) < count)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND / 10), 0);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0); /* most are in the queue then */
}

static void cross_once(weft_fiber **crowd, int round)
{
    struct crossing crossing = {.barrier = new_page()};
    pthread_t first, late;
    int result;

    *crossing.barrier = (weft_barrier)WEFT_BARRIER_INIT(CROWD + 3);
    CHECK_EQ(pthread_create(&first, NULL, cross_and_free, &crossing), 0);
    await_come(&crossing, 1);
    for (int i = 0; i < CROWD; i++)
        crowd[i] = must_spawn(cross_with_crowd, &crossing);
    await_come(&crossing, 1 + CROWD);
    crossing.deadline = weft_after(3 * WEFT_MILLISECOND);
    CHECK_EQ(pthread_create(&late, NULL, cross_late, &crossing), 0);
    await_come(&crossing, 1 + CROWD + 1);
    while (weft_now() < crossing.deadline - 100000 + round * 20000)
        continue;
    result = weft_barrier_wait(crossing.barrier, WEFT_FOREVER);
    CHECK_EQ(pthread_join(first, NULL), 0);
    CHECK_EQ(pthread_join(late, NULL), 0);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(must_join(crowd[i]), 0);
    CHECK_EQ(result, crossing.late_result == 0 ? WEFT_BARRIER_SERIAL : -EPIPE);
    CHECK_EQ(crossing.first_result, crossing.late_result == 0 ? 0 : -EPIPE);
    CHECK(crossing.late_result == 0 || crossing.late_result == -ETIMEDOUT);
    if (crossing.late_result != 0)
        free_page(crossing.barrier);
}

static int cross_often(void *arg)
{
    weft_fiber **crowd = calloc(CROWD, sizeof(weft_fiber *));

    (void)arg;
    CHECK(crowd != NULL);
    for (int round = 0; round < BARRIERS; round++)
        cross_once(crowd, round);
    free(crowd);
    return 0;
}

Test(freed_object, one_that_has_crossed_frees_the_barrier, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, cross_often, NULL), 0);
}
