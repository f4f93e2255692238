/* SPDX-License-Identifier: MIT */
/* See io_program.h: sockets and pipes. */
#define _GNU_SOURCE 1

#include "io_program.h"

#include "../support/check.h"
#include "../support/net.h"
#include "io_fault.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <weft.h>

int io_told;

const char io_text[IO_BYTES + 1] = "abcdef";

bool io_is_told(ssize_t result)
{
    return result < 0 && result == io_fault_error() && ++io_told == 1;
}

ssize_t io_must(ssize_t result, const char *call, const char *file, int line)
{
    const char *fired = io_fault_fired();

    if (result < 0)
        check_fail(file, line, "%s is %zd, after error %d of %s", call, result, io_fault_error(),
                   fired != NULL ? fired : "nothing");
    return result;
}

void io_close(int fd)
{
    int result = weft_close(fd);

    CHECK(result == 0 || io_is_told(result));
}

void io_expect_text(int fd)
{
    char got[IO_BYTES] = "";
    size_t length = 0;

    while (length < IO_BYTES) {
        size_t half = (IO_BYTES - length + 1) / 2;
        struct iovec parts[2] = {{got + length, half},
                                 {got + length + half, IO_BYTES - length - half}};
        ssize_t n = AGAIN(weft_readv(fd, parts, 2, WEFT_FOREVER));

        CHECK(n > 0);
        length += (size_t)n;
    }
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
}

static int pair[2];

static void begin_with_pair(void)
{
    make_socket_pair(pair);
    for (int i = 0; i < 2; i++)
        io_fault_concern(pair[i], IO_FAULT_CALLS);
}

static void close_both(const int *fds)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(weft_close(fds[i]), 0);
}

static void end_with_pair(void)
{
    close_both(pair);
}

static void write_by_parts(int fd)
{
    for (size_t length = 0; length < IO_BYTES;) {
        struct iovec parts[2] = {{(char *)io_text + length, 1}, {(char *)io_text + length + 1, 0}};

        parts[1].iov_len = IO_BYTES - length - 1;
        length += (size_t)AGAIN(weft_writev(fd, parts, 2, WEFT_FOREVER));
    }
}

/* Those that go on by themselves after a short count. */
static void use_whole_calls(void)
{
    char got[IO_BYTES];

    CHECK_EQ(AGAIN(weft_write_all(pair[0], io_text, IO_BYTES, WEFT_FOREVER)), IO_BYTES);
    CHECK_EQ(AGAIN(weft_read_exact(pair[1], got, IO_BYTES, WEFT_FOREVER)), IO_BYTES);
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
    CHECK_EQ(AGAIN(weft_send_all(pair[1], io_text, IO_BYTES, 0, WEFT_FOREVER)), IO_BYTES);
    CHECK_EQ(AGAIN(weft_read_exact(pair[0], got, IO_BYTES, WEFT_FOREVER)), IO_BYTES);
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
}

static void use_lent(void)
{
    ssize_t n;
    void *lent;

    CHECK_EQ(AGAIN(weft_write_all(pair[0], io_text, IO_BYTES, WEFT_FOREVER)), IO_BYTES);
    for (ssize_t length = 0; length < IO_BYTES; length += n) {
        n = AGAIN(weft_recv_lent(pair[1], &lent, 0, WEFT_FOREVER));
        CHECK(memcmp(lent, io_text + length, (size_t)n) == 0);
        weft_lent_return(lent);
    }
}

static void use_streams(void)
{
    char got[IO_BYTES];
    ssize_t n;

    write_by_parts(pair[0]);
    io_expect_text(pair[1]);
    for (ssize_t sent = 0; sent < IO_BYTES; sent += n)
        n = AGAIN(weft_send(pair[1], io_text + sent, (size_t)(IO_BYTES - sent), 0, WEFT_FOREVER));
    for (ssize_t length = 0; length < IO_BYTES; length += n)
        n = AGAIN(weft_recv(pair[0], got + length, (size_t)(IO_BYTES - length), 0, WEFT_FOREVER));
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
    use_whole_calls();
    use_lent();
}

const struct io_part io_streams = {.name = "streams",
                                   .begin = begin_with_pair,
                                   .use = use_streams,
                                   .end = end_with_pair,
                                   .can_be_short = true};

static int datagrams[2];

static void begin_messages(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    begin_with_pair();
    for (int i = 0; i < 2; i++) {
        datagrams[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        CHECK(datagrams[i] >= 0);
        CHECK_EQ(bind(datagrams[i], (struct sockaddr *)&any, sizeof any), 0);
        io_fault_concern(datagrams[i], IO_FAULT_CALLS);
    }
}

static void end_messages(void)
{
    close_both(datagrams);
    end_with_pair();
}

static void exchange_messages(void)
{
    char got[IO_BYTES];
    struct iovec part, room;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct msghdr answer = {.msg_iov = &room, .msg_iovlen = 1};
    ssize_t n;

    for (ssize_t sent = 0; sent < IO_BYTES; sent += n) {
        part = (struct iovec){(char *)io_text + sent, (size_t)(IO_BYTES - sent)};
        n = AGAIN(weft_sendmsg(pair[0], &message, 0, WEFT_FOREVER));
    }
    for (ssize_t length = 0; length < IO_BYTES; length += n) {
        room = (struct iovec){got + length, (size_t)(IO_BYTES - length)};
        n = AGAIN(weft_recvmsg(pair[1], &answer, 0, WEFT_FOREVER));
    }
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
}

/* It arrives once.  One that came twice, or with a message that failed, would be found at the end
 * of the run. */
static void pass_descriptor(void)
{
    _Alignas(struct cmsghdr) char sent[CMSG_SPACE(sizeof(int))] = "";
    _Alignas(struct cmsghdr) char got[CMSG_SPACE(sizeof(int))] = "";
    char byte = 'd';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = sent, .msg_controllen = sizeof sent};
    struct msghdr answer = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = got, .msg_controllen = sizeof got};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd;

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &pair[0], sizeof fd);
    CHECK_EQ(AGAIN(weft_sendmsg(pair[0], &message, 0, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_recvmsg(pair[1], &answer, 0, WEFT_FOREVER)), 1);
    header = CMSG_FIRSTHDR(&answer);
    CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    CHECK_EQ(weft_close(fd), 0);
}

static void exchange_datagrams(void)
{
    struct sockaddr_in to = local_address(datagrams[1]), from;
    socklen_t length = sizeof from;
    char byte = 'd';

    CHECK_EQ(AGAIN(weft_sendto(datagrams[0], &byte, 1, 0, (struct sockaddr *)&to, sizeof to,
                               WEFT_FOREVER)),
             1);
    CHECK_EQ(AGAIN(weft_recvfrom(datagrams[1], &byte, 1, 0, (struct sockaddr *)&from, &length,
                                 WEFT_FOREVER)),
             1);
    CHECK_EQ(from.sin_port, local_address(datagrams[0]).sin_port);
}

static void use_messages(void)
{
    exchange_messages();
    pass_descriptor();
    exchange_datagrams();
}

const struct io_part io_messages = {.name = "messages",
                                    .begin = begin_messages,
                                    .use = use_messages,
                                    .end = end_messages,
                                    .can_be_short = true};

static int listener;

static void begin_connections(void)
{
    listener = weft_listen_tcp("127.0.0.1", 0);
    io_fault_concern(listener, IO_FAULT_CALLS);
}

static void end_connections(void)
{
    CHECK_EQ(weft_close(listener), 0);
}

/* Ended by a reset, it holds its port no longer than it lives.  After a failure it can only be
 * closed. */
static int connect_client(bool is_nonblocking)
{
    struct sockaddr_in address = local_address(listener);
    struct linger linger = {1, 0};
    int client, result;

    do {
        client = make_tcp_socket();
        CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        if (is_nonblocking)
            set_nonblocking(client);
        io_fault_concern(client, IO_FAULT_ALL);
        result = weft_connect(client, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER);
        if (result < 0)
            CHECK_EQ(weft_close(client), 0);
    } while (io_is_told(result));
    return (int)io_must(result < 0 ? result : client, "weft_connect", __FILE__, __LINE__);
}

/* A connect of which it is not known how it went has connected all the same: those connections are
 * in the queue, too. */
static int accept_client(int client)
{
    struct sockaddr_in mine = local_address(client), peer;
    socklen_t length = sizeof peer;
    int fd;

    while (
        (fd = (int)AGAIN(weft_accept(listener, WEFT_FOREVER))) >= 0 &&
        (getpeername(fd, (struct sockaddr *)&peer, &length) != 0 || peer.sin_port != mine.sin_port))
        CHECK_EQ(weft_close(fd), 0);
    return fd;
}

static void meet(bool is_nonblocking)
{
    int client = connect_client(is_nonblocking);
    int server = accept_client(client);
    char byte = 'c';

    io_fault_concern(server, IO_FAULT_ALL);
    /* Urgent data is not what there is to read: who waited for that would wait for ever. */
    CHECK_EQ(AGAIN(weft_send(client, &byte, 1, MSG_OOB, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_poll_fd(server, POLLPRI, WEFT_FOREVER)), POLLPRI);
    CHECK_EQ(AGAIN(weft_recv(server, &byte, 1, MSG_OOB, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_send(client, &byte, 1, 0, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_recv(server, &byte, 1, 0, WEFT_FOREVER)), 1);
    io_close(server);
    /* It was closed, whatever the close has said. */
    CHECK_EQ(AGAIN(weft_recv(client, &byte, 1, 0, WEFT_FOREVER)), 0);
    io_close(client);
}

/* In non-blocking mode EAGAIN is an answer. */
static void use_connections(void)
{
    meet(false);
    if (io_fault_error() != -EAGAIN)
        meet(true);
}

const struct io_part io_connections = {.name = "connections",
                                       .begin = begin_connections,
                                       .use = use_connections,
                                       .end = end_connections};

static int waited_for[2];

static void begin_waits(void)
{
    begin_with_pair();
    make_pipe(waited_for);
    for (int i = 0; i < 2; i++)
        io_fault_concern(waited_for[i], IO_FAULT_CALLS);
}

static void end_waits(void)
{
    close_both(waited_for);
    end_with_pair();
}

static weft_time soon(void)
{
    return weft_after(200 * WEFT_MICROSECOND);
}

/* Once more, if it has failed as it was made to; then nothing comes. */
#define TIMES_OUT(call)                \
    do {                               \
        ssize_t result_ = (call);      \
        if (io_is_told(result_))       \
            result_ = (call);          \
        CHECK_EQ(result_, -ETIMEDOUT); \
    } while (0)

static void use_waits(void)
{
    char byte = 'w';

    TIMES_OUT(weft_poll_fd(waited_for[0], POLLIN, soon()));
    TIMES_OUT(weft_read(waited_for[0], &byte, 1, soon()));
    TIMES_OUT(weft_recv(pair[0], &byte, 1, 0, soon()));
    CHECK_EQ(AGAIN(weft_poll_fd(waited_for[1], POLLOUT, WEFT_FOREVER)), POLLOUT);
    CHECK_EQ(AGAIN(weft_write(waited_for[1], &byte, 1, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_read(waited_for[0], &byte, 1, WEFT_FOREVER)), 1);
}

const struct io_part io_waits = {
    .name = "waits", .begin = begin_waits, .use = use_waits, .end = end_waits};
