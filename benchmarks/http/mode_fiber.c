/* SPDX-License-Identifier: MIT */
/*
 * --mode=fiber: a fiber per connection.
 *
 * The first fiber waits for the signal; another one accepts and spawns.  Connections end because
 * their socket is shut down, not because their fiber is cancelled: a request in flight then still
 * gets its answer.
 */
#include "connection.h"
#include "date.h"
#include "server.h"

#include <weft.h>

#include <errno.h>
#include <poll.h>
#include <stdint.h>

static struct server *served; /* [I] a fiber's one argument is its descriptor */

/*
 * The connection lies on the fiber's stack: both fit into one page, so that is what a connection
 * takes (15.2 MB instead of 18.0 for 2,000 of them, the runtime included).
 */
static int serve_connection(void *arg)
{
    struct connection c;

    connection_init(&c, served, &transport_fiber, (int)(intptr_t)arg);
    connection_serve(&c);
    return 0;
}

/* Returns 0, or -errno when there is not enough of something for another connection. */
static int start_connection(struct server *server, int fd)
{
    static const struct weft_fiber_attr attr = {.name = "connection",
                                                .stack_size_kib = STACK_SIZE_KIB};
    int error;

    registry_admit(&server->registry);
    error = weft_spawn_with(&attr, NULL, serve_connection, (void *)(intptr_t)fd);
    if (error < 0) {
        weft_close(fd);
        registry_release(&server->registry);
        return error == -ECANCELED ? error : -ENOMEM; /* -EAGAIN means something else to accept */
    }
    return 0;
}

/* Returns -ECANCELED if accepting is over. */
static int wait_for_release(struct server *server, weft_time deadline)
{
    uint64_t count;
    ssize_t n = weft_read(server->registry.release_event, &count, sizeof count, deadline);

    return n == -ECANCELED ? -ECANCELED : 0;
}

static int pause_accepting(struct server *server)
{
    registry_await_release(&server->registry);
    return wait_for_release(server, weft_after(ACCEPT_PAUSE_MS * WEFT_MILLISECOND));
}

static int accept_connections(void *arg)
{
    struct server *server = arg;
    int error = 0;

    while (error != -ECANCELED) {
        if (!registry_has_room(&server->registry)) {
            error = wait_for_release(server, WEFT_FOREVER);
            continue;
        }
        error = weft_accept(server->listener, WEFT_FOREVER);
        if (error >= 0)
            error = start_connection(server, error);
        if (error < 0 && error != -ECANCELED && server_classify_accept_error(error) == ACCEPT_PAUSE)
            error = pause_accepting(server);
    }
    return 0;
}

static void drain(struct server *server)
{
    const weft_time deadline = weft_after(GRACE_MS * WEFT_MILLISECOND);

    while (registry_count(&server->registry) > 0 && weft_now() < deadline) {
        registry_close_idle(&server->registry);
        weft_sleep(DRAIN_TICK_MS * WEFT_MILLISECOND);
    }
    /* Fibers that still sleep are cancelled when the first fiber returns. */
    server_cut_remaining(server);
}

static int run_server(void *arg)
{
    struct server *server = arg;
    weft_fiber *acceptor;
    int error = weft_spawn(&acceptor, accept_connections, server);

    if (error < 0)
        return error;
    if (server_announce(server) == 0)
        error = weft_poll_fd(server->stop_fd, POLLIN, WEFT_FOREVER);
    else
        error = -EIO;

    weft_cancel(acceptor);
    if (weft_join(acceptor, NULL, WEFT_FOREVER) < 0)
        return -ECANCELED; /* only a cancelled fiber fails to join; nobody cancels this one */
    server_stop_accepting(server);
    server_close_listener(server);
    drain(server);
    return error < 0 ? error : 0;
}

int mode_fiber_run(struct server *server)
{
    struct weft_config config = WEFT_CONFIG_INIT;

    served = server;
    config.workers = server->options.workers;
    /* A failure to start has been explained on standard error. */
    return weft_run(&config, run_server, server) < 0;
}
