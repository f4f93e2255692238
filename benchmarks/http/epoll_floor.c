/* SPDX-License-Identifier: MIT */
/*
 * http-epoll-floor: what the kernel alone costs.
 *
 * One thread, level-triggered epoll, non-blocking sockets.  It only looks for the blank line that
 * ends a request and answers each with the bytes of weft-http's /plaintext.  It is a floor and not
 * a server: it ignores what is asked, reads no bodies and has no deadlines.
 */
#include "date.h"
#include "floor.h"
#include "listener.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, INPUT_SIZE = 16384, ANSWERS_MAX = 128 };

static struct {
    int listener, epoll;
    unsigned char *matched; /* by descriptor: how much of a blank line its last bytes were */
    size_t matched_count;
    char input[INPUT_SIZE];
    char output[ANSWERS_MAX * FLOOR_ANSWER_ROOM];
} loop;

static bool send_answers(int fd, unsigned count)
{
    while (count > 0) {
        unsigned batch = count < ANSWERS_MAX ? count : ANSWERS_MAX;
        size_t length = floor_write_answers(loop.output, batch);

        /* A peer that does not read its answers is dropped: see the top of this file. */
        if (send(fd, loop.output, length, MSG_NOSIGNAL) != (ssize_t)length)
            return false;
        count -= batch;
    }
    return true;
}

static bool serve(int fd)
{
    ssize_t n = recv(fd, loop.input, sizeof loop.input, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0 || !send_answers(fd, floor_count_requests(&loop.matched[fd], loop.input, (size_t)n)))
        return false;
    return memmem(loop.input, (size_t)n, "Connection: close", 17) == NULL;
}

static void accept_one(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = accept4(loop.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if ((size_t)fd >= loop.matched_count) {
        close(fd);
        return;
    }
    loop.matched[fd] = 0;
    event.data.fd = fd;
    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        close(fd);
}

static int run_loop(void)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(loop.epoll, events, EVENTS_MAX, -1);

        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == loop.listener)
                accept_one();
            else if (!serve(events[i].data.fd))
                close(events[i].data.fd);
        }
    }
}

static int start(uint16_t port)
{
    struct listener_options options = {.host = "127.0.0.1", .port = port};
    struct epoll_event event = {.events = EPOLLIN};
    long descriptors;

    listener_raise_descriptor_limit();
    descriptors = sysconf(_SC_OPEN_MAX);
    loop.matched_count = descriptors > 0 && descriptors < 1 << 20 ? (size_t)descriptors : 1 << 20;
    loop.matched = calloc(loop.matched_count, 1);
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop.matched == NULL || loop.epoll < 0)
        return -ENOMEM;

    loop.listener = listener_open(&options);
    if (loop.listener < 0)
        return loop.listener;
    event.data.fd = loop.listener;
    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.listener, &event) < 0)
        return -errno;
    return listener_announce(loop.listener, "epoll-floor");
}

int main(int argc, char **argv)
{
    uint16_t port = floor_parse_options(
        argc, argv, "usage: http-epoll-floor [--port N]   (0, the default, picks a free port)\n",
        NULL);
    int error;

    date_start();
    error = start(port);
    if (error == 0)
        error = run_loop();
    fprintf(stderr, "http-epoll-floor: 127.0.0.1:%u: %s\n", (unsigned)port, strerror(-error));
    return 1;
}
