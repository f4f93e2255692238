/* SPDX-License-Identifier: MIT */
#include "echo.h"
#include "harness/echo_rows.h"
#include "weft_bench.h"

#include <stdbool.h>
#include <string.h>

enum { CONNECTIONS = 32, WORK_STEPS = 16000, WINDOW_MS = 2200 };

/* What each of two workers did in the second that follows the first second of the load. */
struct watch {
    struct echo_server *server;
    uint64_t turns[2];
    uint64_t parks[2];
};

static int watch_workers(void *arg)
{
    struct watch *watch = arg;
    struct weft_stats before[2], after[2];
    int rc = 0;

    /* relaxed: a flag that carries nothing. */
    while (rc == 0 && !atomic_load_explicit(&watch->server->is_serving, memory_order_relaxed))
        rc = weft_sleep(WEFT_MILLISECOND);
    if (rc == 0)
        rc = weft_sleep(WEFT_SECOND);
    for (unsigned i = 0; i < 2 && rc == 0; i++)
        rc = weft_stats_read_worker(i, &before[i]);
    if (rc == 0)
        rc = weft_sleep(WEFT_SECOND);
    for (unsigned i = 0; i < 2 && rc == 0; i++)
        rc = weft_stats_read_worker(i, &after[i]);
    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        watch->turns[i] = after[i].turns - before[i].turns;
        watch->parks[i] = after[i].parks - before[i].parks;
    }
    return rc;
}

/* Returns whether there are figures. */
static bool load_and_watch(struct bench *b, unsigned rate, struct watch *watch,
                           struct echo_result *echo)
{
    struct echo_server server;
    weft_fiber *watcher;
    int result = 0;
    int rc = echo_start(&server, CONNECTIONS, BENCH_ECHO_BYTES, WORK_STEPS);

    if (rc < 0) {
        bench_fail(b, "the server did not start: %s", strerror(-rc));
        return false;
    }
    watch->server = &server;
    rc = weft_spawn(&watcher, watch_workers, watch);
    if (rc == 0) {
        rc = echo_load(&server, rate, WINDOW_MS, echo);
        if (rc < 0) {
            bench_fail(b, "the load generator failed: %s", strerror(-rc));
            weft_cancel(watcher);
        }
        rc = weft_join(watcher, &result, WEFT_FOREVER);
    }
    if (rc < 0 || result < 0)
        bench_fail(b, "the counters could not be read");
    if (echo_stop(&server) < 0)
        bench_fail(b, "the server failed");
    if (watch->turns[0] + watch->turns[1] == 0)
        bench_fail(b, "the workers did nothing");
    return rc == 0 && echo->requests > 0;
}

/* The lazier worker, and its share of the turns. */
static unsigned lazier(const struct watch *watch, double *share_percent)
{
    unsigned worker = watch->turns[1] < watch->turns[0];
    uint64_t turns = watch->turns[0] + watch->turns[1];

    *share_percent = turns ? 100.0 * (double)watch->turns[worker] / (double)turns : 0;
    return worker;
}

/*
 * balance/echo
 *
 * Question  Does a server spread its work when all connections began on one of two workers and
 *           stay busy?
 * Method    One fiber accepts 32 connections and then spawns a fiber for each; the load generator
 *           sends each its next message as soon as it has the echo.  Each message costs about
 *           20 us of arithmetic, so that two workers have something to do for one load generator.
 * Includes  share_percent: the part of the smaller half in all turns of the two workers during
 *           the second second of the load; 50 is even.  requests_per_s and cpu_us_per_request, the
 *           arithmetic with it: of the whole window.
 * Excludes  the first second, in which connections may still move.
 * Distrust  a machine of two CPUs: the load generator takes a share of one.
 */
void bench_balance_echo(struct bench *b)
{
    struct watch watch = {0};
    struct echo_result echo = {0};
    double share_percent;

    if (!load_and_watch(b, 0, &watch, &echo))
        return;
    (void)lazier(&watch, &share_percent);
    bench_report(b, "share_percent", 1, share_percent);
    bench_report(b, "requests_per_s", 1, (double)echo.requests * 1000 / WINDOW_MS);
    bench_report(b, "cpu_us_per_request", 0, echo.cpu_us / (double)echo.requests);
}

/*
 * balance/echo/rate=6400
 *
 * Question  Does the second worker sleep while one is enough?
 * Method    That of balance/echo, but the load generator sends 200 messages a second on each of
 *           the 32 connections: about a quarter of what one worker can do.
 * Includes  share_percent: the part of the lazier worker in all turns; parks_per_s: how often it
 *           was woken and went to sleep again; p99_us of the echoes; cpu_us_per_request.
 * Excludes  the first second.
 * Distrust  a busy machine: one worker that does not get its CPU is not enough.
 */
void bench_balance_echo_light(struct bench *b)
{
    struct watch watch = {0};
    struct echo_result echo = {0};
    double share_percent;
    unsigned worker;

    if (!load_and_watch(b, (unsigned)(b->spec->parameter / CONNECTIONS), &watch, &echo))
        return;
    worker = lazier(&watch, &share_percent);
    bench_report(b, "share_percent", 0, share_percent);
    bench_report(b, "parks_per_s", 0, (double)watch.parks[worker]);
    bench_report(b, "p99_us", 0, echo.p99_us);
    bench_report(b, "cpu_us_per_request", 0, echo.cpu_us / (double)echo.requests);
}
