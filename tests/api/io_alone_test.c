/* SPDX-License-Identifier: MIT */
/*
 * A fiber that is alone on its worker and sends again and again: its sends need not go through the
 * worker's loop, and yet they keep nobody from running, and end like any others.
 */
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/others.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENDS = 96 }; /* as many fit into any socket */

static uint64_t polls_now(void)
{
    struct weft_stats stats;

    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.polls;
}

/* Returns the system calls on rings that the sends took. */
static int send_numbers(void *arg)
{
    int fds[2];
    uint64_t polls;

    (void)arg;
    make_socket_pair(fds);
    polls = polls_now();
    for (int i = 0; i < SENDS; i++)
        CHECK_EQ(weft_send(fds[0], &i, sizeof i, 0, WEFT_FOREVER), sizeof i);
    polls = polls_now() - polls;
    for (int i = 0; i < SENDS; i++) {
        int got = -1;

        CHECK_EQ(weft_recv(fds[1], &got, sizeof got, 0, WEFT_FOREVER), sizeof got);
        CHECK_EQ(got, i);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    return (int)polls;
}

WORKER_TEST(io_alone, sends_in_a_row_spare_most_ways_to_the_ring, TEST_TIMEOUT_S)
{
    int polls = run_workers(*workers, send_numbers, NULL);

    cr_expect_geq(polls, 0);
    if (getenv("WEFT_CHAOS") == NULL)
        cr_expect_lt(polls, SENDS / 2, "%d sends took %d system calls on rings", SENDS, polls);
}

/* Sends until the others have had their turns; nothing but the sends lets them. */
static int send_until_others_ran(void *arg)
{
    struct others *others = arg;
    int fds[2];

    make_socket_pair(fds);
    others_begin(others);
    while (!others_have_run(others)) {
        char byte;

        CHECK_EQ(weft_send(fds[0], "x", 1, 0, WEFT_FOREVER), 1);
        CHECK_EQ(recv(fds[1], &byte, 1, MSG_DONTWAIT), 1);
    }
    others_end(others);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* Without the monitor, which would look after the others from elsewhere. */
WORKER_TEST(io_alone, a_stream_of_sends_keeps_nobody_waiting, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .monitor = 3};
    struct others others;

    cr_expect_eq(run_config(&config, send_until_others_ran, &others), 0);
}

static int send_until_cancelled(void *arg)
{
    int *fds = arg;
    ssize_t n;
    char byte;

    while ((n = weft_send(fds[0], "x", 1, 0, WEFT_FOREVER)) == 1)
        CHECK_EQ(recv(fds[1], &byte, 1, MSG_DONTWAIT), 1);
    return (int)n;
}

static int cancel_a_sender(void *arg)
{
    weft_fiber *sender;
    int result = 0, fds[2];

    (void)arg;
    make_socket_pair(fds);
    sender = must_spawn(send_until_cancelled, fds);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(sender);
    CHECK_EQ(weft_join(sender, &result, WEFT_FOREVER), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return result;
}

WORKER_TEST(io_alone, a_stream_of_sends_can_be_cancelled, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_a_sender, NULL), -ECANCELED);
}

static int send_to_the_end(void *arg)
{
    int fds[2];
    ssize_t n, sent = 0;

    (void)arg;
    make_narrow_socket_pair(fds);
    while ((n = weft_send(fds[0], "0123456789", 10, MSG_DONTWAIT, WEFT_FOREVER)) > 0)
        sent += n;
    CHECK_EQ(n, -EAGAIN);
    CHECK_EQ(weft_send(fds[0], "x", 1, 0, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_send(fds[0], "x", 1, 0, 1), -ETIMEDOUT);
    CHECK_EQ(drain(fds[1]), (size_t)sent);
    /* Room again, and a deadline that has passed: what is possible without waiting is done. */
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_send(fds[0], "x", 1, 0, 1), 1);
    CHECK_EQ(drain(fds[1]), 4);
    (void)close(fds[1]);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_send(fds[0], "x", 1, 0, WEFT_FOREVER), -EPIPE);
    (void)close(fds[0]);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_send(-1, "x", 1, 0, WEFT_FOREVER), -EBADF);
    return 0;
}

WORKER_TEST(io_alone, full_closed_and_wrong_sockets_are_told, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_to_the_end, NULL), 0);
}
