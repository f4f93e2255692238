/* SPDX-License-Identifier: MIT */
/* stream.h: lines and pieces, however they arrive and whatever stops them. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static bool is_text(const char *text, ssize_t n, const char *expected)
{
    return n == (ssize_t)strlen(expected) && memcmp(text, expected, (size_t)n) == 0;
}

static void feed(int fd, const char *text)
{
    ssize_t length = (ssize_t)strlen(text);

    CHECK_EQ(weft_write_all(fd, text, (size_t)length, WEFT_FOREVER), length);
}

static void expect_line(weft_reader *in, const char *expected)
{
    char *line = NULL;
    ssize_t n = weft_reader_line(in, &line, WEFT_FOREVER);

    CHECK(is_text(line, n, expected));
}

static int read_lines(void *arg)
{
    char room[8], *text, byte;
    weft_reader in;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    weft_reader_init(&in, fds[0], room, sizeof room);
    feed(fds[1], "ab\n\ncde\n1234567\n");
    expect_line(&in, "ab\n");
    expect_line(&in, "\n");
    expect_line(&in, "cde\n");
    expect_line(&in, "1234567\n"); /* as long as the buffer */
    CHECK_EQ(weft_reader_line(&in, &text, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    feed(fds[1], "half");
    CHECK_EQ(weft_reader_line(&in, &text, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    feed(fds[1], " one\n");
    CHECK_EQ(weft_reader_line(&in, &text, WEFT_FOREVER), -EMSGSIZE);
    CHECK_EQ(weft_reader_read(&in, &byte, 1, 0), 1);
    CHECK_EQ(byte, 'h');
    expect_line(&in, "alf one\n");
    feed(fds[1], "k=v;w");
    CHECK_EQ(weft_reader_until(&in, '=', &text, WEFT_FOREVER), 2);
    CHECK(memcmp(text, "k=", 2) == 0);
    CHECK_EQ(weft_reader_until(&in, ';', &text, 0), 2);
    CHECK(memcmp(text, "v;", 2) == 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    expect_line(&in, "w"); /* the last line has no end */
    CHECK_EQ(weft_reader_line(&in, &text, WEFT_FOREVER), 0);
    CHECK_EQ(weft_reader_line(&in, &text, WEFT_FOREVER), 0);
    return weft_close(fds[0]);
}

/* Nothing is lost between lines, at a deadline, or at the end; a line that is too long can be read
 * by other means. */
WORKER_TEST(stream, lines_come_one_by_one, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_lines, NULL), 0);
}

static int read_pieces(void *arg)
{
    char room[4], got[16] = "", *line;
    weft_reader in;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    weft_reader_init(&in, fds[0], room, sizeof room);
    feed(fds[1], "a\nbc012345678");
    expect_line(&in, "a\n");
    CHECK_EQ(weft_reader_read(&in, got, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_reader_read(&in, got, 16, WEFT_FOREVER), 2); /* what is in the buffer first */
    CHECK(memcmp(got, "bc", 2) == 0);
    CHECK_EQ(weft_reader_read_exact(&in, got, 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_reader_read_exact(&in, got, 7, WEFT_FOREVER), 7);
    CHECK(memcmp(got, "1234567", 7) == 0);
    CHECK_EQ(weft_reader_read_exact(&in, got, 2, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    feed(fds[1], "xy");
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_reader_read_exact(&in, got, 3, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(weft_reader_read_exact(&in, got, 3, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    weft_reader_init(&in, NOT_OPEN, room, sizeof room);
    CHECK_EQ(weft_reader_line(&in, &line, WEFT_FOREVER), -EBADF);
    return 0;
}

WORKER_TEST(stream, pieces_of_any_length_are_read, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_pieces, NULL), 0);
}

static int read_when_cancelled(void *arg)
{
    char room[16], *line;
    weft_reader in;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    weft_reader_init(&in, fds[0], room, sizeof room);
    feed(fds[1], "a\nb\nc");
    expect_line(&in, "a\n");
    weft_cancel(weft_self());
    expect_line(&in, "b\n");
    CHECK_EQ(weft_reader_line(&in, &line, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_reader_read(&in, room, 1, WEFT_FOREVER), 1);
    (void)weft_close(fds[0]);
    (void)weft_close(fds[1]);
    return 0;
}

/* What is there already comes in a cancelled fiber, as everywhere. */
Test(stream, a_cancelled_fiber_gets_what_is_there, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, read_when_cancelled, NULL), 0);
}

static int write_pieces(void *arg)
{
    char room[8], got[64] = "", too_wide[] = "%99999999999d";
    weft_writer out;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    weft_writer_init(&out, fds[1], room, sizeof room);
    CHECK_EQ(weft_writer_write(&out, "abc", 3, 0), 3);
    CHECK_EQ(weft_writer_write(&out, "", 0, 0), 0);
    CHECK_EQ(weft_writer_printf(&out, 0, "%d", 4567), 4);
    CHECK_EQ(weft_read(fds[0], got, 1, 0), -ETIMEDOUT); /* nothing has left yet */
    CHECK_EQ(weft_writer_write(&out, "89", 2, WEFT_FOREVER), 2);
    CHECK_EQ(weft_read(fds[0], got, sizeof got, WEFT_FOREVER), 9); /* and then all together */
    CHECK(memcmp(got, "abc456789", 9) == 0);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "%s", "1234567"), 7);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "%s", "89"), 2);
    CHECK_EQ(weft_read(fds[0], got, sizeof got, WEFT_FOREVER), 7);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "%s", "12345678"), -EMSGSIZE);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, too_wide, 1), -EOVERFLOW);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "%lc", (wint_t)0x20ac), -EILSEQ);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "%s", ""), 0);
    CHECK_EQ(weft_writer_write(&out, "a long piece", 12, WEFT_FOREVER), 12);
    CHECK_EQ(weft_writer_flush(&out, WEFT_FOREVER), 0);
    CHECK_EQ(weft_writer_flush(&out, 0), 0);
    CHECK_EQ(weft_read(fds[0], got, sizeof got, WEFT_FOREVER), 14);
    CHECK(memcmp(got, "89a long piece", 14) == 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_writer_write(&out, "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(weft_writer_flush(&out, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_writer_write(&out, "x", 1, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_writer_printf(&out, WEFT_FOREVER, "x"), -EPIPE);
    return weft_close(fds[1]);
}

/* Small pieces leave together, in order, with one that is too large for the buffer; after an error
 * nothing is written out of place. */
WORKER_TEST(stream, pieces_leave_together, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, write_pieces, NULL), 0);
}

enum { LINES = 2000, LENGTH_MAX = 300 };

struct feeder {
    int fd;
    uint64_t seed;
};

static size_t make_line(struct random *random, char *line)
{
    size_t length = random_below(random, LENGTH_MAX - 1);

    for (size_t i = 0; i < length; i++)
        line[i] = (char)('a' + random_below(random, 26));
    line[length] = '\n';
    return length + 1;
}

static int write_many(void *arg)
{
    struct feeder *feeder = arg;
    struct random random = random_stream(feeder->seed, 0);
    char room[128], line[LENGTH_MAX];
    weft_writer out;

    weft_writer_init(&out, feeder->fd, room, sizeof room);
    for (int i = 0; i < LINES; i++) {
        size_t length = make_line(&random, line);

        CHECK_EQ(weft_writer_write(&out, line, length, WEFT_FOREVER), (ssize_t)length);
        if (i % 100 == 0)
            CHECK_EQ(weft_writer_flush(&out, WEFT_FOREVER), 0);
    }
    CHECK_EQ(weft_writer_flush(&out, WEFT_FOREVER), 0);
    return weft_close(feeder->fd);
}

static int copy_many(void *arg)
{
    struct feeder feeder = {.seed = *(uint64_t *)arg};
    struct random random = random_stream(feeder.seed, 0);
    char room[LENGTH_MAX], line[LENGTH_MAX], *got;
    weft_reader in;
    weft_fiber *fiber;
    int fds[2];

    make_narrow_socket_pair(fds);
    feeder.fd = fds[1];
    fiber = must_spawn(write_many, &feeder);
    weft_reader_init(&in, fds[0], room, sizeof room);
    for (int i = 0; i < LINES; i++) {
        size_t length = make_line(&random, line);
        ssize_t n = weft_reader_line(&in, &got, WEFT_FOREVER);

        CHECK(n == (ssize_t)length && memcmp(got, line, length) == 0);
    }
    CHECK_EQ(weft_reader_line(&in, &got, WEFT_FOREVER), 0);
    CHECK_EQ(must_join(fiber), 0);
    return weft_close(fds[0]);
}

/* Lines of any length through a narrow socket: each piece of a line arrives where it belongs. */
WORKER_TEST(stream, many_lines_arrive_as_they_were, TEST_TIMEOUT_S)
{
    uint64_t seed = random_seed("stream");

    cr_expect_eq(run_workers(*workers, copy_many, &seed), 0);
}
