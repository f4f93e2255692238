/* SPDX-License-Identifier: MIT */
/* wf_worker_serve(): what waits at one worker goes on at another while the first one computes. */
#define _GNU_SOURCE 1

#include "fixture.h"
#include "io/backend.h"
#include "net.h"
#include "random.h"
#include "runtime/model.h"
#include "runtime/own.h"
#include "runtime/poller.h"
#include "runtime/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/io.h>

enum {
    CANDIDATES = 8, /* fibers that look for a worker each */
    OPERATIONS = 200,
    PAIRS = 16,
    INTERRUPTS = 30,
    STEPS = TEST_IS_SANITIZED ? 300 : 2000,
    MAY_BE_EARLY = 1, /* from `waits`: the call may have ended before the worker computed */
};

/*
 * A pair of workers.  `waits` runs in many fibers of the first one.  As soon as all of them wait,
 * that worker computes, without another scheduling point, until all of them have gone on.  They can
 * do so nowhere but at the second worker, where `acts` runs once, and then wf_worker_serve().
 */
struct pair {
    int count;
    int (*waits)(struct pair *pair, int number);
    void (*acts)(struct pair *pair);
    void (*owns)(struct pair *pair); /* if set: the first worker does that, the second `acts` */
    int fds[OPERATIONS][2];
    weft_fiber *fibers[OPERATIONS];
    struct sockaddr_in address;
    _Atomic(struct wf_worker *) served; /* the worker that computes, once it is known */
    _Atomic(struct wf_worker *) server;
    _Atomic(int) next_number, begun, gone_on;
    _Atomic(bool) computes;
    _Atomic(int) turn;
};

static int wait_once(void *arg)
{
    struct pair *pair = arg;
    int number = atomic_fetch_add(&pair->next_number, 1);
    int result;

    atomic_fetch_add(&pair->begun, 1);
    result = pair->waits(pair, number);
    if (result != MAY_BE_EARLY) {
        CHECK(atomic_load(&pair->computes));
        CHECK(wf_self() == atomic_load(&pair->server));
    }
    atomic_fetch_add(&pair->gone_on, 1);
    return 0;
}

static void compute(struct pair *pair)
{
    int number;

    for (number = 0; number < pair->count; number++)
        pair->fibers[number] = must_spawn(wait_once, pair);
    /* While the other worker does nothing, all that is not in our queues waits. */
    while (atomic_load(&pair->begun) < pair->count || wf_own_backlog(wf_self()) > 0)
        CHECK_EQ(weft_yield(), 0);
    atomic_store(&pair->computes, true);
    while (atomic_load(&pair->gone_on) < pair->count)
        continue;
    atomic_store(&pair->computes, false);
    for (number = 0; number < pair->count; number++)
        CHECK_EQ(must_join(pair->fibers[number]), 0);
}

static void serve(struct pair *pair)
{
    while (!atomic_load(&pair->computes))
        continue;
    pair->acts(pair);
    while (atomic_load(&pair->gone_on) < pair->count) {
        (void)wf_worker_serve(wf_self(), atomic_load(&pair->served));
        CHECK_EQ(weft_yield(), 0);
    }
}

/* The first fiber to find itself on another worker than the first one stays there and serves; the
 * first to see that, on another worker, computes. */
static int take_role(void *arg)
{
    struct pair *pair = arg;
    struct wf_worker *none = NULL;

    while (atomic_load(&pair->served) == NULL) {
        struct wf_worker *self = wf_self();
        struct wf_worker *server = atomic_load(&pair->server);

        if (server == NULL && self->index != 0 &&
            atomic_compare_exchange_strong(&pair->server, &server, self)) {
            while (atomic_load(&pair->served) == NULL)
                continue;
            (pair->owns != NULL ? pair->acts : serve)(pair);
            return 0;
        }
        if (server != NULL && server != self &&
            atomic_compare_exchange_strong(&pair->served, &none, self)) {
            (pair->owns != NULL ? pair->owns : compute)(pair);
            return 0;
        }
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int run_roles(void *arg)
{
    struct pair *pair = arg;
    weft_fiber *fibers[CANDIDATES];

    for (int i = 0; i < CANDIDATES; i++)
        fibers[i] = must_spawn(take_role, pair);
    for (int i = 0; i < CANDIDATES; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Short windows: that fibers spread over both workers is where a test begins.  No monitor does for
 * the second worker what the test is about, and no chaos forbids it to. */
static void run_pair(struct pair *pair)
{
    struct weft_config config = {.workers = 2, .wake_backlog_us = 20, .monitor = 3};

    (void)unsetenv("WEFT_CHAOS");
    cr_assert_eq(run_config(&config, run_roles, pair), 0);
    if (pair->owns == NULL)
        cr_expect_eq(atomic_load(&pair->gone_on), pair->count);
}

static void make_pipes(struct pair *pair)
{
    for (int i = 0; i < pair->count; i++)
        make_pipe(pair->fds[i]);
}

static void close_pipes(const struct pair *pair)
{
    for (int i = 0; i < pair->count; i++) {
        close(pair->fds[i][0]);
        close(pair->fds[i][1]);
    }
}

static int read_one(struct pair *pair, int number)
{
    char byte = 0;

    CHECK_EQ(weft_read(pair->fds[number][0], &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    return 0;
}

static void write_all(struct pair *pair)
{
    for (int i = 0; i < pair->count; i++)
        CHECK_EQ(write(pair->fds[i][1], "x", 1), 1);
}

/* Completions behind a worker that computes: its ring is reaped, and what it has prepared but not
 * submitted yet is submitted, by another. */
Test(serve, completions_of_a_busy_worker_arrive_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {.count = OPERATIONS, .waits = read_one, .acts = write_all};

    make_pipes(&pair);
    run_pair(&pair);
    close_pipes(&pair);
}

static int read_until_cancelled(struct pair *pair, int number)
{
    char byte = 'a';

    CHECK_EQ(weft_read(pair->fds[number][0], &byte, 1, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(byte, 'a');
    return 0;
}

static void cancel_all(struct pair *pair)
{
    for (int i = 0; i < pair->count; i++)
        weft_cancel(pair->fibers[i]);
}

/* A cancel must not wait for the worker that the operation began on. */
Test(serve, operations_of_a_busy_worker_are_cancelled_from_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {
        .count = OPERATIONS, .waits = read_until_cancelled, .acts = cancel_all};

    make_pipes(&pair);
    run_pair(&pair);
    close_pipes(&pair);
}

static void do_nothing(struct pair *pair)
{
    (void)pair;
}

/* A deadline that passes before the worker computes proves nothing: another one is taken. */
static int read_until_late(struct pair *pair, int number)
{
    weft_time deadline;
    char byte;

    do {
        deadline = weft_after((1 + number) * WEFT_MILLISECOND / 4);
        CHECK_EQ(weft_read(pair->fds[number][0], &byte, 1, deadline), -ETIMEDOUT);
        CHECK(weft_now() >= deadline);
    } while (!atomic_load(&pair->computes));
    return 0;
}

/* Timers of a busy worker, where the kernel has to be asked to stop first. */
Test(serve, deadlines_at_a_busy_worker_pass_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {.count = OPERATIONS, .waits = read_until_late, .acts = do_nothing};

    make_pipes(&pair);
    run_pair(&pair);
    close_pipes(&pair);
}

static int sleep_until_late(struct pair *pair, int number)
{
    weft_time deadline;

    do {
        deadline = weft_after((1 + number) * WEFT_MILLISECOND / 4);
        CHECK_EQ(weft_sleep_until(deadline), 0);
        CHECK(weft_now() >= deadline);
    } while (!atomic_load(&pair->computes));
    return 0;
}

Test(serve, sleepers_at_a_busy_worker_wake_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {.count = OPERATIONS, .waits = sleep_until_late, .acts = do_nothing};

    run_pair(&pair);
}

enum { ACCEPTS, CONNECTS, POLLS, CLOSES, KINDS };

static int do_one_of_a_kind(struct pair *pair, int number)
{
    int *fds = pair->fds[number];
    int fd;

    switch (number % KINDS) {
    case ACCEPTS:
        fd = weft_accept(fds[0], WEFT_FOREVER);
        CHECK(fd >= 0);
        CHECK_EQ(close(fd), 0);
        return 0;
    case POLLS:
        CHECK_EQ(weft_poll_fd(fds[0], POLLIN, WEFT_FOREVER), POLLIN);
        return 0;
    case CONNECTS:
        CHECK_EQ(weft_connect(fds[0], (struct sockaddr *)&pair->address, sizeof pair->address,
                              WEFT_FOREVER),
                 0);
        return MAY_BE_EARLY;
    default:
        CHECK_EQ(weft_close(dup(fds[0])), 0);
        return MAY_BE_EARLY;
    }
}

/* A connection for each accept, a byte for each poll. */
static void connect_and_write(struct pair *pair)
{
    for (int i = 0; i < pair->count; i++) {
        struct sockaddr_in address;

        if (i % KINDS == ACCEPTS) {
            address = local_address(pair->fds[i][0]);
            CHECK_EQ(connect(pair->fds[i][1], (struct sockaddr *)&address, sizeof address), 0);
        } else if (i % KINDS == POLLS) {
            CHECK_EQ(write(pair->fds[i][1], "x", 1), 1);
        }
    }
}

/* What ends by itself ends at the latest there: it may not even have been submitted yet. */
Test(serve, accepts_polls_connects_and_closes_go_on_elsewhere, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {.count = 40, .waits = do_one_of_a_kind, .acts = connect_and_write};
    int listener = make_bound_socket();

    cr_assert_eq(listen(listener, pair.count), 0);
    pair.address = local_address(listener);
    for (int i = 0; i < pair.count; i++) {
        if (i % KINDS == ACCEPTS) {
            pair.fds[i][0] = make_bound_socket();
            cr_assert_eq(listen(pair.fds[i][0], 1), 0);
            pair.fds[i][1] = make_tcp_socket();
        } else if (i % KINDS == CONNECTS) {
            pair.fds[i][0] = make_tcp_socket();
        } else {
            make_pipe(pair.fds[i]);
        }
    }
    run_pair(&pair);
    for (int i = 0; i < pair.count; i++) {
        close(pair.fds[i][0]);
        if (i % KINDS != CONNECTS)
            close(pair.fds[i][1]);
    }
    close(listener);
}

enum { OWNER, SERVER };

static void wait_after_interrupts(struct pair *pair)
{
    for (int i = 0; i < INTERRUPTS; i++) {
        struct wf_worker *self = wf_self();
        char byte;
        struct wf_op op = {
            .code = WF_OP_READ, .fd = pair->fds[0][0], .buffer = &byte, .length = 1, .offset = -1};

        atomic_store(&pair->turn, SERVER);
        while (atomic_load(&pair->turn) == SERVER)
            continue;
        op.waiter = wf_wait_begin(self, NULL, &op);
        wf_backend_start(self, &op);
        (void)wf_poller_poll(self->poller, self, INT64_MAX);
        CHECK_EQ(write(pair->fds[0][1], "x", 1), 1);
        wf_pending_finish(wf_wait_end(self, WEFT_FOREVER), &op);
        CHECK(wf_self() == atomic_load(&pair->served));
        if (op.result == WF_OP_TRY_AGAIN) /* the backend only said that there is something */
            CHECK_EQ(read(pair->fds[0][0], &byte, 1), 1);
        else
            CHECK_EQ(op.result, 1);
    }
    atomic_store(&pair->turn, SERVER);
}

/* For longer than a timer tick, at which the owner enters the kernel. */
static void interrupt_and_reap(struct pair *pair)
{
    struct wf_poller *poller = atomic_load(&pair->served)->poller;

    for (int i = 0; i < INTERRUPTS; i++) {
        while (atomic_load(&pair->turn) == OWNER)
            continue;
        wf_poller_interrupt(poller);
        for (weft_time end = weft_after(10 * WEFT_MILLISECOND); weft_now() < end;)
            (void)wf_poller_poll(poller, wf_self(), 0);
        atomic_store(&pair->turn, OWNER);
    }
    while (atomic_load(&pair->turn) == OWNER)
        continue; /* an idle worker would steal the owner's fiber, in its last wait */
}

/* An interrupt ends the next wait also when another worker has reaped it, and also when there is
 * something to submit first.  Else a wake is lost, and with it perhaps the last one. */
Test(serve, an_interrupt_reaped_elsewhere_still_ends_the_wait, .timeout = TEST_TIMEOUT_S)
{
    static struct pair pair = {
        .count = 1, .owns = wait_after_interrupts, .acts = interrupt_and_reap};

    make_pipes(&pair);
    run_pair(&pair);
    close_pipes(&pair);
}

/* Races: fibers do I/O, time out and are cancelled, while every worker serves every other. */
struct races {
    uint64_t seed;
    _Atomic(int) next_stream, active;
};

static int read_a_byte(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static void cancel_a_read(struct random *random, int fds[2])
{
    weft_fiber *fiber = must_spawn(read_a_byte, &fds[0]);
    bool has_written = random_below(random, 2) != 0;
    int result;
    char byte;

    for (unsigned i = random_below(random, 3); i > 0; i--)
        CHECK_EQ(weft_yield(), 0);
    if (has_written)
        CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), 1);
    weft_cancel(fiber);
    result = must_join(fiber);
    CHECK(result == -ECANCELED || (has_written && result == 1));
    if (has_written && result < 0)
        CHECK_EQ(weft_read(fds[0], &byte, 1, WEFT_FOREVER), 1);
}

static int do_operations(void *arg)
{
    struct races *races = arg;
    struct random random = random_stream(races->seed,
                                         (uint64_t)atomic_fetch_add(&races->next_stream, 1));
    char bytes[2];
    int fds[2];

    make_socket_pair(fds);
    for (int i = 0; i < STEPS; i++) {
        weft_time soon = weft_after(random_below(&random, 200) * WEFT_MICROSECOND);

        switch (random_below(&random, 4)) {
        case 0:
            CHECK_EQ(weft_read(fds[0], bytes, 1, soon), -ETIMEDOUT);
            break;
        case 1:
            CHECK_EQ(weft_write(fds[1], "ab", 2, WEFT_FOREVER), 2);
            CHECK_EQ(weft_read(fds[0], bytes, 2, WEFT_FOREVER), 2);
            break;
        case 2:
            CHECK_EQ(weft_sleep_until(soon), 0);
            break;
        default:
            cancel_a_read(&random, fds);
            break;
        }
    }
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    atomic_fetch_sub(&races->active, 1);
    return 0;
}

static int serve_anyone(void *arg)
{
    struct races *races = arg;
    struct random random = random_stream(races->seed,
                                         (uint64_t)atomic_fetch_add(&races->next_stream, 1));

    while (atomic_load(&races->active) > 0) {
        struct wf_worker *self = wf_self();

        (void)wf_worker_serve(
            self, self->runtime->workers[random_below(&random, self->runtime->worker_count)]);
        CHECK_EQ(random_below(&random, 4) ? weft_yield() : weft_sleep(20 * WEFT_MICROSECOND), 0);
    }
    return 0;
}

static int run_races(void *arg)
{
    struct races *races = arg;
    weft_fiber *fibers[2 * PAIRS];

    atomic_store(&races->active, PAIRS);
    for (int i = 0; i < 2 * PAIRS; i++)
        fibers[i] = must_spawn(i % 2 ? serve_anyone : do_operations, races);
    for (int i = 0; i < 2 * PAIRS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

static void race(unsigned workers, uint32_t chaos)
{
    struct weft_config config = {.workers = workers, .wake_backlog_us = 20, .chaos = chaos};
    struct races races = {.seed = random_seed("serve_races")};

    cr_assert_eq(run_config(&config, run_races, &races), 0);
}

/* Whoever reaps, submits and expires, and however many at once: each wait ends once. */
WORKER_TEST(serve, owners_and_servers_race, TEST_TIMEOUT_S)
{
    race(*workers, 0);
}

/* The same with a fiber on another worker at each resume. */
WORKER_TEST(serve, owners_and_servers_race_under_chaos, TEST_TIMEOUT_S)
{
    race(*workers, 1);
}
