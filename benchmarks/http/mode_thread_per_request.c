/* SPDX-License-Identifier: MIT */
/*
 * --mode=thread-per-request: a detached pthread for each request.
 *
 * The main thread watches the connections that wait for a request.  When input arrives it starts a
 * thread, which receives, answers, and gives the connection back.  Requests that arrive together
 * in one receive are answered by one thread.
 *
 * A connection is owned by the watcher or by its thread, never by both: EPOLLONESHOT disarms it
 * when it is handed over, and the thread's last act is to arm it again.
 */
#include "connection.h"
#include "date.h"
#include "server.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, ACCEPTS_MAX = 64, SWEEP_MS_MAX = 1000, SWEEP_MS_MIN = 10 };

static struct {
    int epoll;
    bool is_accepting; /* the listener is armed */
    bool is_stopped;   /* a signal has come */
} watcher;

static int control(int operation, int fd, uint32_t events, void *key)
{
    struct epoll_event event = {.events = events, .data.ptr = key};

    return epoll_ctl(watcher.epoll, operation, fd, &event) < 0 ? -errno : 0;
}

/*
 * Hands the connection to the watcher, which may free it before this returns 0.
 *
 * The kernel orders epoll_ctl(2) before the epoll_wait(2) that reports the event.  Thread
 * sanitizers do not know that of EPOLL_CTL_MOD, so the edge is spelled out by the mark, which
 * start_request() reads; and the bare system call keeps them from taking the use of the descriptor
 * in here for a race with the close(2) that may follow.
 */
static int watch(struct connection *c, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c};
    const int fd = c->transport.fd;

    connection_mark_idle(c);
    return syscall(SYS_epoll_ctl, watcher.epoll, operation, fd, &event) < 0 ? -errno : 0;
}

static void end_connection(struct connection *c)
{
    connection_close(c);
    free(c);
}

static void *serve_request(void *arg)
{
    struct connection *c = arg;

    if (!connection_serve_burst(c) || watch(c, EPOLL_CTL_MOD) < 0)
        end_connection(c);
    return NULL;
}

static void start_request(struct connection *c)
{
    const struct timespec pause = {.tv_nsec = DRAIN_TICK_MS * 1000000};

    /* acquire: pairs with the release in connection_mark_idle(); see watch(). */
    (void)atomic_load_explicit(&c->idle_since_ns, memory_order_acquire);
    connection_mark_busy(c);
    if (thread_start(serve_request, c) == 0)
        return;
    /* Too many threads: the request waits in its socket until some have ended. */
    nanosleep(&pause, NULL);
    if (watch(c, EPOLL_CTL_MOD) < 0)
        end_connection(c);
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
        start_request(event->data.ptr);
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

static int set_up(struct server *server)
{
    int error = thread_setup();

    if (error < 0)
        return error;
    watcher.epoll = epoll_create1(EPOLL_CLOEXEC);
    /* Non-blocking, since the watcher must not wait for a connection that has gone again. */
    if (watcher.epoll < 0 || fcntl(server->listener, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    error = control(EPOLL_CTL_ADD, server->listener, EPOLLIN, &server->listener);
    if (error == 0)
        error = control(EPOLL_CTL_ADD, server->stop_fd, EPOLLIN, &server->stop_fd);
    if (error == 0)
        error = control(EPOLL_CTL_ADD, server->registry.release_event, EPOLLIN, &server->registry);
    watcher.is_accepting = error == 0;
    return error;
}

int mode_thread_per_request_run(struct server *server)
{
    int error = set_up(server);

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
