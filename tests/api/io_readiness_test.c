/* SPDX-License-Identifier: MIT */
/* io.h: readiness that is another file's, or that does not hold what it promises. */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#define MS WEFT_MILLISECOND

/* A number that nobody takes by chance while a test has given it back. */
enum { PLACE = 700 };

/* How the first wait on the number ends, while its file lives on under another one. */
enum end { BY_CLOSE, BY_DEADLINE, BY_CANCEL, ENDS };

struct waiting {
    bool selects;
    weft_time deadline;
    _Atomic(int) is_ready; /* what is there now has come for the file that has the number */
    bool was_early;
};

/* The events, or a negative errno. */
static int wait_at_the_place(void *arg)
{
    struct waiting *waiting = arg;
    weft_poll poll = WEFT_POLL_INIT(PLACE, POLLIN);
    int result, events = 0;
    struct weft_select_case one = WEFT_POLL_CASE(&poll, &events);

    if (waiting->selects) {
        result = weft_select(&one, 1, waiting->deadline);
        result = result < 0 ? result : one.result < 0 ? one.result : events;
    } else {
        result = weft_poll_fd(PLACE, POLLIN, waiting->deadline);
    }
    waiting->was_early = atomic_load(&waiting->is_ready) == 0;
    return result;
}

/* Puts one end of a pair at the place, and returns it. */
static int take_place(int fds[2])
{
    make_socket_pair(fds);
    CHECK_EQ(dup2(fds[0], PLACE), PLACE);
    return PLACE;
}

static void end_first_wait(bool selects, enum end end)
{
    struct waiting first = {.selects = selects,
                            .deadline = end == BY_DEADLINE ? weft_after(MS) : WEFT_FOREVER};
    weft_fiber *fiber = must_spawn(wait_at_the_place, &first);

    CHECK_EQ(weft_sleep(2 * MS), 0);
    if (end == BY_CLOSE)
        CHECK_EQ(weft_close(PLACE), 0);
    else if (end == BY_CANCEL)
        weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), end == BY_CLOSE      ? -EBADF
                               : end == BY_DEADLINE ? -ETIMEDOUT
                                                    : -ECANCELED);
    if (end != BY_CLOSE)
        CHECK_EQ(weft_close(PLACE), 0);
}

static void tell_the_old_file(bool selects, enum end end)
{
    struct waiting second = {.selects = selects, .deadline = WEFT_FOREVER};
    weft_fiber *fiber;
    int old[2], new[2];

    CHECK_EQ(take_place(old), PLACE);
    end_first_wait(selects, end);
    CHECK_EQ(take_place(new), PLACE);
    fiber = must_spawn(wait_at_the_place, &second);
    CHECK_EQ(weft_sleep(2 * MS), 0);
    CHECK_EQ(write(old[1], "x", 1), 1);
    CHECK_EQ(weft_sleep(2 * MS), 0);
    atomic_store(&second.is_ready, 1);
    CHECK_EQ(write(new[1], "y", 1), 1);
    CHECK_EQ(must_join(fiber), POLLIN);
    CHECK(!second.was_early);
    CHECK_EQ(weft_close(PLACE), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(close(old[i]), 0);
        CHECK_EQ(close(new[i]), 0);
    }
}

static int tell_old_files(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * ENDS; i++)
        tell_the_old_file(i % 2 != 0, (enum end)(i / 2));
    return 0;
}

/* What was watched for at a number is still told when the number means another file. */
WORKER_TEST(io_readiness, of_an_old_file_is_not_that_of_the_number, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, tell_old_files, NULL), 0);
}

/* Two waits of 20 ms, and their ends, may take so many operations; a spin takes thousands.  A send
 * that waits takes two; with pauses between polls it takes two each millisecond. */
enum { FEW = 200, FEW_TRIES = 8 };

/* Another socket has filled the receiver's queue; this one has room of its own throughout. */
struct datagrams {
    int receiver, sender;
    struct sockaddr_un address;
};

static void open_datagrams(struct datagrams *datagrams, bool blocks)
{
    int type = SOCK_DGRAM | (blocks ? 0 : SOCK_NONBLOCK);

    datagrams->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(datagrams->address.sun_path + 1, sizeof datagrams->address.sun_path - 1,
                   "weft-readiness-%d", getpid());
    datagrams->receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
    datagrams->sender = socket(AF_UNIX, type, 0);
    CHECK(datagrams->receiver >= 0 && datagrams->sender >= 0);
    CHECK_EQ(bind(datagrams->receiver, (struct sockaddr *)&datagrams->address,
                  sizeof datagrams->address),
             0);
}

/* Returns how many bytes went into it. */
static size_t fill_queue(struct datagrams *datagrams)
{
    size_t length = 0;

    while (sendto(datagrams->sender, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&datagrams->address,
                  sizeof datagrams->address) == 1)
        length++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(poll(&(struct pollfd){.fd = datagrams->sender, .events = POLLOUT}, 1, 0), 1);
    return length;
}

static ssize_t send_one(struct datagrams *datagrams, weft_time deadline)
{
    return weft_sendto(datagrams->sender, "x", 1, 0, (struct sockaddr *)&datagrams->address,
                       sizeof datagrams->address, deadline);
}

static int send_for_ever(void *arg)
{
    return (int)send_one(arg, WEFT_FOREVER);
}

static void send_to_a_full_queue(bool blocks)
{
    struct datagrams datagrams;
    uint64_t submitted;
    weft_fiber *fiber;
    size_t length, taken;

    open_datagrams(&datagrams, blocks);
    length = fill_queue(&datagrams);
    submitted = stats_now().ops_submitted;
    CHECK_EQ(send_one(&datagrams, weft_after(20 * MS)), -ETIMEDOUT);
    CHECK_EQ(send_one(&datagrams, 0), -ETIMEDOUT);
    fiber = must_spawn(send_for_ever, &datagrams);
    CHECK_EQ(weft_sleep(20 * MS), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK(stats_now().ops_submitted - submitted < FEW);
    fiber = must_spawn(send_for_ever, &datagrams);
    CHECK_EQ(weft_sleep(10 * MS), 0);
    taken = drain(datagrams.receiver);
    CHECK_EQ(must_join(fiber), 1);
    CHECK_EQ(taken + drain(datagrams.receiver), length + 1);
    CHECK(fill_queue(&datagrams) > 0);
    fiber = must_spawn(send_for_ever, &datagrams);
    CHECK_EQ(weft_sleep(10 * MS), 0);
    CHECK_EQ(weft_close(datagrams.sender), 0);
    CHECK_EQ(must_join(fiber), -EBADF);
    CHECK_EQ(weft_close(datagrams.receiver), 0);
}

static int send_to_full_queues(void *arg)
{
    (void)arg;
    send_to_a_full_queue(true);
    send_to_a_full_queue(false);
    return 0;
}

/* A datagram socket says that there is room, and means its own: to try until there is some at its
 * receiver would take the worker. */
WORKER_TEST(io_readiness, room_that_is_none_is_looked_for_now_and_then, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_to_full_queues, NULL), 0);
}

/* How to send to the receiver that the socket is connected to. */
enum way { SEND, SENDMSG, WRITE, WRITEV, SEND_ALL, WAYS };

struct connected {
    int fd;
    enum way way;
};

static int send_connected(void *arg)
{
    const struct connected *connected = arg;
    struct iovec parts[] = {{(void *)(uintptr_t) "ab", 2}, {(void *)(uintptr_t) "c", 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fd = connected->fd;

    switch (connected->way) {
    case SEND:
        return (int)weft_send(fd, "abc", 3, 0, WEFT_FOREVER);
    case SENDMSG:
        return (int)weft_sendmsg(fd, &message, 0, WEFT_FOREVER);
    case WRITE:
        return (int)weft_write(fd, "abc", 3, WEFT_FOREVER);
    case WRITEV:
        return (int)weft_writev(fd, parts, 2, WEFT_FOREVER);
    case SEND_ALL:
        return (int)weft_send_all(fd, "abc", 3, 0, WEFT_FOREVER);
    case WAYS:
        break;
    }
    return -EINVAL;
}

static void send_when_there_is_room(bool blocks, enum way way)
{
    struct datagrams datagrams;
    struct connected connected = {.way = way};
    weft_fiber *fiber;
    size_t length, taken;

    open_datagrams(&datagrams, blocks);
    length = fill_queue(&datagrams);
    connected.fd = datagrams.sender;
    CHECK_EQ(
        connect(datagrams.sender, (struct sockaddr *)&datagrams.address, sizeof datagrams.address),
        0);
    fiber = must_spawn(send_connected, &connected);
    CHECK_EQ(weft_sleep(10 * MS), 0);
    taken = drain(datagrams.receiver);
    CHECK_EQ(must_join(fiber), 3);
    CHECK_EQ(taken + drain(datagrams.receiver), length + 3);
    CHECK_EQ(weft_close(datagrams.sender), 0);
    CHECK_EQ(weft_close(datagrams.receiver), 0);
}

static int send_when_there_is_room_each_way(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * WAYS; i++)
        send_when_there_is_room(i % 2 != 0, (enum way)(i / 2));
    return 0;
}

/* A ring that waits for room at the receiver sends an empty datagram in the end. */
WORKER_TEST(io_readiness, a_datagram_that_waits_for_room_arrives_whole, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_when_there_is_room_each_way, NULL), 0);
}

static int send_byte(void *arg)
{
    const int *fd = arg;

    return (int)weft_send(*fd, "x", 1, 0, WEFT_FOREVER);
}

static int send_beside_a_half_close(void *arg)
{
    int fds[2];
    size_t length, taken;
    uint64_t submitted;
    weft_fiber *fiber;

    (void)arg;
    make_narrow_socket_pair(fds);
    length = fill(fds[0]);
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
    submitted = stats_now().ops_submitted;
    fiber = must_spawn(send_byte, &fds[0]);
    CHECK_EQ(weft_sleep(100 * MS), 0);
    CHECK(stats_now().ops_submitted - submitted <= FEW_TRIES);
    taken = drain(fds[1]);
    CHECK_EQ(must_join(fiber), 1);
    CHECK_EQ(taken + drain(fds[1]), length + 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

/* A stream loses nothing in a ring that waits, and each poll would end for the peer's half-close.
 */
WORKER_TEST(io_readiness, a_send_to_a_stream_waits_without_polls, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_beside_a_half_close, NULL), 0);
}

static void receive_beside_an_error(int flags)
{
    int port = make_bound_socket(), on = 1, fd = socket(AF_INET, SOCK_DGRAM | flags, 0);
    struct sockaddr_in address = local_address(port);
    uint64_t submitted;
    char byte;

    CHECK(fd >= 0);
    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(send(fd, "x", 1, 0), 1); /* nobody takes datagrams there */
    CHECK_EQ(weft_recv(fd, &byte, 1, 0, WEFT_FOREVER), -ECONNREFUSED);
    submitted = stats_now().ops_submitted;
    CHECK_EQ(weft_recv(fd, &byte, 1, 0, weft_after(20 * MS)), -ETIMEDOUT);
    CHECK_EQ(weft_recv(fd, &byte, 1, 0, weft_after(20 * MS)), -ETIMEDOUT);
    CHECK(stats_now().ops_submitted - submitted < FEW);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(close(port), 0);
}

static int receive_beside_errors(void *arg)
{
    (void)arg;
    receive_beside_an_error(0);
    receive_beside_an_error(SOCK_NONBLOCK);
    return 0;
}

/* An error that has been told stays in the queue of errors, and each wait for data ends for it. */
WORKER_TEST(io_readiness, an_error_in_the_queue_is_no_data, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, receive_beside_errors, NULL), 0);
}

static int await_lent(void *arg)
{
    void *lent = NULL;
    int result = (int)weft_recv_lent(*(int *)arg, &lent, 0, WEFT_FOREVER);

    weft_lent_return(lent);
    return result;
}

static weft_fiber *begin_lent(int *fd)
{
    weft_fiber *fiber = must_spawn(await_lent, fd);

    CHECK_EQ(weft_sleep(10 * MS), 0); /* it is in vain by now */
    return fiber;
}

static int lend_beside_an_error(void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), nobody = make_bound_socket(), on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in address = local_address(nobody);
    weft_fiber *fiber;
    void *lent = NULL;

    (void)arg;
    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    CHECK_EQ(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof address), 1);
    CHECK_EQ(weft_recv_lent(fd, &lent, 0, WEFT_FOREVER), -ECONNREFUSED);
    CHECK_EQ(weft_recv_lent(fd, &lent, 0, 0), -ETIMEDOUT);
    CHECK_EQ(weft_recv_lent(fd, &lent, 0, weft_after(50 * MS)), -ETIMEDOUT);
    fiber = begin_lent(&fd);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    fiber = begin_lent(&fd);
    own = local_address(fd);
    CHECK_EQ(sendto(fd, "truth", 5, 0, (struct sockaddr *)&own, sizeof own), 5);
    CHECK_EQ(must_join(fiber), 5);
    fiber = begin_lent(&fd);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(must_join(fiber), -EBADF);
    CHECK_EQ(stats_now().lent_buffers, 0);
    CHECK_EQ(close(nobody), 0);
    return 0;
}

/* A receive that is lent its buffer waits first, and would do nothing but that. */
WORKER_TEST(io_readiness, an_error_in_the_queue_ends_no_wait_for_a_lent_buffer, TEST_TIMEOUT_S)
{
    static const enum weft_backend backends[] = {WEFT_BACKEND_AUTO, WEFT_BACKEND_EPOLL};

    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        struct weft_config config = {.workers = *workers, .backend = backends[i]};

        cr_expect_eq(run_config(&config, lend_beside_an_error, NULL), 0);
    }
}
