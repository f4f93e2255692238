/* SPDX-License-Identifier: MIT */
#include "talk.h"

#include "check.h"
#include "fixture.h"
#include "net.h"

#include <errno.h>
#include <weft.h>

#define MS WEFT_MILLISECOND

enum { ROUNDS = 100, PAIRS_MAX = 16 };

static int echo(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    ssize_t n;

    while ((n = weft_read(fd, &byte, 1, WEFT_FOREVER)) > 0)
        CHECK_EQ(weft_write_all(fd, &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(n, 0);
    return 0;
}

static int return_five(void *arg)
{
    (void)arg;
    return 5;
}

static int talk(void *arg)
{
    int fd = *(int *)arg;

    for (int i = 0; i < ROUNDS; i++) {
        char sent = (char)i, got = 0;
        weft_time before = weft_now();

        CHECK_EQ(weft_write_all(fd, &sent, 1, WEFT_FOREVER), 1);
        CHECK_EQ(weft_read(fd, &got, 1, WEFT_FOREVER), 1);
        CHECK_EQ(got, sent);
        if (i % 10 != 0)
            continue;
        CHECK_EQ(weft_read(fd, &got, 1, weft_after(MS)), -ETIMEDOUT);
        CHECK_EQ(weft_sleep(MS), 0);
        CHECK(weft_now() >= before + 2 * MS);
        CHECK_EQ(weft_blocking(return_five, NULL, WEFT_FOREVER), 5);
    }
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

int talk_in_pairs(void *arg)
{
    const unsigned count = *(const unsigned *)arg;
    int fds[PAIRS_MAX][2];
    weft_fiber *fibers[PAIRS_MAX][2];

    CHECK(count <= PAIRS_MAX);
    for (unsigned i = 0; i < count; i++) {
        make_socket_pair(fds[i]);
        fibers[i][0] = must_spawn(talk, &fds[i][0]);
        fibers[i][1] = must_spawn(echo, &fds[i][1]);
    }
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(must_join(fibers[i][0]), 0);
        CHECK_EQ(must_join(fibers[i][1]), 0);
        CHECK_EQ(weft_close(fds[i][1]), 0);
    }
    return 0;
}
