/* SPDX-License-Identifier: MIT */
/*
 * What the kernel alone costs, by way of epoll: a bare loop that does the same as weft's echo/tcp
 * and connect/churn, on one thread, without a runtime.  Level-triggered, one buffer for all: what
 * has been read is written at once, and only what the socket does not take is kept, until there is
 * room; as long as it is, nothing more is read of that connection.
 */
#include "epoll_floor.h"
#include "harness/io_rows.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS_MAX = 256 };

struct connection {
    int fd;
    char *rest; /* what the socket did not take; or NULL */
    size_t begin, end;
};

static struct {
    int epoll;
    int listener;
    bool is_listening;
    bool is_nodelay;
    unsigned open; /* connections */
    size_t buffer_size;
    char *buffer;
} loop;

static int watch(struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    return epoll_ctl(loop.epoll, operation, c->fd, &event);
}

static void accept_one(void)
{
    int fd = accept4(loop.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c = fd >= 0 ? calloc(1, sizeof *c) : NULL;
    int one = 1;

    if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        loop.is_listening = false;
        (void)epoll_ctl(loop.epoll, EPOLL_CTL_DEL, loop.listener, NULL);
    }
    if (fd < 0)
        return;
    if (loop.is_nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c != NULL)
        c->fd = fd;
    if (c != NULL && watch(c, EPOLL_CTL_ADD, EPOLLIN) == 0) {
        loop.open++;
        return;
    }
    free(c);
    close(fd);
}

static bool keep_rest(struct connection *c, const char *bytes, size_t length)
{
    c->rest = malloc(length);
    if (c->rest == NULL)
        return false;
    memcpy(c->rest, bytes, length);
    c->begin = 0;
    c->end = length;
    return watch(c, EPOLL_CTL_MOD, EPOLLOUT) == 0;
}

static bool send_rest(struct connection *c)
{
    ssize_t n = send(c->fd, c->rest + c->begin, c->end - c->begin, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->begin += (size_t)n;
    if (c->begin < c->end)
        return true;
    free(c->rest);
    c->rest = NULL;
    return watch(c, EPOLL_CTL_MOD, EPOLLIN) == 0;
}

/* Returns whether the connection goes on. */
static bool serve(struct connection *c)
{
    ssize_t n, sent;

    if (c->rest != NULL)
        return send_rest(c);
    n = recv(c->fd, loop.buffer, loop.buffer_size, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    sent = send(c->fd, loop.buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    sent = sent < 0 ? 0 : sent;
    return sent == n || keep_rest(c, loop.buffer + sent, (size_t)(n - sent));
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->rest);
    free(c);
    loop.open--;
}

static int run_loop(void)
{
    struct epoll_event events[EVENTS_MAX];

    while (loop.is_listening || loop.open > 0) {
        int count = epoll_wait(loop.epoll, events, EVENTS_MAX, -1);

        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == NULL)
                accept_one();
            else if (!serve(c))
                drop(c);
        }
    }
    return 0;
}

int floor_run(const struct echo_floor *floor)
{
    struct epoll_event event = {.events = EPOLLIN};
    int error = -ENOMEM;

    loop.listener = floor->listener;
    loop.is_listening = true;
    loop.buffer_size = floor->buffer_size;
    loop.is_nodelay = floor->is_nodelay;
    loop.buffer = malloc(loop.buffer_size);
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop.buffer != NULL && loop.epoll >= 0) {
        error = epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.listener, &event) == 0 ? 0 : -errno;
        error = error == 0 ? run_loop() : error;
    }
    close(loop.epoll);
    free(loop.buffer);
    return error;
}

static int serve_load(struct bench *b, const struct echo_load *load, struct echo_figures *figures)
{
    return echo_floor_serve(b, load, figures, floor_run);
}

static void bench_echo_tcp(struct bench *b)
{
    echo_client_tcp(b, serve_load);
}

static const struct bench_case cases[] = {
    BENCH_ECHO_TCPS(NULL),
    BENCH_ECHO_TCP(50000, NULL),
    BENCH_ROUNDS(NULL),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "epoll-floor", cases, sizeof cases / sizeof *cases);
}
