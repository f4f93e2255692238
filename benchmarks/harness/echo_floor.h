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
    size_t buffer_size;
    int is_nodelay; /* the connections */
};

/* Serves all connections until the listener is shut down and the last of them is closed.  Returns 0
 * or a negative errno. */
typedef int echo_floor_loop(const struct echo_floor *floor);

struct echo_floor_thread {
    struct echo_floor floor;
    echo_floor_loop *loop;
    pthread_t thread;
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

/* The loop has a thread to itself, as the calling one waits for the load generator.  Returns 0
 * or -1. */
static inline int echo_floor_start(struct bench *b, struct echo_floor_thread *server)
{
    if (server->floor.listener >= 0 &&
        pthread_create(&server->thread, NULL, echo_floor_run, server) == 0)
        return 0;
    bench_fail(b, "the server did not start");
    return -1;
}

static inline void echo_floor_stop(struct bench *b, struct echo_floor_thread *server)
{
    shutdown(server->floor.listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->floor.listener);
    if (server->result != 0)
        bench_fail(b, "the loop failed");
}

static inline int echo_floor_serve(struct bench *b, const struct echo_load *load,
                                   struct echo_figures *figures, echo_floor_loop *loop)
{
    struct echo_floor_thread server = {
        .floor = {.buffer_size = bench_echo_buffer(load->bytes), .is_nodelay = 1}, .loop = loop};
    int port, rc;

    server.floor.listener = echo_client_listen(&port);
    if (echo_floor_start(b, &server) != 0)
        return -1;
    rc = echo_client_run(port, load, figures);
    echo_floor_stop(b, &server);
    if (rc != 0)
        bench_fail(b, "the load generator failed");
    return rc;
}

#endif
