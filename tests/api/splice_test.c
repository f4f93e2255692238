/* SPDX-License-Identifier: MIT */
/* splice.h: data that goes from one descriptor to another within the kernel. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG = 1 << 20, PIPE_SIZE = 1 << 16 };

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(weft_close(fds[i]), 0);
}

/* Bytes that tell their places. */
static char *make_pattern(size_t length)
{
    char *bytes = malloc(length);

    CHECK(bytes != NULL);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 + (i >> 9));
    return bytes;
}

static void expect_bytes(int fd, const char *expected, size_t length)
{
    char got[64];

    CHECK(length <= sizeof got);
    CHECK_EQ(weft_read_exact(fd, got, length, WEFT_FOREVER), length);
    CHECK(memcmp(got, expected, length) == 0);
}

static int move_between_kinds(void *arg)
{
    int file = make_file("0123456789", 10), copy = make_file("..........", 10);
    int first[2], second[2], sockets[2];
    off_t from = 2, to = 5;

    (void)arg;
    make_pipe(first);
    make_pipe(second);
    make_tcp_pair(sockets);
    CHECK_EQ(weft_splice(file, &from, first[1], NULL, 4, 0, WEFT_FOREVER), 4);
    CHECK_EQ(from, 6);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    CHECK_EQ(weft_splice(first[0], NULL, second[1], NULL, 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(weft_splice(second[0], NULL, sockets[0], NULL, 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(weft_splice(sockets[1], NULL, first[1], NULL, 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(weft_splice(first[0], NULL, copy, &to, 100, 0, WEFT_FOREVER), 4);
    CHECK_EQ(to, 9);
    CHECK_EQ(lseek(copy, 0, SEEK_CUR), 0);
    expect_bytes(copy, ".....2345.", 10);
    /* Without an offset it is the file's own. */
    CHECK_EQ(weft_splice(file, NULL, first[1], NULL, 3, 0, WEFT_FOREVER), 3);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 3);
    expect_bytes(first[0], "012", 3);
    CHECK_EQ(lseek(file, 10, SEEK_SET), 10);
    CHECK_EQ(weft_splice(file, NULL, first[1], NULL, 3, 0, WEFT_FOREVER), 0);
    close_all(first, 2);
    close_all(second, 2);
    close_all(sockets, 2);
    close_all(&file, 1);
    return weft_close(copy);
}

/* All that splice(2) connects is connected, with its offsets. */
WORKER_TEST(splice, moves_between_pipes_files_and_sockets, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, move_between_kinds, NULL), 0);
}

static int duplicate(void *arg)
{
    int first[2], second[2];

    (void)arg;
    make_pipe(first);
    make_pipe(second);
    CHECK_EQ(write(first[1], "twice", 5), 5);
    CHECK_EQ(weft_tee(first[0], second[1], 100, 0, WEFT_FOREVER), 5);
    expect_bytes(first[0], "twice", 5);
    expect_bytes(second[0], "twice", 5);
    CHECK_EQ(weft_tee(first[0], second[1], 100, 0, 0), -ETIMEDOUT);
    CHECK_EQ(weft_tee(first[0], second[1], 100, SPLICE_F_NONBLOCK, WEFT_FOREVER), -EAGAIN);
    CHECK_EQ(weft_close(first[1]), 0);
    CHECK_EQ(weft_tee(first[0], second[1], 100, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(first[0]), 0);
    close_all(second, 2);
    return 0;
}

/* A tee that took the bytes away would starve whoever reads the first pipe. */
WORKER_TEST(splice, tee_leaves_what_it_copies, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, duplicate, NULL), 0);
}

struct stretch {
    int fd;
    size_t length;
    const char *bytes;
};

static int send_stretch(void *arg)
{
    struct stretch *stretch = arg;

    CHECK_EQ(weft_send_all(stretch->fd, stretch->bytes, stretch->length, 0, WEFT_FOREVER),
             stretch->length);
    CHECK_EQ(shutdown(stretch->fd, SHUT_WR), 0);
    return 0;
}

static int receive_stretch(void *arg)
{
    struct stretch *stretch = arg;
    char *got = malloc(stretch->length + 1);

    CHECK(got != NULL);
    CHECK_EQ(weft_read_exact(stretch->fd, got, stretch->length, WEFT_FOREVER), stretch->length);
    CHECK(memcmp(got, stretch->bytes, stretch->length) == 0);
    CHECK_EQ(weft_read(stretch->fd, got, 1, WEFT_FOREVER), 0);
    free(got);
    return 0;
}

/* From one descriptor into another through a pipe, to the end. */
static void relay(int from, int to, const int pipe[2])
{
    ssize_t n, moved;

    while ((n = weft_splice(from, NULL, pipe[1], NULL, PIPE_SIZE, 0, WEFT_FOREVER)) > 0)
        for (; n > 0; n -= moved) {
            moved = weft_splice(pipe[0], NULL, to, NULL, (size_t)n, 0, WEFT_FOREVER);
            CHECK(moved > 0);
        }
    CHECK_EQ(n, 0);
    CHECK_EQ(shutdown(to, SHUT_WR), 0);
}

static void use_relay(int in[2], int out[2])
{
    char *bytes = make_pattern(LONG);
    struct stretch sent = {in[0], LONG, bytes}, received = {out[1], LONG, bytes};
    weft_fiber *sender = must_spawn(send_stretch, &sent);
    weft_fiber *receiver = must_spawn(receive_stretch, &received);
    int pipe[2];

    make_pipe(pipe);
    relay(in[1], out[0], pipe);
    CHECK_EQ(must_join(sender), 0);
    CHECK_EQ(must_join(receiver), 0);
    /* Their modes are as they were. */
    CHECK_EQ(fcntl(in[1], F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(out[0], F_GETFL) & O_NONBLOCK, 0);
    close_all(pipe, 2);
    close_all(in, 2);
    close_all(out, 2);
    free(bytes);
}

static int relay_streams(void *arg)
{
    int in[2], out[2];

    (void)arg;
    make_tcp_pair(in);
    make_tcp_pair(out);
    use_relay(in, out);
    make_narrow_socket_pair(in);
    make_narrow_socket_pair(out);
    use_relay(in, out);
    return 0;
}

/* A proxy made of splices waits at either side, and neither loses nor repeats a byte. */
WORKER_TEST(splice, a_relay_passes_a_stream_on, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, relay_streams, NULL), 0);
}

static int send_files(void *arg)
{
    char *bytes = make_pattern(8 * LONG);
    int file = make_disk_file(bytes, 8 * LONG), copy = make_file("", 0), sockets[2], pipe[2];
    struct stretch received = {.length = 8 * LONG - 3, .bytes = bytes + 3};
    weft_fiber *receiver;
    off_t offset = 3;
    ssize_t n, moved = 0;

    (void)arg;
    make_narrow_socket_pair(sockets);
    received.fd = sockets[1];
    receiver = must_spawn(receive_stretch, &received);
    /* Small pieces take another way than large ones. */
    for (int i = 0; (n = weft_sendfile(sockets[0], file, &offset, i % 3 == 0 ? 8 * LONG : 3001,
                                       WEFT_FOREVER)) > 0;
         i++)
        moved += n;
    CHECK_EQ(moved, 8 * LONG - 3);
    CHECK_EQ(n, 0);
    CHECK_EQ(offset, 8 * LONG);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    CHECK_EQ(fcntl(sockets[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(shutdown(sockets[0], SHUT_WR), 0);
    CHECK_EQ(must_join(receiver), 0);

    CHECK_EQ(weft_sendfile(copy, file, NULL, 20, WEFT_FOREVER), 20);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 20);
    CHECK_EQ(lseek(copy, 0, SEEK_SET), 0);
    expect_bytes(copy, bytes, 20);
    make_pipe(pipe);
    CHECK_EQ(weft_sendfile(pipe[1], file, NULL, 20, WEFT_FOREVER), 20);
    expect_bytes(pipe[0], bytes + 20, 20);
    close_all(pipe, 2);
    close_all(sockets, 2);
    close_all(&file, 1);
    free(bytes);
    return weft_close(copy);
}

/* A file goes to any kind of descriptor, from any place, and past a receiver that is slow. */
WORKER_TEST(splice, sendfile_sends_to_any_kind, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, send_files, NULL), 0);
}

static int use_badly(void *arg)
{
    int file = make_disk_file("0123456789", 10), pipe[2], other[2], sockets[2];
    off_t offset = 0, negative = -1;

    (void)arg;
    make_pipe(pipe);
    make_pipe(other);
    make_socket_pair(sockets);
    CHECK_EQ(write(pipe[1], "abc", 3), 3);
    CHECK_EQ(weft_splice(-1, NULL, pipe[1], NULL, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_splice(pipe[0], NULL, NOT_OPEN, NULL, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_splice(pipe[1], NULL, other[0], NULL, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_splice(file, NULL, sockets[0], NULL, 1, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_splice(pipe[0], NULL, pipe[1], NULL, 1, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_splice(pipe[0], &offset, other[1], NULL, 1, 0, WEFT_FOREVER), -ESPIPE);
    CHECK_EQ(weft_splice(file, &negative, pipe[1], NULL, 1, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_splice(pipe[0], NULL, other[1], NULL, 1, 1U << 30, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_splice(pipe[0], NULL, other[1], NULL, 0, 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_tee(file, pipe[1], 1, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_tee(pipe[0], sockets[0], 1, 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_tee(-1, pipe[1], 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_sendfile(file, -1, NULL, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_sendfile(-1, file, NULL, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_sendfile(sockets[0], file, &negative, 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(fill(sockets[0]) > 0, true);
    CHECK_EQ(weft_sendfile(sockets[0], file, &offset, 1, weft_after(WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_close(other[0]), 0);
    CHECK_EQ(weft_splice(pipe[0], NULL, other[1], NULL, 1, 0, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_tee(pipe[0], other[1], 1, 0, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_sendfile(other[1], file, &offset, 1, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(weft_close(sockets[1]), 0);
    CHECK_EQ(weft_splice(pipe[0], NULL, sockets[0], NULL, 1, 0, WEFT_FOREVER), -EPIPE);
    CHECK_EQ(offset, 0);
    CHECK_EQ(drain(pipe[0]), 3); /* nothing has been moved */
    close_all(pipe, 2);
    CHECK_EQ(weft_close(other[1]), 0);
    CHECK_EQ(weft_close(sockets[0]), 0);
    return weft_close(file);
}

/* Errors are those of the system calls, nothing is moved, and no SIGPIPE ends the process. */
WORKER_TEST(splice, errors_are_those_of_the_system_calls, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_badly, NULL), 0);
}

/* They wait for fibers' descriptors, which plain threads cannot. */
Test(splice, plain_threads_are_refused, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(weft_splice(0, NULL, 1, NULL, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_tee(0, 1, 1, 0, WEFT_FOREVER), -EPERM);
    cr_expect_eq(weft_sendfile(0, 1, NULL, 1, WEFT_FOREVER), -EPERM);
}

static int splice_simulated(void *arg)
{
    int listener = weft_listen_tcp("127.0.0.1", 0), pipe[2];

    (void)arg;
    make_pipe(pipe);
    CHECK(listener >= 0);
    CHECK_EQ(weft_splice(listener, NULL, pipe[1], NULL, 1, 0, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_sendfile(listener, pipe[0], NULL, 1, WEFT_FOREVER), -EOPNOTSUPP);
    CHECK_EQ(weft_close(listener), 0);
    close_all(pipe, 2);
    return 0;
}

/* What a simulation makes up the kernel cannot move: that is said, instead of a wait for ever. */
Test(splice, simulated_descriptors_are_refused, .timeout = TEST_TIMEOUT_S)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    options.seed = 1;
    cr_expect_eq(weft_sim_run(&options, splice_simulated, NULL), 0);
}
