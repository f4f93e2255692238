/* SPDX-License-Identifier: MIT */
/* io.h: urgent data of a TCP connection (MSG_OOB), which passes by what was sent before it. */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static void send_to(int fd, const char *bytes, int flags)
{
    CHECK_EQ(weft_send_all(fd, bytes, strlen(bytes), flags, WEFT_FOREVER), strlen(bytes));
}

static void expect(int fd, const char *bytes)
{
    char got[8] = "";

    CHECK_EQ(weft_read_exact(fd, got, strlen(bytes), WEFT_FOREVER), strlen(bytes));
    CHECK(strcmp(got, bytes) == 0);
}

static int pass_by(void *arg)
{
    struct msghdr message;
    struct iovec part;
    int fds[2], on = 1, at_mark = 0;
    char byte;
    void *lent;

    (void)arg;
    make_tcp_pair(fds);
    for (int i = 0; i < 2; i++) {
        send_to(fds[0], "ab", 0);
        send_to(fds[0], "!", MSG_OOB);
        send_to(fds[0], "cd", 0);
        CHECK_EQ(weft_poll_fd(fds[1], POLLPRI, WEFT_FOREVER), POLLPRI);
        part = (struct iovec){&byte, 1};
        message = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
        CHECK_EQ(i == 0 ? weft_recv(fds[1], &byte, 1, MSG_OOB, WEFT_FOREVER)
                        : weft_recvmsg(fds[1], &message, MSG_OOB, WEFT_FOREVER),
                 1);
        CHECK_EQ(byte, '!');
        CHECK_EQ(weft_recv(fds[1], &byte, 1, MSG_OOB, WEFT_FOREVER), -EINVAL);
        expect(fds[1], "ab");
        CHECK_EQ(ioctl(fds[1], SIOCATMARK, &at_mark), 0);
        CHECK_EQ(at_mark, 1);
        expect(fds[1], "cd");
    }
    send_to(fds[0], "!", MSG_OOB);
    CHECK_EQ(weft_recv_lent(fds[1], &lent, MSG_OOB, WEFT_FOREVER), 1);
    CHECK_EQ(*(char *)lent, '!');
    weft_lent_return(lent);
    send_to(fds[0], "e", 0);
    expect(fds[1], "e");
    /* Or in line with the rest. */
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
    send_to(fds[0], "ab", 0);
    send_to(fds[0], "!", MSG_OOB);
    send_to(fds[0], "cd", 0);
    expect(fds[1], "ab!cd");
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

WORKER_TEST(io_urgent, a_byte_passes_by_the_others, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, pass_by, NULL), 0);
}

struct wait {
    int fd;
    bool selects;
    weft_time deadline;
    _Atomic(int) result;
};

static int select_urgent(int fd, weft_time deadline)
{
    weft_poll poll = WEFT_POLL_INIT(fd, POLLPRI);
    int events = 0, index;
    struct weft_select_case cases[] = {WEFT_POLL_CASE(&poll, &events)};

    index = weft_select(cases, 1, deadline);
    return index == 0 ? events : index;
}

static int await_urgent(void *arg)
{
    struct wait *wait = arg;

    atomic_store(&wait->result, wait->selects ? select_urgent(wait->fd, wait->deadline)
                                              : weft_poll_fd(wait->fd, POLLPRI, wait->deadline));
    return 0;
}

static int wait_for_urgent(void *arg)
{
    struct wait wait;
    weft_fiber *fiber;
    int fds[2];
    char byte;

    make_tcp_pair(fds);
    wait = (struct wait){.fd = fds[1], .selects = *(bool *)arg, .deadline = WEFT_FOREVER};
    fiber = must_spawn(await_urgent, &wait);
    await_acceptors(0, 1);
    send_to(fds[0], "a", 0);
    expect(fds[1], "a");
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(atomic_load(&wait.result), 0);
    send_to(fds[0], "!", MSG_OOB);
    CHECK_EQ(must_join(fiber), 0);
    CHECK_EQ(atomic_load(&wait.result), POLLPRI);
    CHECK_EQ(weft_recv(fds[1], &byte, 1, MSG_OOB, WEFT_FOREVER), 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

WORKER_TEST(io_urgent, who_waits_for_it_does_not_wake_for_others, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 2; i++) {
        bool selects = i == 1;

        cr_expect_eq(run_workers(*workers, wait_for_urgent, &selects), 0);
    }
}

static int wait_behind_a_half_close(void *arg)
{
    struct wait wait = {.selects = *(bool *)arg};
    uint64_t submitted;
    int fds[2];

    make_tcp_pair(fds);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_poll_fd(fds[1], POLLIN | POLLRDHUP, WEFT_FOREVER), POLLIN | POLLRDHUP);
    submitted = stats_now().ops_submitted;
    wait.fd = fds[1];
    wait.deadline = weft_after(20 * WEFT_MILLISECOND);
    CHECK_EQ(await_urgent(&wait), 0);
    CHECK(atomic_load(&wait.result) == POLLRDHUP || atomic_load(&wait.result) == -ETIMEDOUT);
    CHECK(stats_now().ops_submitted - submitted < 10);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* No such data comes any more: the wait ends, by that or by its deadline, and is no spin. */
WORKER_TEST(io_urgent, a_half_close_ends_the_wait_or_is_waited_out, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 2; i++) {
        bool selects = i == 1;

        cr_expect_eq(run_workers(*workers, wait_behind_a_half_close, &selects), 0);
    }
}

static int receive_after_the_rest(void *arg)
{
    char bytes[8];
    int fds[2];

    (void)arg;
    make_tcp_pair(fds);
    for (int i = 0; i < 3; i++) {
        send_to(fds[0], "ab", 0);
        CHECK_EQ(weft_recv(fds[1], bytes, sizeof bytes, 0, WEFT_FOREVER), 2);
        /* Nobody has sent any: there is nothing to wait for. */
        CHECK_EQ(weft_recv(fds[1], bytes, 1, MSG_OOB, WEFT_FOREVER), -EINVAL);
        send_to(fds[0], "!", MSG_OOB);
        CHECK_EQ(weft_poll_fd(fds[1], POLLPRI, WEFT_FOREVER), POLLPRI);
        CHECK_EQ(weft_recv(fds[1], bytes, sizeof bytes, MSG_OOB, WEFT_FOREVER), 1);
        CHECK_EQ(bytes[0], '!');
    }
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* A socket of which all has been received has nothing to read, and may have something urgent. */
WORKER_TEST(io_urgent, a_byte_comes_when_all_else_has_been_read, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, receive_after_the_rest, NULL), 0);
}
