/* SPDX-License-Identifier: MIT */
/*
 * http-epoll-floor: what the kernel alone costs.
 *
 * One thread, level-triggered epoll, non-blocking sockets.  It only looks for the blank line that
 * ends a request and answers each with the bytes of weft-http's /plaintext.  It is a floor and not
 * a server: it ignores what is asked, reads no bodies and has no deadlines.
 */
#include "date.h"
#include "listener.h"
#include "plaintext.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, INPUT_SIZE = 16384, ANSWERS_MAX = 128, ANSWER_ROOM = 160 };

static const char blank_line[] = "\r\n\r\n";

static struct {
    int listener, epoll;
    unsigned char *matched; /* by descriptor: how much of a blank line its last bytes were */
    size_t matched_count;
    char input[INPUT_SIZE];
    char output[ANSWERS_MAX * ANSWER_ROOM];
} loop;

static char *put(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static size_t write_answers(unsigned count)
{
    char *out = loop.output;

    while (count-- > 0) {
        out = put(out, HTTP_OK_UP_TO_DATE, sizeof HTTP_OK_UP_TO_DATE - 1);
        date_copy(out);
        out = put(out + DATE_LENGTH, HTTP_PLAINTEXT_HEAD_REST, sizeof HTTP_PLAINTEXT_HEAD_REST - 1);
        out = put(out, HTTP_PLAINTEXT_BODY, sizeof HTTP_PLAINTEXT_BODY - 1);
    }
    return (size_t)(out - loop.output);
}

/* Counts the blank lines in new input, also those that began in earlier input. */
static unsigned count_requests(int fd, size_t length)
{
    unsigned char matched = loop.matched[fd];
    unsigned count = 0;

    if (matched == 0 && length >= 4 && memcmp(loop.input + length - 4, blank_line, 4) == 0 &&
        memmem(loop.input, length - 1, blank_line, 4) == NULL)
        return 1; /* by far the most common: one whole request */

    for (size_t i = 0; i < length; i++) {
        if (loop.input[i] == blank_line[matched])
            matched++;
        else
            matched = loop.input[i] == '\r';
        if (matched == 4) {
            matched = 0;
            count++;
        }
    }
    loop.matched[fd] = matched;
    return count;
}

static bool send_answers(int fd, unsigned count)
{
    while (count > 0) {
        unsigned batch = count < ANSWERS_MAX ? count : ANSWERS_MAX;
        size_t length = write_answers(batch);

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
    if (n == 0 || !send_answers(fd, count_requests(fd, (size_t)n)))
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

static int parse_port(int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    long port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;

        if (option == 'p')
            port = strtol(optarg, &end, 10);
        if (option != 'p' || end == optarg || *end != '\0' || port < 0 || port > 65535) {
            fprintf(option == 'h' ? stdout : stderr,
                    "usage: http-epoll-floor [--port N]   (0, the default, picks a free port)\n");
            exit(option == 'h' ? 0 : 2);
        }
    }
    return (int)port;
}

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    int error;

    date_start();
    error = start((uint16_t)port);
    if (error == 0)
        error = run_loop();
    fprintf(stderr, "http-epoll-floor: 127.0.0.1:%d: %s\n", port, strerror(-error));
    return 1;
}
