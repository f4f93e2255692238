/* SPDX-License-Identifier: MIT */
/* Servers of two loops, each on a thread of its own with a socket of its own on the same port
 * (SO_REUSEPORT), as a libuv server that uses several CPUs is built: handles belong to one loop. */
#ifndef WEFT_BENCH_LIBUV_SERVER_H
#define WEFT_BENCH_LIBUV_SERVER_H

#include "harness/bench.h"

#include <uv.h>

struct server {
    uv_loop_t loop;
    union {
        uv_handle_t any;
        uv_tcp_t listener;
        uv_udp_t socket;
    } handle;
    uv_async_t stop;
    uv_thread_t thread;
};

/* Begins to serve at a socket that is bound to its port.  Returns 0 or an error of libuv's. */
typedef int server_begin(struct server *server, int fd);

/* Starts the servers at any port, with sockets of the type; returns the first one's, or -1. */
int servers_start(int type, server_begin *begin);

/* Waits until the last connection is closed. */
void servers_stop(void);

/* Starts the servers, lets the load generator of this kind run against them, and stops them. */
void servers_answer_rounds(struct bench *b, int type, const char *kind, server_begin *begin);

#endif
