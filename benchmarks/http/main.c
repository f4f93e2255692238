/* SPDX-License-Identifier: MIT */
/* weft-http: an HTTP/1.1 server whose handlers run on fibers or on threads. */
#include "date.h"
#include "handlers.h"
#include "listener.h"
#include "options.h"
#include "server.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Static: detached threads may still be on their way out when main has returned. */
static struct server server;

static int fail(const char *what, const char *which, int error)
{
    fprintf(stderr, "weft-http: %s%s: %s\n", what, which, strerror(-error));
    return 1;
}

static int open_root(void)
{
    server.root_fd = -1;
    if (server.options.root == NULL)
        return 0;
    server.root_fd = open(server.options.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return server.root_fd < 0 ? -errno : 0;
}

static int open_listener(void)
{
    struct listener_options options = {.host = server.options.host, .port = server.options.port};

    /* The receive and send timeouts are for blocking calls; a ring does not look at them. */
    options.recv_timeout_ns = server.options.idle_timeout_ns;
    options.send_timeout_ns = server.options.write_timeout_ns;
    server.listener = listener_open(&options);
    return server.listener < 0 ? server.listener : 0;
}

static int run(void)
{
    switch (server.options.mode) {
    case MODE_THREAD_PER_CONNECTION:
        return mode_thread_per_connection_run(&server);
    case MODE_THREAD_PER_REQUEST:
        return mode_thread_per_request_run(&server);
    case MODE_THREAD_POOL:
        return mode_thread_pool_run(&server);
    case MODE_FIBER:
    default:
        return mode_fiber_run(&server);
    }
}

int main(int argc, char **argv)
{
    char address[80];
    int status = options_parse(&server.options, argc, argv);
    int error;

    if (status >= 0)
        return status;
    listener_raise_descriptor_limit();
    date_start();
    handlers_start();

    error = open_root();
    if (error < 0)
        return fail("--root ", server.options.root, error);
    server.stop_fd = stop_catch_signals();
    if (server.stop_fd < 0)
        return fail("cannot catch signals", "", server.stop_fd);
    error = registry_init(&server.registry, server.options.max_connections);
    if (error < 0)
        return fail("cannot make an event descriptor", "", error);
    error = open_listener();
    if (error < 0) {
        snprintf(address, sizeof address, "%s port %u", server.options.host,
                 (unsigned)server.options.port);
        return fail("cannot listen on ", address, error);
    }
    return run();
}
