/* SPDX-License-Identifier: MIT */
/* An echo server on fibers and the load generator for it, for benchmarks of latency and balance. */
#ifndef WEFT_BENCH_ECHO_H
#define WEFT_BENCH_ECHO_H

#include "harness/bench.h"

#include <stdatomic.h>
#include <weft.h>

struct echo_server {
    unsigned connections; /* how many it accepts */
    unsigned bytes;       /* of a message */
    uint64_t work;        /* steps of arithmetic per message */
    int listener;
    weft_fiber *acceptor;
    _Atomic int is_serving; /* all connections have been accepted */
    char *buffers;          /* one for each connection */
    struct echo_connection {
        struct echo_server *server;
        int fd;
        weft_fiber *fiber;
    } * accepted;
};

struct echo_result {
    unsigned long long requests;
    double p50_us, p99_us, p999_us, max_us;
    double cpu_us; /* that the server has used for them */
};

/* Some arithmetic that takes about 1.2 ns per step and does not depend on the clock; the peers do
 * the same.  Returns something, so that it is not left out. */
uint64_t echo_compute(uint64_t steps);

/* Returns 0 or a negative errno.  Messages are of so many bytes.  The server accepts `connections`,
 * all in one fiber, then spawns a fiber for each from there. */
int echo_start(struct echo_server *server, unsigned connections, unsigned bytes, uint64_t work);

/* Runs the load generator against it: `rate` messages per second and connection, 0 for as many as
 * possible, BENCH_ECHO_PART_OF_CAPACITY + p for p per cent of that.  Returns 0 or a negative errno.
 */
int echo_load(struct echo_server *server, unsigned rate, unsigned window_ms,
              struct echo_result *result);

/* Waits for the fibers, which end with the load generator's connections. */
int echo_stop(struct echo_server *server);

#endif
