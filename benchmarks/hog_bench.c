/* SPDX-License-Identifier: MIT */
#include "echo.h"
#include "harness/echo_rows.h"
#include "weft_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HOGS_MAX = 16,
    CONNECTIONS = 64,
    RATE = 50, /* messages per second and connection: 3,200 in all */
    SETTLE_MS = 100,
    BURST_MS = 500,
    WINDOW_MS = 3000,
    WINDOW_MS_QUICK = 1200,
    LATENESSES_MAX = 120 * 1000,
};

struct hogs {
    unsigned kind;
    unsigned count;
    struct echo_server *server;
    _Atomic int is_over;
    _Atomic uint64_t bursts;
    pthread_t feeder;
    struct hog {
        struct hogs *hogs;
        weft_fiber *fiber;
        int pipe[2]; /* what a BENCH_HOG_READ reads and the feeder writes */
    } hog[HOGS_MAX];
};

struct ticker {
    struct hogs *hogs;
    size_t count;
    double *late_us;
};

static int is_over(struct hogs *hogs)
{
    /* relaxed: a flag that carries nothing. */
    return atomic_load_explicit(&hogs->is_over, memory_order_relaxed);
}

/* One burst in which the fiber neither yields nor makes a call of weft's. */
static int burst(struct hog *hog)
{
    weft_time end = weft_after(BURST_MS * WEFT_MILLISECOND);
    char byte;

    switch (hog->hogs->kind) {
    case BENCH_HOG_COMPUTE:
        while (weft_now() < end)
            echo_compute(10000);
        return 0;
    case BENCH_HOG_USLEEP:
        return usleep(BURST_MS * 1000) == 0 ? 0 : -EINTR;
    default:
        break;
    }
    while (read(hog->pipe[0], &byte, 1) != 1) {
        if (errno != EINTR)
            return -EIO;
    }
    return 0;
}

static int be_a_hog(void *arg)
{
    struct hog *hog = arg;
    int rc = 0;

    /* The question is what it does to connections that are being served.  relaxed: a flag that
     * carries nothing. */
    while (rc >= 0 && !is_over(hog->hogs) &&
           !atomic_load_explicit(&hog->hogs->server->is_serving, memory_order_relaxed))
        rc = weft_sleep(SETTLE_MS * WEFT_MILLISECOND);
    while (rc >= 0 && !is_over(hog->hogs)) {
        rc = burst(hog);
        /* relaxed: a count, read after the join. */
        atomic_fetch_add_explicit(&hog->hogs->bursts, 1, memory_order_relaxed);
        if (rc == 0)
            rc = weft_yield();
    }
    return rc;
}

/* A thread that lets each read(2) wait for as long as the other kinds of burst last. */
static void *feed(void *arg)
{
    struct hogs *hogs = arg;
    struct timespec pause = {0, BURST_MS * 1000000};
    int is_last;

    do {
        nanosleep(&pause, NULL);
        is_last = is_over(hogs);
        for (unsigned i = 0; i < hogs->count; i++) {
            if (write(hogs->hog[i].pipe[1], "", 1) != 1)
                return NULL;
        }
    } while (!is_last);
    return NULL;
}

static int start_hogs(struct hogs *hogs)
{
    int rc = 0;

    for (unsigned i = 0; i < hogs->count && rc == 0; i++) {
        struct hog *hog = &hogs->hog[i];

        hog->hogs = hogs;
        rc = pipe2(hog->pipe, O_CLOEXEC) == 0 ? weft_spawn(&hog->fiber, be_a_hog, hog) : -errno;
    }
    if (rc == 0 && hogs->kind == BENCH_HOG_READ)
        rc = -pthread_create(&hogs->feeder, NULL, feed, hogs);
    return rc;
}

static int stop_hogs(struct hogs *hogs)
{
    int failure = 0;

    /* relaxed: a flag that carries nothing. */
    atomic_store_explicit(&hogs->is_over, 1, memory_order_relaxed);
    for (unsigned i = 0; i < hogs->count; i++) {
        int result = 0;
        int rc = weft_join(hogs->hog[i].fiber, &result, WEFT_FOREVER);

        failure = rc < 0 ? rc : result < 0 ? result : failure;
    }
    if (hogs->kind == BENCH_HOG_READ)
        pthread_join(hogs->feeder, NULL);
    for (unsigned i = 0; i < hogs->count; i++) {
        close(hogs->hog[i].pipe[0]);
        close(hogs->hog[i].pipe[1]);
    }
    return failure;
}

/* A timer every millisecond.  Its schedule does not wait for it: after a stall each tick that was
 * missed counts, with what it was late. */
static int tick(void *arg)
{
    struct ticker *ticker = arg;
    weft_time due = weft_now();

    /* What was missed before the end counts too. */
    while ((!is_over(ticker->hogs) || weft_now() > due + WEFT_MILLISECOND) &&
           ticker->count < LATENESSES_MAX) {
        int rc;

        due += WEFT_MILLISECOND;
        rc = weft_sleep_until(due);
        if (rc < 0)
            return rc;
        ticker->late_us[ticker->count++] = (double)(weft_now() - due) / 1e3;
    }
    return 0;
}

static void report(struct bench *b, const struct echo_result *echo, struct ticker *ticker)
{
    bench_report(b, "p50_us", 0, echo->p50_us);
    bench_report(b, "p99_us", 0, echo->p99_us);
    bench_report(b, "p999_us", 0, echo->p999_us);
    bench_report(b, "max_us", 0, echo->max_us);
    if (ticker->hogs->kind != BENCH_HOG_COMPUTE || ticker->hogs->count == 0)
        bench_report(b, "cpu_us_per_request", 0, echo->cpu_us / (double)echo->requests);
    bench_report(b, "timer_p99_us", 0, bench_percentile(ticker->late_us, ticker->count, 0.99));
    bench_report(b, "timer_p999_us", 0, bench_percentile(ticker->late_us, ticker->count, 0.999));
    bench_report(b, "timer_max_us", 0, bench_percentile(ticker->late_us, ticker->count, 1));
}

static void measure(struct bench *b, struct hogs *hogs, struct ticker *ticker)
{
    struct echo_server server;
    struct echo_result echo;
    weft_fiber *timer;
    int rc = echo_start(&server, CONNECTIONS, BENCH_ECHO_BYTES, 0);

    hogs->server = &server;
    if (rc < 0) {
        bench_fail(b, "the server did not start: %s", strerror(-rc));
        return;
    }
    /* A benchmark that could not start its fibers has nothing to clean up for. */
    if (start_hogs(hogs) < 0 || weft_spawn(&timer, tick, ticker) < 0)
        abort();
    rc = echo_load(&server, RATE, b->is_quick ? WINDOW_MS_QUICK : WINDOW_MS, &echo);
    if (rc < 0)
        bench_fail(b, "the load generator failed: %s", strerror(-rc));
    if (stop_hogs(hogs) < 0 || weft_join(timer, &rc, WEFT_FOREVER) < 0 || rc < 0)
        bench_fail(b, "a hog or the timer failed");
    if (echo_stop(&server) < 0)
        bench_fail(b, "the server failed");
    report(b, &echo, ticker);
}

/*
 * hog/echo/hogs=0, hogs=1, hogs=2, kind=usleep/hogs=1, kind=read/hogs=1, ...
 *
 * Question  What do other fibers notice of one that keeps its worker for half a second at a time,
 *           computing, or blocked in usleep() or in read(2) of an empty pipe?  hogs=2 is as many as
 *           workers.
 * Method    A server of 64 connections echoes 3,200 messages a second, bounded by the load
 *           generator (load/echo_load.c), a process of its own.  In the same runtime a fiber wakes
 *           every millisecond, and so many hogs do one burst of 500 ms after another, with one
 *           yield between.  They begin when all connections are being served.
 * Includes  p50_us, p99_us, p999_us, max_us: from the time that a message was due to the arrival
 *           of its echo at the load generator; the kernel's TCP.  timer_*_us: how late the
 *           millisecond fiber ran.  cpu_us_per_request, its own work with it, where no hog
 *           computes.
 * Excludes  connecting; the first 300 ms of echoes.
 * Distrust  figures of a busy machine, above all those with as many computing hogs as CPUs: then
 *           the kernel shares the CPUs among threads, and the scheduling slices of 3-4 ms show.
 *           Differences below 0.1 ms, a tick of the timer and a wake of the load generator.
 */
void bench_hog_echo(struct bench *b)
{
    struct hogs hogs = {.kind = (unsigned)(b->spec->parameter >> 8),
                        .count = (unsigned)(b->spec->parameter & 0xff)};
    struct ticker ticker = {&hogs, 0, malloc(LATENESSES_MAX * sizeof(double))};

    if (!ticker.late_us || hogs.count > HOGS_MAX) {
        bench_fail(b, "out of memory, or too many hogs");
        return;
    }
    measure(b, &hogs, &ticker);
    /* relaxed: the joins order it. */
    if (atomic_load_explicit(&hogs.bursts, memory_order_relaxed) < hogs.count)
        bench_fail(b, "some hog never ran");
    if (ticker.count < 100)
        bench_fail(b, "the timer fired %zu times", ticker.count);
    free(ticker.late_us);
}
