/* SPDX-License-Identifier: MIT */
/* io.h: several buffers in one call, and reads that want all or nothing. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BIG = 300 * 1000 };

static void make_one(int kind, int fds[2])
{
    if (kind == 0)
        make_pipe(fds);
    else if (kind == 1)
        make_socket_pair(fds);
    else
        make_tcp_pair(fds);
}

static int scatter_and_gather(void *arg)
{
    char first[3] = "", second[8] = "";
    const struct iovec out[] = {{"ab", 2}, {NULL, 0}, {"cdefg", 5}};
    const struct iovec in[] = {{NULL, 0}, {first, 3}, {second, 8}};
    int fds[2];

    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        make_one(kind, fds);
        CHECK_EQ(weft_writev(fds[1], out, 3, WEFT_FOREVER), 7);
        CHECK_EQ(weft_readv(fds[0], in, 3, WEFT_FOREVER), 7);
        CHECK(memcmp(first, "abc", 3) == 0 && memcmp(second, "defg", 4) == 0);
        CHECK_EQ(weft_readv(fds[0], in, 3, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
        CHECK_EQ(weft_readv(fds[0], in, 3, 0), -ETIMEDOUT);
        CHECK_EQ(weft_close(fds[1]), 0);
        CHECK_EQ(weft_readv(fds[0], in, 3, WEFT_FOREVER), 0);
        CHECK_EQ(weft_close(fds[0]), 0);
    }
    return 0;
}

/* Bytes fill one buffer after the other, whatever is empty in between. */
WORKER_TEST(io_vector, parts_follow_each_other, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, scatter_and_gather, NULL), 0);
}

static int use_offsets(void *arg)
{
    char first[4] = "", second[4] = "";
    const struct iovec in[] = {{first, 4}, {second, 4}};
    const struct iovec out[] = {{"XY", 2}, {"Z", 1}};
    int fd = make_file("0123456789", 10);

    (void)arg;
    CHECK_EQ(weft_preadv(fd, in, 2, 3, WEFT_FOREVER), 7);
    CHECK(memcmp(first, "3456", 4) == 0 && memcmp(second, "789", 3) == 0);
    CHECK_EQ(weft_preadv(fd, in, 2, 10, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pwritev(fd, out, 2, 1, WEFT_FOREVER), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(weft_readv(fd, in, 2, WEFT_FOREVER), 8);
    CHECK(memcmp(first, "0XYZ", 4) == 0 && memcmp(second, "4567", 4) == 0);
    CHECK_EQ(weft_writev(fd, out, 2, WEFT_FOREVER), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_EQ(weft_preadv(fd, in, 2, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_pwritev(fd, out, 2, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_fdatasync(fd, WEFT_FOREVER), 0);
    return weft_close(fd);
}

WORKER_TEST(io_vector, offsets_move_as_in_posix, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_offsets, NULL), 0);
}

static int use_bad_vectors(void *arg)
{
    char byte = 'a';
    struct iovec part = {&byte, 1};
    struct iovec *many = calloc(IOV_MAX + 1, sizeof *many);
    int fds[2];

    (void)arg;
    CHECK(many != NULL);
    make_socket_pair(fds);
    CHECK_EQ(weft_writev(fds[0], &part, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_readv(fds[0], &part, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], &part, INT_MAX, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], many, IOV_MAX + 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], many, IOV_MAX, WEFT_FOREVER), 0);
    CHECK_EQ(weft_writev(fds[0], (struct iovec *)8, 1, WEFT_FOREVER), -EFAULT);
    CHECK_EQ(weft_writev(-1, &part, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_readv(-1, &part, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_fdatasync(fds[0], WEFT_FOREVER), -EINVAL);
    CHECK_EQ(byte, 'a');
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_writev(fds[0], &part, 1, WEFT_FOREVER), -EPIPE);
    free(many);
    return weft_close(fds[0]);
}

/* The errors are those of readv(2) and writev(2) on either backend. */
WORKER_TEST(io_vector, mistakes_are_refused, TEST_TIMEOUT_S)
{
    if (TEST_IS_SANITIZED)
        cr_skip_test("a sanitizer reads the array itself");
    cr_expect_eq(run_workers(*workers, use_bad_vectors, NULL), 0);
}

/* Two parts, the first of `length` bytes. */
struct transfer {
    int fd;
    char *bytes;
    size_t first;
};

static int write_all_parts(void *arg)
{
    struct transfer *transfer = arg;
    size_t done = 0;

    while (done < BIG) {
        size_t first = done < transfer->first ? transfer->first - done : 0;
        const struct iovec parts[] = {{transfer->bytes + done, first},
                                      {transfer->bytes + done + first, BIG - done - first}};
        ssize_t n = weft_writev(transfer->fd, parts, 2, WEFT_FOREVER);

        CHECK(n > 0);
        done += (size_t)n;
    }
    return 0;
}

static int move_much(void *arg)
{
    char *sent = malloc(BIG), *got = calloc(1, BIG);
    int fds[2];

    (void)arg;
    CHECK(sent != NULL && got != NULL);
    for (size_t i = 0; i < BIG; i++)
        sent[i] = (char)(i * 7 + i / 256);
    for (int kind = 0; kind < 3; kind++) {
        struct transfer transfer = {.bytes = sent, .first = BIG / 3};
        weft_fiber *writer;

        make_one(kind, fds);
        transfer.fd = fds[1];
        memset(got, 0, BIG);
        writer = must_spawn(write_all_parts, &transfer);
        CHECK_EQ(weft_read_exact(fds[0], got, BIG, WEFT_FOREVER), BIG);
        CHECK(memcmp(got, sent, BIG) == 0);
        CHECK_EQ(must_join(writer), 0);
        CHECK_EQ(weft_close(fds[0]), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    free(sent);
    free(got);
    return 0;
}

/* More than a pipe or a socket holds goes in pieces, none twice and none out of place. */
WORKER_TEST(io_vector, more_than_fits_goes_in_pieces, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, move_much, NULL), 0);
}

static int read_exactly(void *arg)
{
    char buffer[8] = "";
    int fds[2];

    (void)arg;
    make_socket_pair(fds);
    CHECK_EQ(weft_read_exact(fds[0], buffer, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_write(fds[1], "abcde", 5, WEFT_FOREVER), 5);
    CHECK_EQ(weft_read_exact(fds[0], buffer, 3, WEFT_FOREVER), 3);
    CHECK(memcmp(buffer, "abc", 3) == 0);
    CHECK_EQ(weft_read_exact(fds[0], buffer, 3, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_write(fds[1], "fg", 2, WEFT_FOREVER), 2);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_read_exact(fds[0], buffer, 4, WEFT_FOREVER), -ENODATA);
    CHECK_EQ(weft_read_exact(fds[0], buffer, 4, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_read_exact(NOT_OPEN, buffer, 4, WEFT_FOREVER), -EBADF);
    return 0;
}

/* An end within a record is not the end between two. */
WORKER_TEST(io_vector, an_end_within_is_an_error, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_exactly, NULL), 0);
}

static int read_parts(void *arg)
{
    static char bytes[2];
    const struct iovec parts[] = {{&bytes[0], 1}, {&bytes[1], 1}};

    return (int)weft_readv(*(int *)arg, parts, 2, WEFT_FOREVER);
}

static int cancel_vectors(void *arg)
{
    weft_fiber *fiber;
    int fds[2];

    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        make_one(kind, fds);
        fiber = must_spawn(read_parts, &fds[0]);
        for (int i = 0; i < kind; i++)
            CHECK_EQ(weft_yield(), 0);
        weft_cancel(fiber);
        CHECK_EQ(must_join(fiber), -ECANCELED);
        CHECK_EQ(weft_close(fds[0]), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WORKER_TEST(io_vector, a_cancel_ends_the_wait, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, cancel_vectors, NULL), 0);
}

Test(io_vector, a_plain_thread_is_refused, .timeout = TEST_TIMEOUT_S)
{
    char byte;
    const struct iovec part = {&byte, 1};

    cr_expect_eq(weft_readv(0, &part, 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_writev(1, &part, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_read_exact(0, &byte, 1, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_fdatasync(0, WEFT_FOREVER), -EPERM);
}
