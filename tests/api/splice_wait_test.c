/* SPDX-License-Identifier: MIT */
/* splice.h: waits, deadlines and cancels of what moves data within the kernel. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { RACES = 150 };

static void close_pair(const int fds[2])
{
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

/* Ways to wait: for something to come, and for room. */
struct waits {
    int empty[2], full[2];
    int sockets[2]; /* one takes nothing more */
    int file;
};

static void make_waits(struct waits *waits)
{
    make_pipe(waits->empty);
    make_pipe(waits->full);
    (void)fill(waits->full[1]);
    make_narrow_socket_pair(waits->sockets);
    (void)fill(waits->sockets[0]);
    waits->file = make_file("contents", 8);
}

static void close_waits(const struct waits *waits)
{
    close_pair(waits->empty);
    close_pair(waits->full);
    close_pair(waits->sockets);
    CHECK_EQ(weft_close(waits->file), 0);
}

enum { WAYS = 7 };

static ssize_t wait_one_way(const struct waits *waits, int way, weft_time deadline)
{
    off_t offset = 0;

    switch (way) {
    case 0:
        return weft_splice(waits->empty[0], NULL, waits->sockets[1], NULL, 9, 0, deadline);
    case 1:
        return weft_splice(waits->sockets[0], NULL, waits->empty[1], NULL, 9, 0, deadline);
    case 2:
        return weft_splice(waits->full[0], NULL, waits->sockets[0], NULL, 9, 0, deadline);
    case 3:
        return weft_splice(waits->file, &offset, waits->full[1], NULL, 9, 0, deadline);
    case 4:
        return weft_tee(waits->empty[0], waits->full[1], 9, 0, deadline);
    case 5:
        return weft_sendfile(waits->sockets[0], waits->file, &offset, 9, deadline);
    default:
        return weft_sendfile(waits->full[1], waits->file, &offset, 9, deadline);
    }
}

static int pass_deadlines(void *arg)
{
    struct waits waits;

    (void)arg;
    make_waits(&waits);
    for (int way = 0; way < WAYS; way++) {
        weft_time deadline = weft_after(2 * WEFT_MILLISECOND);

        CHECK_EQ(wait_one_way(&waits, way, deadline), -ETIMEDOUT);
        CHECK(weft_now() >= deadline);
        CHECK_EQ(wait_one_way(&waits, way, 0), -ETIMEDOUT);
    }
    close_waits(&waits);
    return 0;
}

/* A transfer that cannot be made ends at its deadline, whichever side it waits for. */
WORKER_TEST(splice_wait, deadlines_end_waits_at_either_side, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, pass_deadlines, NULL), 0);
}

static int attempt_after_deadlines(void *arg)
{
    int pipe[2], sockets[2];

    (void)arg;
    make_pipe(pipe);
    make_socket_pair(sockets);
    CHECK_EQ(write(sockets[0], "ready", 5), 5);
    CHECK_EQ(weft_splice(sockets[1], NULL, pipe[1], NULL, 9, 0, 0), 5);
    CHECK_EQ(weft_splice(pipe[0], NULL, sockets[1], NULL, 9, 0, weft_after(-WEFT_SECOND)), 5);
    CHECK_EQ(drain(sockets[0]), 5);
    CHECK_EQ(weft_splice(pipe[0], NULL, sockets[1], NULL, 9, SPLICE_F_NONBLOCK, WEFT_FOREVER),
             -EAGAIN);
    CHECK_EQ(weft_splice(sockets[0], NULL, pipe[1], NULL, 9, SPLICE_F_NONBLOCK, WEFT_FOREVER),
             -EAGAIN);
    close_pair(pipe);
    close_pair(sockets);
    return 0;
}

/* What needs no wait is done also after the deadline, and a call that must not wait does not. */
WORKER_TEST(splice_wait, an_attempt_moves_what_is_ready, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, attempt_after_deadlines, NULL), 0);
}

struct way {
    struct waits waits;
    int number;
};

static int wait_until_cancelled(void *arg)
{
    const struct way *way = arg;

    CHECK_EQ(wait_one_way(&way->waits, way->number, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(wait_one_way(&way->waits, way->number, 0), -ECANCELED);
    return 0;
}

static int cancel_waits(void *arg)
{
    struct way way;

    (void)arg;
    make_waits(&way.waits);
    for (int i = 0; i < 2 * WAYS; i++) {
        weft_fiber *fiber;

        way.number = i / 2;
        fiber = must_spawn(wait_until_cancelled, &way);
        if (i % 2 == 0) /* so that it waits, or is on its way */
            CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), 0);
    }
    close_waits(&way.waits);
    return 0;
}

/* A cancel ends it before the wait and in it, also where the pool is needed. */
WORKER_TEST(splice_wait, cancels_end_waits_at_either_side, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_waits, NULL), 0);
}

struct race {
    int in[2], out[2];
    size_t moved;
};

static int move_until_cancelled(void *arg)
{
    struct race *race = arg;
    ssize_t n;

    while ((n = weft_splice(race->in[1], NULL, race->out[1], NULL, 100, 0, WEFT_FOREVER)) > 0)
        race->moved += (size_t)n;
    CHECK_EQ(n, -ECANCELED);
    return 0;
}

static int race_with_cancels(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 1);
    struct race race = {.moved = 0};
    size_t sent = 0, came = 0;

    make_socket_pair(race.in);
    make_pipe(race.out);
    for (int i = 0; i < RACES; i++) {
        weft_fiber *fiber = must_spawn(move_until_cancelled, &race);

        for (unsigned n = random_below(&random, 4); n > 0; n--, sent++)
            CHECK_EQ(weft_write(race.in[0], "x", 1, WEFT_FOREVER), 1);
        if (random_below(&random, 2) == 0)
            (void)weft_yield();
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), 0);
        came += drain(race.out[0]);
        CHECK_EQ(race.moved, came);
    }
    CHECK_EQ(race.moved + drain(race.in[1]), sent);
    close_pair(race.in);
    close_pair(race.out);
    return 0;
}

/* Bytes that were moved are reported, whenever the cancel comes. */
WORKER_TEST(splice_wait, what_was_moved_before_a_cancel_is_reported, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("splice_wait/what_was_moved_before_a_cancel_is_reported");

    cr_expect_eq(run_workers(*workers, race_with_cancels, &seed), 0);
}

static int move_what_cannot_be(void *arg)
{
    struct waits waits;
    const weft_time deadlines[] = {0, WEFT_FOREVER};

    (void)arg;
    make_waits(&waits);
    for (int i = 0; i < 2; i++) {
        weft_time end = deadlines[i];
        int file = waits.file, *sockets = waits.sockets, pipe = waits.empty[0];

        CHECK_EQ(weft_splice(sockets[0], NULL, file, NULL, 9, 0, end), -EINVAL);
        CHECK_EQ(weft_splice(file, NULL, sockets[0], NULL, 9, 0, end), -EINVAL);
        CHECK_EQ(weft_splice(sockets[0], NULL, sockets[0], NULL, 9, 0, end), -EINVAL);
        CHECK_EQ(weft_tee(pipe, file, 9, 0, end), -EINVAL);
        CHECK_EQ(weft_tee(pipe, sockets[0], 9, 0, end), -EINVAL);
        CHECK_EQ(weft_tee(file, waits.full[1], 9, 0, end), -EINVAL);
        CHECK_EQ(weft_sendfile(file, sockets[0], NULL, 9, end), -EINVAL);
        CHECK_EQ(weft_sendfile(sockets[0], sockets[0], NULL, 9, end), -EINVAL);
        CHECK_EQ(weft_sendfile(file, pipe, NULL, 9, end), -EINVAL);
        CHECK_EQ(weft_splice(file, NULL, NOT_OPEN, NULL, 9, 0, end), -EBADF);
        CHECK_EQ(weft_tee(pipe, NOT_OPEN, 9, 0, end), -EBADF);
    }
    close_waits(&waits);
    return 0;
}

/* What is wrong is said at once: nothing that comes would make it right. */
WORKER_TEST(splice_wait, mistakes_are_not_waited_for, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, move_what_cannot_be, NULL), 0);
}

static int write_late(void *arg)
{
    int *fds = arg;

    CHECK_EQ(weft_write(fds[1], "late", 4, WEFT_FOREVER), 4);
    return 0;
}

static int wait_for_data(void *arg)
{
    int in[2], out[2];
    weft_fiber *writer;

    (void)arg;
    make_pipe(in);
    make_pipe(out);
    writer = must_spawn(write_late, in);
    CHECK_EQ(weft_splice(in[0], NULL, out[1], NULL, 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(must_join(writer), 0);
    writer = must_spawn(write_late, in);
    CHECK_EQ(weft_tee(in[0], out[1], 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(must_join(writer), 0);
    CHECK_EQ(drain(out[0]), 8);
    close_pair(in);
    close_pair(out);
    return 0;
}

/* It goes on when what it waits for comes. */
WORKER_TEST(splice_wait, waits_for_what_comes_late, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, wait_for_data, NULL), 0);
}

/* A socket that says that it is ready, for an error in its queue, and has nothing to read. */
static int make_liar(void)
{
    int on = 1, port = make_bound_socket(), fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in nobody = local_address(port);
    char byte;

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    CHECK_EQ(sendto(fd, "x", 1, 0, (struct sockaddr *)&nobody, sizeof nobody), 1);
    CHECK_EQ(weft_recv(fd, &byte, 1, 0, WEFT_FOREVER), -ECONNREFUSED);
    CHECK_EQ(close(port), 0);
    return fd;
}

struct lie {
    int in, out;
};

static int splice_a_lie(void *arg)
{
    const struct lie *lie = arg;

    return (int)weft_splice(lie->in, NULL, lie->out, NULL, 9, 0, WEFT_FOREVER);
}

static weft_fiber *begin_in_vain(struct lie *lie)
{
    weft_fiber *fiber = must_spawn(splice_a_lie, lie);

    CHECK_EQ(weft_sleep(10 * WEFT_MILLISECOND), 0);
    return fiber;
}

static void close_in_vain(bool closes_in)
{
    int pipe[2];
    struct lie lie = {.in = make_liar()};
    weft_fiber *fiber;

    make_pipe(pipe);
    lie.out = pipe[1];
    fiber = begin_in_vain(&lie);
    CHECK_EQ(weft_close(closes_in ? lie.in : lie.out), 0);
    CHECK_EQ(must_join(fiber), -EBADF);
    CHECK_EQ(weft_close(closes_in ? lie.out : lie.in), 0);
    CHECK_EQ(weft_close(pipe[0]), 0);
}

static int move_in_vain(void *arg)
{
    int pipe[2];
    struct lie lie = {.in = make_liar()};
    struct sockaddr_in address = local_address(lie.in);
    weft_fiber *fiber;

    (void)arg;
    make_pipe(pipe);
    lie.out = pipe[1];
    CHECK_EQ(weft_splice(lie.in, NULL, lie.out, NULL, 9, 0, 0), -ETIMEDOUT);
    CHECK_EQ(weft_splice(lie.in, NULL, lie.out, NULL, 9, 0, weft_after(5 * WEFT_MILLISECOND)),
             -ETIMEDOUT);
    fiber = begin_in_vain(&lie);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    fiber = begin_in_vain(&lie);
    CHECK_EQ(sendto(lie.in, "truth", 5, 0, (struct sockaddr *)&address, sizeof address), 5);
    CHECK_EQ(must_join(fiber), 5);
    CHECK_EQ(weft_close(lie.in), 0);
    close_pair(pipe);
    close_in_vain(true);
    close_in_vain(false);
    return 0;
}

/* Attempts without a pause, and without a wait that could end, would hold the worker for ever. */
WORKER_TEST(splice_wait, readiness_that_does_not_hold_is_looked_for_now_and_then, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, move_in_vain, NULL), 0);
}
