/* SPDX-License-Identifier: MIT */
/*
 * Accepting connections and watching those that wait for a request, by epoll.
 *
 * EPOLLONESHOT disarms a connection when it is handed over, and the last act of whoever serves it
 * is to arm it again.
 */
#include "watcher.h"

#include "connection.h"
#include "date.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, ACCEPTS_MAX = 64, SWEEP_MS_MAX = 1000, SWEEP_MS_MIN = 10 };

static struct {
    int epoll;                                    /* [I] of the listener and the signal */
    int connections;                              /* [I] the same one if there is a `start` */
    void (*start)(struct connection *connection); /* [I] */
    bool is_accepting;                            /* the listener is armed */
    bool is_stopped;                              /* a signal has come */
} watcher;

static int control(int operation, int fd, uint32_t events, void *key)
{
    struct epoll_event event = {.events = events, .data.ptr = key};

    return epoll_ctl(watcher.epoll, operation, fd, &event) < 0 ? -errno : 0;
}

/*
 * Arms the connection, which may be served and freed before this returns 0.
 *
 * The kernel orders epoll_ctl(2) before the epoll_wait(2) that reports the event.  Thread
 * sanitizers do not know that of EPOLL_CTL_MOD, so the edge is spelled out by the mark, which
 * take() reads; and the bare system call keeps them from taking the use of the descriptor
 * in here for a race with the close(2) that may follow.
 */
static int watch(struct connection *c, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c};
    const int fd = c->transport.fd;

    connection_mark_idle(c);
    return syscall(SYS_epoll_ctl, watcher.connections, operation, fd, &event) < 0 ? -errno : 0;
}

static void end_connection(struct connection *c)
{
    connection_close(c);
    free(c);
}

void watcher_return(struct connection *c)
{
    if (watch(c, EPOLL_CTL_MOD) < 0)
        end_connection(c);
}

void watcher_serve(struct connection *c)
{
    if (connection_serve_burst(c))
        watcher_return(c);
    else
        end_connection(c);
}

/* The connection of an event, which is the caller's from now on. */
static struct connection *take(const struct epoll_event *event)
{
    struct connection *c = event->data.ptr;

    /* acquire: pairs with the release in connection_mark_idle(); see watch(). */
    (void)atomic_load_explicit(&c->idle_since_ns, memory_order_acquire);
    connection_mark_busy(c);
    return c;
}

struct connection *watcher_take(void)
{
    struct epoll_event event;

    while (epoll_wait(watcher.connections, &event, 1, -1) != 1)
        ; /* interrupted */
    return take(&event);
}

static int accept_one(struct server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *c;

    if (fd < 0)
        return -errno;
    c = malloc(sizeof *c); /* it moves from thread to thread */
    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    registry_admit(&server->registry);
    connection_init(c, server, &transport_thread, fd);
    if (watch(c, EPOLL_CTL_ADD) < 0) {
        end_connection(c);
        return -ENOMEM;
    }
    return 0;
}

static void arm_listener(struct server *server, bool is_armed)
{
    if (watcher.is_accepting != is_armed &&
        control(EPOLL_CTL_MOD, server->listener, is_armed ? EPOLLIN : 0, &server->listener) == 0)
        watcher.is_accepting = is_armed;
}

static void accept_some(struct server *server)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int error;

        if (!registry_has_room(&server->registry)) {
            arm_listener(server, false);
            return;
        }
        error = accept_one(server);
        if (error == -EAGAIN)
            return;
        if (error < 0 && server_classify_accept_error(error) == ACCEPT_PAUSE) {
            registry_await_release(&server->registry);
            arm_listener(server, false);
            return;
        }
    }
}

static void handle_event(struct server *server, const struct epoll_event *event)
{
    if (event->data.ptr == &server->stop_fd) {
        watcher.is_stopped = true;
    } else if (event->data.ptr == &server->registry) {
        registry_reset_event(&server->registry);
        arm_listener(server, true);
    } else if (event->data.ptr == &server->listener) {
        accept_some(server);
    } else {
        watcher.start(take(event));
    }
}

/* Waits for events for so long, and handles them. */
static void handle_events(struct server *server, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(watcher.epoll, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < count; i++)
        handle_event(server, &events[i]);
}

static void watch_until_stopped(struct server *server)
{
    const int64_t idle_ns = server->options.idle_timeout_ns;
    int64_t sweep_ms = idle_ns / 4000000;
    int64_t next_sweep_ns = 0;

    if (sweep_ms > SWEEP_MS_MAX)
        sweep_ms = SWEEP_MS_MAX;
    if (sweep_ms < SWEEP_MS_MIN)
        sweep_ms = SWEEP_MS_MIN;
    while (!watcher.is_stopped) {
        /* A listener that is disarmed for lack of descriptors is tried again now and then. */
        bool is_paused = !watcher.is_accepting;
        int64_t now_ns;

        handle_events(server,
                      is_paused && sweep_ms > ACCEPT_PAUSE_MS ? ACCEPT_PAUSE_MS : (int)sweep_ms);
        if (is_paused)
            arm_listener(server, true);
        now_ns = coarse_now();
        if (now_ns >= next_sweep_ns) {
            registry_close_idle_since(&server->registry, now_ns - idle_ns);
            next_sweep_ns = now_ns + sweep_ms * 1000000;
        }
    }
}

static void drain(struct server *server)
{
    const int64_t deadline_ns = coarse_now() + (int64_t)GRACE_MS * 1000000;

    control(EPOLL_CTL_DEL, server->stop_fd, 0, NULL);
    server_stop_accepting(server);
    server_close_listener(server);
    while (registry_count(&server->registry) > 0 && coarse_now() < deadline_ns) {
        registry_close_idle(&server->registry);
        handle_events(server, DRAIN_TICK_MS);
    }
}

int watcher_set_up(struct server *server, void (*start)(struct connection *connection))
{
    int error;

    watcher.start = start;
    watcher.epoll = epoll_create1(EPOLL_CLOEXEC);
    watcher.connections = start != NULL ? watcher.epoll : epoll_create1(EPOLL_CLOEXEC);
    /* Non-blocking, since the watcher must not wait for a connection that has gone again. */
    if (watcher.epoll < 0 || watcher.connections < 0 ||
        fcntl(server->listener, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    error = control(EPOLL_CTL_ADD, server->listener, EPOLLIN, &server->listener);
    if (error == 0)
        error = control(EPOLL_CTL_ADD, server->stop_fd, EPOLLIN, &server->stop_fd);
    if (error == 0)
        error = control(EPOLL_CTL_ADD, server->registry.release_event, EPOLLIN, &server->registry);
    watcher.is_accepting = error == 0;
    return error;
}

int watcher_run(struct server *server, int error)
{
    if (error < 0) {
        fprintf(stderr, "weft-http: cannot set up the watcher: %s\n", strerror(-error));
        return 1;
    }
    error = server_announce(server);
    if (error == 0)
        watch_until_stopped(server);
    drain(server);
    server_cut_remaining(server);
    return error;
}
