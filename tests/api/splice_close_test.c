/* SPDX-License-Identifier: MIT */
/* splice.h: closes of either end of what moves data within the kernel. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { ROUNDS = 100, CROWD = 40 };

enum call { SPLICE, TEE, SENDFILE };

/* A call that waits: for something to come into `in`, or for room in `out`. */
struct wait {
    enum call call;
    bool is_for_room, is_socket;
    int in, out;
    int others[2]; /* the far ends; -1: none */
};

static const struct wait ways[] = {
    {.call = SPLICE},
    {.call = SPLICE, .is_socket = true},
    {.call = SPLICE, .is_for_room = true},
    {.call = SPLICE, .is_for_room = true, .is_socket = true},
    {.call = TEE},
    {.call = TEE, .is_for_room = true},
    {.call = SENDFILE, .is_for_room = true},
    {.call = SENDFILE, .is_for_room = true, .is_socket = true},
};

enum { WAYS = sizeof ways / sizeof *ways };

static void make_ends(struct wait *wait)
{
    int in[2], out[2];

    if (wait->call == SENDFILE) {
        in[0] = make_file("contents", 8);
        in[1] = -1;
    } else {
        make_pipe(in);
        if (wait->is_for_room)
            CHECK_EQ(write(in[1], "contents", 8), 8);
    }
    if (wait->is_socket)
        make_narrow_socket_pair(out);
    else
        make_pipe(out);
    if (wait->is_for_room)
        (void)fill(out[1]);
    wait->in = in[0];
    wait->out = out[1];
    wait->others[0] = in[1];
    wait->others[1] = out[0];
}

static int move(void *arg)
{
    const struct wait *wait = arg;

    switch (wait->call) {
    case SPLICE:
        return (int)weft_splice(wait->in, NULL, wait->out, NULL, 9, 0, WEFT_FOREVER);
    case TEE:
        return (int)weft_tee(wait->in, wait->out, 9, 0, WEFT_FOREVER);
    case SENDFILE:
        break;
    }
    return (int)weft_sendfile(wait->out, wait->in, NULL, 9, WEFT_FOREVER);
}

static void close_others(const struct wait *wait)
{
    for (int i = 0; i < 2; i++)
        if (wait->others[i] >= 0)
            CHECK_EQ(weft_close(wait->others[i]), 0);
}

/* `count` operations are under way in this runtime. */
static void await_operations(unsigned count)
{
    struct weft_stats stats;

    do {
        CHECK_EQ(weft_sleep(50 * WEFT_MICROSECOND), 0);
        CHECK_EQ(weft_stats_read(&stats), 0);
    } while (stats.ops_submitted - stats.ops_completed < count);
}

static void *close_outside(void *arg)
{
    CHECK_EQ(weft_close(*(int *)arg), 0);
    return NULL;
}

static int close_inside(void *arg)
{
    return weft_close(*(int *)arg);
}

static void *close_in_other_runtime(void *arg)
{
    struct weft_config config = {.workers = 1};

    CHECK_EQ(weft_run(&config, close_inside, arg), 0);
    return NULL;
}

/* The one end first, while the call waits, by this fiber or by a thread. */
static void close_one(struct wait wait, bool closes_in, void *(*closer)(void *))
{
    int first, second;
    weft_fiber *fiber;
    pthread_t thread;

    make_ends(&wait);
    first = closes_in ? wait.in : wait.out;
    second = closes_in ? wait.out : wait.in;
    fiber = must_spawn(move, &wait);
    await_operations(1);
    if (closer == NULL)
        CHECK_EQ(weft_close(first), 0);
    else
        CHECK_EQ(pthread_create(&thread, NULL, closer, &first), 0);
    CHECK_EQ(must_join(fiber), -EBADF);
    if (closer != NULL)
        CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_close(second), 0);
    close_others(&wait);
}

static int close_each_end(void *arg)
{
    void *(*closer)(void *) = arg != NULL ? *(void *(**)(void *))arg : NULL;

    for (int way = 0; way < WAYS; way++) {
        close_one(ways[way], true, closer);
        close_one(ways[way], false, closer);
    }
    return 0;
}

/* Nobody ever makes the other end ready: a close that waited for that would not return. */
WORKER_TEST(splice_close, either_end_ends_the_wait, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_each_end, NULL), 0);
}

WORKER_TEST(splice_close, a_plain_thread_closes_either_end, TEST_TIMEOUT_S)
{
    void *(*closer)(void *) = close_outside;

    cr_expect_eq(run_workers(*workers, close_each_end, &closer), 0);
}

WORKER_TEST(splice_close, another_runtime_closes_either_end, TEST_TIMEOUT_S)
{
    void *(*closer)(void *) = close_in_other_runtime;

    cr_expect_eq(run_workers(*workers, close_each_end, &closer), 0);
}

static int close_shared_end(void *arg)
{
    static struct wait waits[CROWD];
    weft_fiber *fibers[CROWD];
    int out[2];

    (void)arg;
    make_pipe(out);
    for (int i = 0; i < CROWD; i++) {
        waits[i] = (struct wait){.call = SPLICE};
        make_ends(&waits[i]);
        CHECK_EQ(weft_close(waits[i].out), 0);
        waits[i].out = out[1];
        fibers[i] = must_spawn(move, &waits[i]);
    }
    await_operations(CROWD);
    CHECK_EQ(weft_close(out[1]), 0);
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(must_join(fibers[i]), -EBADF);
        CHECK_EQ(weft_close(waits[i].in), 0);
        close_others(&waits[i]);
    }
    return weft_close(out[0]);
}

/* More of them than a submission queue has room for in one go. */
WORKER_TEST(splice_close, an_end_of_many_lets_all_go, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .ring_entries = 16};

    cr_expect_eq(run_config(&config, close_shared_end, NULL), 0);
}

static int write_one(void *arg)
{
    return (int)weft_write(*(int *)arg, "x", 1, WEFT_FOREVER);
}

static int race_with_closes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct wait wait = {.call = SPLICE};
        weft_fiber *mover, *writer, *closers[2];
        int moved;

        make_ends(&wait);
        mover = must_spawn(move, &wait);
        await_operations(1);
        writer = must_spawn(write_one, &wait.others[0]);
        closers[0] = must_spawn(close_inside, i % 2 == 0 ? &wait.in : &wait.out);
        closers[1] = must_spawn(close_inside, i % 2 == 0 ? &wait.out : &wait.in);
        moved = must_join(mover);
        CHECK(moved == 1 || moved == -EBADF);
        /* Without a reader it may fail. */
        (void)must_join(writer);
        CHECK_EQ(must_join(closers[0]), 0);
        CHECK_EQ(must_join(closers[1]), 0);
        CHECK_EQ(drain(wait.others[1]), moved == 1 ? 1 : 0);
        close_others(&wait);
    }
    return 0;
}

/* What was moved is reported, whichever end is closed first. */
WORKER_TEST(splice_close, both_ends_close_while_data_comes, TEST_TIMEOUT_S)
{
    (void)signal(SIGPIPE, SIG_IGN);
    cr_expect_eq(run_workers(*workers, race_with_closes, NULL), 0);
}
