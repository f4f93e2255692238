/* SPDX-License-Identifier: MIT */
/*
 * --mode=thread-per-request: a detached pthread for each request.
 *
 * The main thread watches the connections that wait for a request.  When input arrives it starts a
 * thread, which receives, answers, and gives the connection back.  Requests that arrive together
 * in one receive are answered by one thread.
 */
#include "server.h"
#include "thread.h"
#include "watcher.h"

#include <time.h>

static void *serve_request(void *arg)
{
    watcher_serve(arg);
    return NULL;
}

static void start_request(struct connection *c)
{
    const struct timespec pause = {.tv_nsec = DRAIN_TICK_MS * 1000000};

    if (thread_start(serve_request, c) == 0)
        return;
    /* Too many threads: the request waits in its socket until some have ended. */
    nanosleep(&pause, NULL);
    watcher_return(c);
}

int mode_thread_per_request_run(struct server *server)
{
    int error = thread_setup();

    if (error == 0)
        error = watcher_set_up(server, start_request);
    return watcher_run(server, error);
}
