/* SPDX-License-Identifier: MIT */
#include "echo.h"
#include "harness/echo_rows.h"
#include "weft_bench.h"

/* Serves so many connections at `rate` messages per second on each, 0 for as many as possible. */
static int serve_load(struct bench *b, unsigned connections, unsigned bytes, unsigned rate,
                      struct echo_result *result)
{
    unsigned window_ms = b->is_quick ? BENCH_ECHO_WINDOW_MS_QUICK : BENCH_ECHO_WINDOW_MS;
    struct echo_server server;
    int rc = echo_start(&server, connections, bytes, 0);

    if (rc < 0) {
        bench_fail(b, "the server did not start");
        return rc;
    }
    rc = echo_load(&server, rate, window_ms, result);
    if (rc < 0)
        bench_fail(b, "the load generator failed");
    if (echo_stop(&server) < 0 || (rc == 0 && result->requests == 0))
        bench_fail(b, "the server failed");
    return rc;
}

/*
 * echo/tcp/connections=1, 16, 64, 1000, 10000, 50000 and connections=64/size=65536
 *
 * Question  What does a message cost that comes in and goes out again?
 * Method    64 bytes, or 64 KiB, there and back over loopback, each connection's next as soon as it
 *           has the echo, a fiber for each connection; all bytes of each echo are compared.
 * Includes  requests_per_s; cpu_us_per_request: the server's own CPU time, which does not depend on
 *           what the load generator leaves of the machine.  Both are of the window alone.
 * Excludes  connecting, and the first 300 ms.
 * Distrust  requests_per_s on few CPUs: the load generator, one thread with epoll, shares them and
 *           is the limit with many connections.
 */
void bench_echo_tcp(struct bench *b)
{
    unsigned window_ms = b->is_quick ? BENCH_ECHO_WINDOW_MS_QUICK : BENCH_ECHO_WINDOW_MS;
    struct echo_result result;

    if (serve_load(b, bench_echo_connections(b->spec->parameter),
                   bench_echo_bytes(b->spec->parameter), 0, &result) < 0)
        return;
    bench_report(b, "requests_per_s", 1, (double)result.requests * 1000 / window_ms);
    bench_report(b, "cpu_us_per_request", 0, result.cpu_us / (double)result.requests);
}

/*
 * echo/open/rate=6400, 19200, 38400, 57600, 76800 and load=10, 25, 50, 75, 90, 95
 *
 * Question  How long does a message take at a given load, from an idle server to a full one?
 * Method    64 connections send so many messages a second in all, evenly spread, whatever the
 *           server does; a latency counts from the time that the message was due.  A load is a
 *           part of this server's own capacity in per cent, measured just before in a closed loop.
 * Includes  p50, p99, p99.9 and the longest; cpu_us_per_request at that load.
 * Excludes  what comes before the window: finding out the capacity, and 300 ms at the load.
 * Distrust  rates that the machine cannot bear: latencies then grow with the window.  The load
 *           generator needs a CPU of its own for the highest.
 */
void bench_echo_open(struct bench *b)
{
    struct echo_result result;

    if (serve_load(b, BENCH_ECHO_OPEN_CONNECTIONS, BENCH_ECHO_BYTES, (unsigned)b->spec->parameter,
                   &result) < 0)
        return;
    bench_report(b, "p50_us", 0, result.p50_us);
    bench_report(b, "p99_us", 0, result.p99_us);
    bench_report(b, "p999_us", 0, result.p999_us);
    bench_report(b, "max_us", 0, result.max_us);
    bench_report(b, "cpu_us_per_request", 0, result.cpu_us / (double)result.requests);
}
