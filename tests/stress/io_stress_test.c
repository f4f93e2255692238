/* SPDX-License-Identifier: MIT */
/* Random reads, writes, timeouts and cancels: no byte lost, none invented, no buffer touched late.
 */
#define _GNU_SOURCE 1

#include "../support/net.h"
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS = 16, CHUNK = 3000, RACES = TEST_IS_SANITIZED ? 2000 : 10000 };

struct stream {
    uint64_t seed;
    weft_time end;
    int fds[2];
    uint64_t sent;
    uint64_t received;
};

static unsigned char byte_at(uint64_t position)
{
    return (unsigned char)(position * 2654435761u >> 11);
}

static weft_time random_deadline(struct random *random)
{
    return random_below(random, 3) ? weft_after(random_below(random, 200) * WEFT_MICROSECOND)
                                   : weft_after(WEFT_SECOND);
}

static int write_pattern(void *arg)
{
    struct stream *stream = arg;
    struct random random = random_stream(stream->seed, 1);
    unsigned char bytes[CHUNK];

    while (weft_now() < stream->end) {
        size_t length = 1 + random_below(&random, CHUNK);
        ssize_t n;
        for (size_t i = 0; i < length; i++)
            bytes[i] = byte_at(stream->sent + i);
        n = random_below(&random, 2)
                ? weft_write(stream->fds[1], bytes, length, random_deadline(&random))
                : weft_send(stream->fds[1], bytes, length, 0, random_deadline(&random));
        CHECK(n > 0 || n == -ETIMEDOUT);
        memset(bytes, 0, length); /* the kernel must not look at it any more */
        if (n > 0)
            stream->sent += (uint64_t)n;
    }
    return weft_close(stream->fds[1]);
}

static int read_pattern(void *arg)
{
    struct stream *stream = arg;
    struct random random = random_stream(stream->seed, 2);
    unsigned char bytes[CHUNK];
    ssize_t n;

    for (;;) {
        size_t length = 1 + random_below(&random, CHUNK);
        n = random_below(&random, 2)
                ? weft_read(stream->fds[0], bytes, length, random_deadline(&random))
                : weft_recv(stream->fds[0], bytes, length, 0, random_deadline(&random));
        if (n == 0)
            break;
        CHECK(n > 0 || n == -ETIMEDOUT);
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(bytes[i], byte_at(stream->received++));
        if (random_below(&random, 16) == 0)
            CHECK_EQ(weft_sleep(random_below(&random, 300) * WEFT_MICROSECOND), 0);
    }
    return weft_close(stream->fds[0]);
}

static int run_streams(void *arg)
{
    struct stream *streams = arg;
    weft_fiber *fibers[2 * PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        if (i % 3 == 0)
            make_narrow_socket_pair(streams[i].fds);
        else if (i % 3 == 1)
            make_socket_pair(streams[i].fds);
        else
            make_tcp_pair(streams[i].fds);
        if (i % 2)
            set_nonblocking(streams[i].fds[0]);
        fibers[2 * i] = must_spawn(write_pattern, &streams[i]);
        fibers[2 * i + 1] = must_spawn(read_pattern, &streams[i]);
    }
    for (int i = 0; i < 2 * PAIRS; i++)
        CHECK_EQ(must_join(fibers[i]), 0);
    return 0;
}

/* Each stream arrives whole and in order although most calls are cut off by a deadline. */
WORKER_TEST(io_stress, streams_keep_every_byte, STRESS_TIMEOUT_S)
{
    struct stream streams[PAIRS];
    uint64_t seed = random_seed("io_stress");
    weft_time end = stress_end();
    uint64_t total = 0;

    for (unsigned i = 0; i < PAIRS; i++)
        streams[i] = (struct stream){.seed = seed + i, .end = end};
    cr_expect_eq(run_workers(*workers, run_streams, streams), 0);
    for (int i = 0; i < PAIRS; i++) {
        cr_expect_eq(streams[i].received, streams[i].sent, "pair %d", i);
        total += streams[i].sent;
    }
    cr_expect_gt(total, 0);
}

enum race_kind { RACE_READ, RACE_RECV, RACE_POLL, RACE_WRITE, RACE_SEND, RACE_KINDS };

struct race {
    enum race_kind kind;
    int fd;
    long long result;
    char buffer[16];
};

static int operate(void *arg)
{
    struct race *race = arg;
    char *buffer = race->buffer;

    switch (race->kind) {
    case RACE_READ:
        race->result = weft_read(race->fd, buffer, 4, WEFT_FOREVER);
        break;
    case RACE_RECV:
        race->result = weft_recv(race->fd, buffer, 4, 0, WEFT_FOREVER);
        break;
    case RACE_POLL:
        race->result = weft_poll_fd(race->fd, POLLIN, WEFT_FOREVER);
        break;
    case RACE_WRITE:
        race->result = weft_write(race->fd, "data", 4, WEFT_FOREVER);
        break;
    default:
        race->result = weft_send(race->fd, "data", 4, 0, WEFT_FOREVER);
        break;
    }
    memset(buffer, 'z', sizeof race->buffer); /* from here on the buffer is ours again */
    return 0;
}

/* `seen`: how many bytes of the fiber's have been drained already. */
static void check_bytes(const struct race *race, const int fds[2], size_t seen)
{
    size_t left = drain(fds[0]);

    CHECK(race->result > 0 || race->result == -ECANCELED);
    if (race->kind == RACE_READ || race->kind == RACE_RECV)
        CHECK_EQ((race->result > 0 ? race->result : 0) + (long long)left, 4);
    else if (race->kind == RACE_POLL)
        CHECK_EQ(left, 4);
    else
        CHECK_EQ(left + seen, race->result > 0 ? race->result : 0);
    for (size_t i = 0; i < sizeof race->buffer; i++)
        CHECK_EQ(race->buffer[i], 'z');
}

static void race_once(struct race *race, const int fds[2], struct random *random)
{
    int writes = race->kind == RACE_WRITE || race->kind == RACE_SEND;
    size_t filled = 0;
    size_t drained = 0;
    weft_fiber *fiber;

    race->fd = fds[writes];
    race->result = 0;
    if (writes)
        filled = fill(fds[1]);
    fiber = must_spawn(operate, race);
    for (unsigned i = random_below(random, 4); i > 0; i--)
        CHECK_EQ(weft_yield(), 0);
    if (writes)
        drained = drain(fds[0]);
    else
        CHECK_EQ(write(fds[1], "data", 4), 4);
    for (unsigned i = random_below(random, 3); i > 0; i--)
        CHECK_EQ(weft_yield(), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), 0);
    /* What was drained beyond the filling is what the fiber wrote. */
    check_bytes(race, fds, drained - filled);
}

static int race_cancel_with_completion(void *arg)
{
    struct random random = random_stream(*(uint64_t *)arg, 0);
    int fds[2];

    make_narrow_socket_pair(fds);
    for (int kind = 0; kind < RACE_KINDS; kind++) {
        struct race race = {.kind = (enum race_kind)kind};
        for (int i = 0; i < RACES; i++)
            race_once(&race, fds, &random);
    }
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* Completion and cancel at the same moment: the bytes are reported or still there, never both and
 * never neither, and nothing is written after the call has returned. */
WORKER_TEST(io_stress, cancel_races_with_completion, STRESS_TIMEOUT_S)
{
    uint64_t seed = random_seed("io_races");

    cr_expect_eq(run_workers(*workers, race_cancel_with_completion, &seed), 0);
}
