/* SPDX-License-Identifier: MIT */
/*
 * --mode=thread-pool: --pool=N pthreads, each of which serves the next connection that has input.
 *
 * They take turns at the epoll descriptor of the connections, which the main thread only adds to:
 * the kernel's list of what is ready is the queue of the pool, and nobody hands anything over.
 * Whoever waits in a handler, or for the rest of a request, or for a peer that does not read,
 * keeps its thread: with N of them all others wait.
 */
#include "server.h"
#include "thread.h"
#include "watcher.h"

#include <stddef.h>

static void *serve_connections(void *arg)
{
    (void)arg;
    for (;;)
        watcher_serve(watcher_take());
    return NULL;
}

int mode_thread_pool_run(struct server *server)
{
    int error = thread_setup();

    if (error == 0)
        error = watcher_set_up(server, NULL);
    for (uint32_t i = 0; i < server->options.pool && error == 0; i++)
        error = thread_start(serve_connections, NULL);
    return watcher_run(server, error);
}
