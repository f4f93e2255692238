/* SPDX-License-Identifier: MIT */
/* Random reads, writes and timeouts: no byte lost, none invented, no buffer touched late. */
#define _GNU_SOURCE 1

#include "../support/net.h"
#include "../support/random.h"
#include "stress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS = 16, CHUNK = 3000 };

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
