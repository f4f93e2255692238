/* SPDX-License-Identifier: MIT */
/* What the bare loops of echo/tcp have in common: all but the loop. */
#ifndef WEFT_BENCH_ECHO_FLOOR_H
#define WEFT_BENCH_ECHO_FLOOR_H

#include "harness/echo_client.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct echo_floor {
    int listener;
    unsigned bytes; /* of a message */
};

/* Serves all connections until the listener is shut down and the last of them is closed.  Returns 0
 * or a negative errno. */
typedef int echo_floor_loop(const struct echo_floor *floor);

struct echo_floor_thread {
    struct echo_floor floor;
    echo_floor_loop *loop;
    int result;
};

static inline void *echo_floor_run(void *arg)
{
    struct echo_floor_thread *thread = arg;

    thread->result = thread->loop(&thread->floor);
    /* Had it failed, the load generator would wait for an answer. */
    shutdown(thread->floor.listener, SHUT_RDWR);
    return NULL;
}

/* The loop has a thread to itself, as this one waits for the load generator. */
static inline int echo_floor_serve(struct bench *b, const struct echo_load *load,
                                   struct echo_figures *figures, echo_floor_loop *loop)
{
    struct echo_floor_thread server = {.floor = {.bytes = load->bytes}, .loop = loop};
    pthread_t thread;
    int port, rc;

    server.floor.listener = echo_client_listen(&port);
    if (server.floor.listener < 0 || pthread_create(&thread, NULL, echo_floor_run, &server) != 0) {
        bench_fail(b, "the server did not start");
        return -1;
    }
    rc = echo_client_run(port, load, figures);
    shutdown(server.floor.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(server.floor.listener);
    if (rc != 0 || server.result != 0)
        bench_fail(b, server.result != 0 ? "the loop failed" : "the load generator failed");
    return rc;
}

#endif
