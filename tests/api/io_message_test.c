/* SPDX-License-Identifier: MIT */
/* io.h: messages: addresses of datagrams, what comes beside the data, what does not fit. */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int make_udp_socket(struct sockaddr_in *address)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    *address = local_address(fd);
    return fd;
}

static int echo_one(void *arg)
{
    char buffer[64];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = *(int *)arg;
    ssize_t n = weft_recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length,
                              WEFT_FOREVER);

    CHECK(n >= 0);
    CHECK_EQ(length, sizeof from);
    CHECK_EQ(weft_sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, length, WEFT_FOREVER),
             n);
    return (int)n;
}

static int exchange_datagrams(void *arg)
{
    struct sockaddr_in server, client, from;
    socklen_t length = sizeof from;
    char buffer[64];
    int fds[2] = {make_udp_socket(&server), make_udp_socket(&client)};

    (void)arg;
    for (int size = 0; size < 3; size++) {
        weft_fiber *fiber = must_spawn(echo_one, &fds[0]);

        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_sendto(fds[1], "abc", (size_t)size, 0, (struct sockaddr *)&server,
                             sizeof server, WEFT_FOREVER),
                 size);
        CHECK_EQ(weft_recvfrom(fds[1], buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length,
                               WEFT_FOREVER),
                 size);
        CHECK_EQ(from.sin_port, server.sin_port);
        CHECK(memcmp(buffer, "abc", (size_t)size) == 0);
        CHECK_EQ(must_join(fiber), size);
    }
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

/* A datagram comes with the address to answer to; an empty one is one, too. */
WORKER_TEST(io_message, datagrams_carry_addresses, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, exchange_datagrams, NULL), 0);
}

static int cut_datagram(void *arg)
{
    char first[2] = "", second[2] = "";
    struct iovec parts[] = {{first, 2}, {second, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fds[2];

    (void)arg;
    make_datagram_pair(fds);
    CHECK_EQ(weft_recvmsg(fds[0], &message, MSG_DONTWAIT, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_recvmsg(fds[0], &message, 0, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_recvmsg(fds[0], &message, 0, 0), -ETIMEDOUT);
    CHECK_EQ(message.msg_flags, 0);
    CHECK_EQ(weft_send(fds[1], "abcdefgh", 8, 0, WEFT_FOREVER), 8);
    CHECK_EQ(weft_recvmsg(fds[0], &message, MSG_PEEK | MSG_TRUNC, WEFT_FOREVER), 8);
    CHECK((message.msg_flags & MSG_TRUNC) != 0);
    CHECK_EQ(weft_recvmsg(fds[0], &message, 0, WEFT_FOREVER), 4);
    CHECK((message.msg_flags & MSG_TRUNC) != 0);
    CHECK(memcmp(first, "ab", 2) == 0 && memcmp(second, "cd", 2) == 0);
    CHECK_EQ(weft_recvfrom(fds[0], first, 2, MSG_DONTWAIT, NULL, NULL, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

/* What does not fit is cut off, and said to be; a wait in vain leaves the message as it was. */
WORKER_TEST(io_message, a_cut_datagram_says_so, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cut_datagram, NULL), 0);
}

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int socket, int fd)
{
    union control control = {.header = {0}};
    struct iovec part = {"d", 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK_EQ(weft_sendmsg(socket, &message, 0, WEFT_FOREVER), 1);
}

static int receive_descriptor(void *arg)
{
    union control control = {.header = {0}};
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t n = weft_recvmsg(*(int *)arg, &message, 0, WEFT_FOREVER);
    struct cmsghdr *header;
    int fd;

    if (n < 0)
        return (int)n;
    header = CMSG_FIRSTHDR(&message);
    CHECK(n == 1 && byte == 'd' && header != NULL && header->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static int pass_descriptors(void *arg)
{
    char byte = 0;
    weft_fiber *fiber;
    int sockets[2], pipe[2], fd;

    (void)arg;
    make_socket_pair(sockets);
    make_pipe(pipe);
    fiber = must_spawn(receive_descriptor, &sockets[0]);
    CHECK_EQ(weft_yield(), 0);
    send_descriptor(sockets[1], pipe[0]);
    fd = must_join(fiber);
    CHECK(fd >= 0 && fd != pipe[0]);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_EQ(weft_write(pipe[1], "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_read(fd, &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(weft_close(fd), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(pipe[i]), 0);
        CHECK_EQ(weft_close(sockets[i]), 0);
    }
    return 0;
}

/* A descriptor that is passed on works, and does not leak into programs that are started. */
WORKER_TEST(io_message, descriptors_come_along, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, pass_descriptors, NULL), 0);
}

static int race_with_descriptors(void *arg)
{
    enum { ROUNDS = 300 };
    int sockets[2], pipe[2];

    (void)arg;
    make_socket_pair(sockets);
    make_pipe(pipe);
    for (int i = 0; i < ROUNDS; i++) {
        weft_fiber *fiber = must_spawn(receive_descriptor, &sockets[0]);
        int fd;

        for (int j = 0; j < i % 4; j++)
            CHECK_EQ(weft_yield(), 0);
        send_descriptor(sockets[1], pipe[0]);
        weft_cancel(fiber);
        fd = must_join(fiber);
        if (fd == -ECANCELED) /* then it is still there for whoever asks next */
            fd = receive_descriptor(&sockets[0]);
        CHECK(fd >= 0);
        CHECK_EQ(weft_close(fd), 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(pipe[i]), 0);
        CHECK_EQ(weft_close(sockets[i]), 0);
    }
    return 0;
}

/* A message that arrives while its receive is cancelled is received or stays: the descriptor in it
 * would otherwise be open for ever. */
WORKER_TEST(io_message, a_cancel_loses_no_descriptor, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, race_with_descriptors, NULL), 0);
}

static int send_message(void *arg)
{
    char bytes[2000] = "";
    struct iovec parts[] = {{bytes, 1000}, {bytes, 1000}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    return (int)weft_sendmsg(*(int *)arg, &message, 0, WEFT_FOREVER);
}

static int wait_for_room(void *arg)
{
    char buffer[4096];
    weft_fiber *fiber;
    int fds[2];

    (void)arg;
    make_narrow_socket_pair(fds);
    (void)fill(fds[1]);
    fiber = must_spawn(send_message, &fds[1]);
    CHECK_EQ(weft_yield(), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    fiber = must_spawn(send_message, &fds[1]);
    CHECK_EQ(weft_yield(), 0);
    while (weft_read(fds[0], buffer, sizeof buffer, weft_after(50 * WEFT_MILLISECOND)) > 0)
        continue;
    CHECK(must_join(fiber) > 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(send_message(&fds[1]), -EPIPE);
    return weft_close(fds[1]);
}

/* A send waits for room and no longer than it may; a peer that has gone is no signal. */
WORKER_TEST(io_message, a_send_waits_for_room, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_for_room, NULL), 0);
}

static int use_packets(void *arg)
{
    char buffer[8];
    int fds[2];

    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(weft_send(fds[1], "ab", 2, 0, WEFT_FOREVER), 2);
    CHECK_EQ(weft_sendto(fds[1], "cde", 3, 0, NULL, 0, WEFT_FOREVER), 3);
    CHECK_EQ(weft_recvfrom(fds[0], buffer, sizeof buffer, 0, NULL, NULL, WEFT_FOREVER), 2);
    CHECK_EQ(weft_recv(fds[0], buffer, sizeof buffer, 0, WEFT_FOREVER), 3);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_recvfrom(fds[0], buffer, sizeof buffer, 0, NULL, NULL, WEFT_FOREVER), 0);
    return weft_close(fds[0]);
}

WORKER_TEST(io_message, packets_keep_their_bounds, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_packets, NULL), 0);
}

static int use_bad_messages(void *arg)
{
    struct msghdr message = {.msg_iovlen = 0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    char byte = 'a';
    int pipe[2];

    (void)arg;
    make_pipe(pipe);
    CHECK_EQ(weft_recvmsg(-1, &message, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_sendmsg(-1, &message, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_recvmsg(pipe[0], &message, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_sendto(pipe[1], &byte, 1, 0, (struct sockaddr *)&address, sizeof address,
                         WEFT_FOREVER),
             -ENOTSOCK);
    CHECK_EQ(weft_close(pipe[0]), 0);
    return weft_close(pipe[1]);
}

WORKER_TEST(io_message, mistakes_are_refused, TEST_TIMEOUT_S)
{
    struct msghdr message = {.msg_iovlen = 0};

    cr_expect_eq(weft_recvmsg(0, &message, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_sendmsg(0, &message, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(run_workers(*workers, use_bad_messages, NULL), 0);
}

static ssize_t receive_error(int fd, weft_time deadline)
{
    char bytes[8], control[512];
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t n = weft_recvmsg(fd, &message, MSG_ERRQUEUE, deadline);

    CHECK(n < 0 || (message.msg_flags & MSG_ERRQUEUE) != 0);
    return n;
}

static int await_error(void *arg)
{
    return (int)receive_error(*(int *)arg, WEFT_FOREVER);
}

static int receive_an_error_beside_data(void *arg)
{
    struct sockaddr_in here, peer, nobody;
    int fds[3] = {make_udp_socket(&here), make_udp_socket(&peer), make_udp_socket(&nobody)}, on = 1;
    weft_fiber *fiber;
    uint64_t submitted;
    void *lent;
    char byte;

    (void)arg;
    CHECK_EQ(setsockopt(fds[0], IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    CHECK_EQ(weft_sendto(fds[1], "x", 1, 0, (struct sockaddr *)&here, sizeof here, WEFT_FOREVER),
             1);
    CHECK_EQ(weft_poll_fd(fds[0], POLLIN, WEFT_FOREVER), POLLIN);
    CHECK_EQ(weft_recv_lent(fds[0], &lent, MSG_ERRQUEUE, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(receive_error(fds[0], 0), -ETIMEDOUT);
    submitted = stats_now().ops_submitted;
    CHECK_EQ(receive_error(fds[0], weft_after(20 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK(stats_now().ops_submitted - submitted < 10);
    fiber = must_spawn(await_error, &fds[0]);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_close(fds[2]), 0);
    CHECK_EQ(
        weft_sendto(fds[0], "y", 1, 0, (struct sockaddr *)&nobody, sizeof nobody, WEFT_FOREVER), 1);
    CHECK_EQ(must_join(fiber), 1);
    CHECK_EQ(weft_recv(fds[0], &byte, 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* Data that nobody reads is no error: it neither ends the wait for one nor makes it spin. */
WORKER_TEST(io_message, queued_errors_are_waited_for, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, receive_an_error_beside_data, NULL), 0);
}

static int await_an_error_of_what_has_ended(void *arg)
{
    int fds[2];

    (void)arg;
    make_tcp_pair(fds);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(shutdown(fds[i], SHUT_WR), 0);
    CHECK_EQ(receive_error(fds[0], WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* A hang-up would end each further wait at once. */
WORKER_TEST(io_message, a_hang_up_ends_the_wait_for_errors, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, await_an_error_of_what_has_ended, NULL), 0);
}

static int await_an_error_of_what_was_reset(void *arg)
{
    struct linger at_once = {.l_onoff = 1};
    int fds[2];

    (void)arg;
    make_tcp_pair(fds);
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(receive_error(fds[0], WEFT_FOREVER), -EAGAIN);
    return weft_close(fds[0]);
}

/* So would the socket's own error, which a poll reports and no queue holds. */
WORKER_TEST(io_message, a_reset_ends_the_wait_for_errors, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, await_an_error_of_what_was_reset, NULL), 0);
}
