/* SPDX-License-Identifier: MIT */
/*
 * --mode=thread-per-connection: a detached pthread with a 64 KiB stack for each connection.
 *
 * The main thread waits for the signal; another one accepts and starts threads.
 */
#include "connection.h"
#include "date.h"
#include "server.h"
#include "stop.h"
#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void *serve_connection(void *arg)
{
    struct connection *c = arg;

    connection_serve(c);
    free(c);
    return NULL;
}

/*
 * The connection is not on the thread's stack: glibc keeps the thread's own data there, and a
 * connection beside that would touch one more page (28.8 MB instead of 23.9 for 2,000 of them).
 */
static int start_connection(struct server *server, int fd)
{
    struct connection *c = malloc(sizeof *c);

    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    registry_admit(&server->registry);
    connection_init(c, server, &transport_thread, fd);
    if (thread_start(serve_connection, c) < 0) {
        connection_close(c);
        free(c);
        return -ENOMEM; /* EAGAIN in truth, which accept(2) uses for something else */
    }
    return 0;
}

static void wait_for_release(struct server *server)
{
    struct pollfd release = {.fd = server->registry.release_event, .events = POLLIN};

    poll(&release, 1, ACCEPT_PAUSE_MS);
    registry_reset_event(&server->registry);
}

static void *accept_connections(void *arg)
{
    struct server *server = arg;

    while (!server_is_draining(server)) {
        int fd, error;

        if (!registry_has_room(&server->registry)) {
            wait_for_release(server);
            continue;
        }
        fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        error = fd < 0 ? -errno : start_connection(server, fd);
        if (error < 0 && server_classify_accept_error(error) == ACCEPT_PAUSE) {
            registry_await_release(&server->registry);
            wait_for_release(server);
        }
    }
    return NULL;
}

static void drain(struct server *server)
{
    const int64_t deadline_ns = coarse_now() + (int64_t)GRACE_MS * 1000000;
    const struct timespec tick = {.tv_nsec = DRAIN_TICK_MS * 1000000};

    while (registry_count(&server->registry) > 0 && coarse_now() < deadline_ns) {
        registry_close_idle(&server->registry);
        nanosleep(&tick, NULL);
    }
}

int mode_thread_per_connection_run(struct server *server)
{
    pthread_t acceptor;
    int error = thread_setup();

    if (error == 0)
        error = -pthread_create(&acceptor, NULL, accept_connections, server);
    if (error < 0) {
        fprintf(stderr, "weft-http: cannot start a thread: %s\n", strerror(-error));
        return 1;
    }

    error = server_announce(server);
    if (error == 0)
        stop_wait(server->stop_fd);
    server_stop_accepting(server);
    shutdown(server->listener, SHUT_RD); /* ends the accept(2) that the acceptor waits in */
    pthread_join(acceptor, NULL);
    server_close_listener(server);
    drain(server);
    server_cut_remaining(server);
    return error;
}
