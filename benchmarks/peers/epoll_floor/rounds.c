/* SPDX-License-Identifier: MIT */
/* Datagrams, and connections of one message. */
#include "epoll_floor.h"
#include "harness/round_work.h"

#include <errno.h>
#include <sys/epoll.h>

/* Until there is none any more: a look at the socket is no dearer than one at epoll's list.  The
 * socket may be shut down between the two calls, as the clients ask to the end. */
static int answer_waiting(int fd)
{
    char message[ROUND_BYTES];
    struct sockaddr_in from;
    ssize_t n;

    do {
        socklen_t length = sizeof from;

        n = recvfrom(fd, message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (n > 0)
            n = sendto(fd, message, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&from, length);
    } while (n > 0);
    return n == 0 || errno == EAGAIN || errno == EPIPE ? 0 : -errno;
}

/* Until the socket is shut down. */
static int answer(const struct echo_floor *floor)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int error = 0;

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, floor->listener, &event) != 0)
        error = -errno;
    while (error == 0) {
        if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
            error = -errno;
        if ((event.events & EPOLLHUP) != 0)
            break;
        if (error == 0)
            error = answer_waiting(floor->listener);
    }
    close(epoll);
    return error;
}

static void serve(struct bench *b, int type, const char *kind, echo_floor_loop *loop)
{
    struct echo_floor_thread server = {
        .floor = {.listener = round_socket(b, type), .buffer_size = ROUND_BYTES}, .loop = loop};

    if (echo_floor_start(b, &server) != 0)
        return;
    round_load(b, server.floor.listener, kind, read);
    echo_floor_stop(b, &server);
}

void bench_echo_udp(struct bench *b)
{
    serve(b, SOCK_DGRAM, "udp", answer);
}

void bench_connect_churn(struct bench *b)
{
    serve(b, SOCK_STREAM, "churn", floor_run);
}
