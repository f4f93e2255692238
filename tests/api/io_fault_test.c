/* SPDX-License-Identifier: MIT */
/*
 * Each operation of a program that does all kinds of I/O fails in turn, in each way that the kernel
 * has for it, on both backends; and each moves a single byte of what it could.
 *
 * On epoll the library's system calls go through functions of this program (--wrap, as in
 * tests/fault).  On io_uring an operation is changed on its way to the kernel: into one that does
 * nothing and completes with the error (IORING_NOP_INJECT_RESULT), or into a shorter one.
 */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FDS_MAX = 1024,
    NOP_INJECT_RESULT = 1, /* of IORING_OP_NOP; liburing 2.3 does not know it */
    SHORT = 1,             /* no error: one byte is moved */
    CALLS_MAX = 200,
};

/* What fails: request number `number` that concerns one of the descriptors. */
static struct {
    _Atomic(bool) is_armed, has_fired;
    _Atomic(int) requests, number;
    _Atomic(int) error; /* -errno, or SHORT */
    _Atomic(bool) concerns[FDS_MAX];
} fault;

/* Whether this request is the one. */
static bool hits(int fd)
{
    if (!atomic_load(&fault.is_armed) || fd < 0 || fd >= FDS_MAX ||
        !atomic_load(&fault.concerns[fd]))
        return false;
    if (atomic_fetch_add(&fault.requests, 1) + 1 != atomic_load(&fault.number))
        return false;
    atomic_store(&fault.has_fired, true);
    return true;
}

static void concern(int fd, bool is_meant)
{
    CHECK(fd >= 0 && fd < FDS_MAX);
    atomic_store(&fault.concerns[fd], is_meant);
}

/* Returns true with errno set if the call fails; else `*length` may have become shorter. */
static bool fails(int fd, size_t *length)
{
    int error;

    if (!hits(fd))
        return false;
    error = atomic_load(&fault.error);
    if (error == SHORT) {
        *length = *length > 1 ? 1 : *length;
        return false;
    }
    errno = -error;
    return true;
}

#define WRAPPED(result, name, ...)     \
    result __real_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(ssize_t, recv, int fd, void *buffer, size_t length, int flags)
{
    return fails(fd, &length) ? -1 : __real_recv(fd, buffer, length, flags);
}

WRAPPED(ssize_t, send, int fd, const void *buffer, size_t length, int flags)
{
    return fails(fd, &length) ? -1 : __real_send(fd, buffer, length, flags);
}

/* Those of several parts: the first part alone, shortened, is a short one. */
struct parts {
    const struct iovec *all;
    size_t count;
    struct iovec first;
};

static bool parts_fail(int fd, struct parts *parts)
{
    size_t length = parts->all[0].iov_len;

    if (fails(fd, &length))
        return true;
    if (length < parts->all[0].iov_len) {
        parts->first = (struct iovec){parts->all[0].iov_base, length};
        parts->all = &parts->first;
        parts->count = 1;
    }
    return false;
}

WRAPPED(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
    const struct msghdr original = *message;
    struct parts parts = {.all = original.msg_iov, .count = original.msg_iovlen};
    ssize_t n;

    if (parts_fail(fd, &parts))
        return -1;
    message->msg_iov = (struct iovec *)parts.all;
    message->msg_iovlen = parts.count;
    n = __real_recvmsg(fd, message, flags);
    message->msg_iov = original.msg_iov;
    message->msg_iovlen = original.msg_iovlen;
    return n;
}

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
    struct parts parts = {.all = message->msg_iov, .count = message->msg_iovlen};
    struct msghdr passed = *message;

    if (parts_fail(fd, &parts))
        return -1;
    passed.msg_iov = (struct iovec *)parts.all;
    passed.msg_iovlen = parts.count;
    return __real_sendmsg(fd, &passed, flags);
}

WRAPPED(ssize_t, preadv2, int fd, const struct iovec *all, int count, off_t offset, int flags)
{
    struct parts parts = {.all = all, .count = (size_t)count};

    return parts_fail(fd, &parts) ? -1
                                  : __real_preadv2(fd, parts.all, (int)parts.count, offset, flags);
}

WRAPPED(ssize_t, pwritev2, int fd, const struct iovec *all, int count, off_t offset, int flags)
{
    struct parts parts = {.all = all, .count = (size_t)count};

    return parts_fail(fd, &parts) ? -1
                                  : __real_pwritev2(fd, parts.all, (int)parts.count, offset, flags);
}

WRAPPED(int, accept4, int fd, struct sockaddr *address, socklen_t *address_length, int flags)
{
    size_t length = 0;

    return fails(fd, &length) ? -1 : __real_accept4(fd, address, address_length, flags);
}

WRAPPED(int, fsync, int fd)
{
    size_t length = 0;

    return fails(fd, &length) ? -1 : __real_fsync(fd);
}

/* These are system calls on io_uring as well. */
WRAPPED(ssize_t, splice, int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
        unsigned flags)
{
    return fails(in, &length) ? -1 : __real_splice(in, in_offset, out, out_offset, length, flags);
}

WRAPPED(ssize_t, tee, int in, int out, size_t length, unsigned flags)
{
    return fails(in, &length) ? -1 : __real_tee(in, out, length, flags);
}

WRAPPED(ssize_t, sendfile, int out, int in, off_t *offset, size_t length)
{
    return fails(in, &length) ? -1 : __real_sendfile(out, in, offset, length);
}

/* The ring that this thread enters. */
static _Thread_local struct io_uring *own_ring;

WRAPPED(int, io_uring_register_ring_fd, struct io_uring *ring)
{
    own_ring = ring;
    return __real_io_uring_register_ring_fd(ring);
}

static void spoil(struct io_uring_sqe *sqe)
{
    int error = atomic_load(&fault.error);
    struct iovec *parts = (struct iovec *)(uintptr_t)sqe->addr;

    if (error != SHORT) {
        sqe->opcode = IORING_OP_NOP;
        sqe->ioprio = 0;
        sqe->fd = -1;
        sqe->off = sqe->addr = 0;
        sqe->rw_flags = NOP_INJECT_RESULT;
        sqe->len = (unsigned)error;
        return;
    }
    switch (sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_RECV:
    case IORING_OP_SEND:
        sqe->len = sqe->len > 1 ? 1 : sqe->len;
        break;
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        if (sqe->len > 1 && parts[0].iov_len > 0)
            sqe->len = 1; /* the first part alone */
        break;
    default:
        break;
    }
}

/* Whether it is one that a program asked for, and that is tried here. */
static bool is_tried(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_RECV:
    case IORING_OP_SEND:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
    case IORING_OP_RECVMSG:
    case IORING_OP_SENDMSG:
    case IORING_OP_ACCEPT:
    case IORING_OP_FSYNC:
        return true;
    default:
        return false;
    }
}

WRAPPED(int, io_uring_enter2, unsigned fd, unsigned count, unsigned min_complete, unsigned flags,
        sigset_t *argument, size_t size)
{
    struct io_uring_sq *sq = own_ring != NULL ? &own_ring->sq : NULL;

    for (unsigned i = 0; sq != NULL && i < count; i++) {
        unsigned mask = *sq->kring_mask;
        struct io_uring_sqe *sqe = &sq->sqes[(*sq->khead + i) & mask];

        if (is_tried(sqe) && hits(sqe->fd))
            spoil(sqe);
    }
    return __real_io_uring_enter2(fd, count, min_complete, flags, argument, size);
}

/* Whether the kernel has an operation that completes as it is told (Linux 6.10). */
static bool has_injection(void)
{
    struct io_uring ring;
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe;
    bool is_injected;

    if (io_uring_queue_init(4, &ring, 0) != 0)
        return false;
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_nop(sqe);
    sqe->rw_flags = NOP_INJECT_RESULT;
    sqe->len = (unsigned)-EIO;
    is_injected = io_uring_submit(&ring) == 1 && io_uring_wait_cqe(&ring, &cqe) == 0 &&
                  cqe->res == -EIO;
    io_uring_queue_exit(&ring);
    return is_injected;
}

static int returned; /* how many calls have returned the error */

/* Does it again if it has failed as it was made to. */
#define AGAIN(call)                                                                 \
    __extension__({                                                                 \
        ssize_t result_ = (call);                                                   \
        if (result_ == atomic_load(&fault.error) && result_ < 0 && ++returned <= 1) \
            result_ = (call);                                                       \
        CHECK(result_ >= 0);                                                        \
        result_;                                                                    \
    })

enum { BYTES = 6 };

static const char text[BYTES + 1] = "abcdef";

/* Until all has come. */
static void drain_and_compare(int fd)
{
    char got[BYTES] = "";
    size_t length = 0;

    while (length < BYTES) {
        struct iovec parts[2] = {{got + length, (BYTES - length + 1) / 2},
                                 {got + length + (BYTES - length + 1) / 2, (BYTES - length) / 2}};
        ssize_t n = AGAIN(weft_readv(fd, parts, 2, WEFT_FOREVER));

        CHECK(n > 0);
        length += (size_t)n;
    }
    CHECK(memcmp(got, text, BYTES) == 0);
}

static void put_by_parts(int fd)
{
    for (size_t length = 0; length < BYTES;) {
        struct iovec parts[2] = {{(char *)text + length, 1}, {(char *)text + length + 1, 0}};

        parts[1].iov_len = BYTES - length - 1;
        length += (size_t)AGAIN(weft_writev(fd, parts, 2, WEFT_FOREVER));
    }
}

static void use_pair(const int *pair)
{
    char got[BYTES];
    struct iovec part = {(char *)text, BYTES}, room = {got, BYTES};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct msghdr answer = {.msg_iov = &room, .msg_iovlen = 1};
    ssize_t n;

    put_by_parts(pair[0]);
    drain_and_compare(pair[1]);
    for (ssize_t sent = 0; sent < BYTES; sent += n)
        n = AGAIN(weft_send(pair[1], text + sent, (size_t)(BYTES - sent), 0, WEFT_FOREVER));
    for (ssize_t length = 0; length < BYTES; length += n)
        n = AGAIN(weft_recv(pair[0], got + length, (size_t)(BYTES - length), 0, WEFT_FOREVER));
    CHECK(memcmp(got, text, BYTES) == 0);
    n = AGAIN(weft_sendmsg(pair[0], &message, 0, WEFT_FOREVER));
    part = (struct iovec){(char *)text + n, (size_t)(BYTES - n)};
    if (n < BYTES)
        CHECK_EQ(AGAIN(weft_sendmsg(pair[0], &message, 0, WEFT_FOREVER)), BYTES - n);
    n = AGAIN(weft_recvmsg(pair[1], &answer, 0, WEFT_FOREVER));
    room = (struct iovec){got + n, (size_t)(BYTES - n)};
    if (n < BYTES)
        CHECK_EQ(AGAIN(weft_recvmsg(pair[1], &answer, 0, WEFT_FOREVER)), BYTES - n);
    CHECK(memcmp(got, text, BYTES) == 0);
}

/* Those that go on by themselves after a short count. */
static void use_whole_calls(const int *pair)
{
    char got[BYTES];
    ssize_t n = weft_write_all(pair[0], text, BYTES, WEFT_FOREVER);

    if (n < 0) {
        CHECK_EQ(n, atomic_load(&fault.error));
        CHECK(++returned == 1);
        CHECK_EQ(weft_write_all(pair[0], text, BYTES, WEFT_FOREVER), BYTES);
    }
    CHECK_EQ(AGAIN(weft_read_exact(pair[1], got, BYTES, WEFT_FOREVER)), BYTES);
    CHECK(memcmp(got, text, BYTES) == 0);
    CHECK_EQ(AGAIN(weft_send_all(pair[1], text, BYTES, 0, WEFT_FOREVER)), BYTES);
    CHECK_EQ(AGAIN(weft_read_exact(pair[0], got, BYTES, WEFT_FOREVER)), BYTES);
    CHECK(memcmp(got, text, BYTES) == 0);
}

static void use_file(int fd)
{
    char got[BYTES] = "";
    ssize_t n;

    for (ssize_t at = 0; at < BYTES; at += n)
        n = AGAIN(weft_pwrite(fd, text + at, (size_t)(BYTES - at), at, WEFT_FOREVER));
    CHECK_EQ(AGAIN(weft_fsync(fd, WEFT_FOREVER)), 0);
    for (ssize_t at = 0; at < BYTES; at += n)
        CHECK((n = AGAIN(weft_pread(fd, got + at, (size_t)(BYTES - at), at, WEFT_FOREVER))) > 0);
    CHECK(memcmp(got, text, BYTES) == 0);
}

/* From the file by a socket and a pipe to another one, and from there to both. */
static void use_splices(const int *pair, int file)
{
    int pipe[2], copy[2];
    off_t offset = 0;

    make_pipe(pipe);
    make_pipe(copy);
    concern(pipe[0], true);
    while (offset < BYTES)
        (void)AGAIN(weft_sendfile(pair[0], file, &offset, (size_t)(BYTES - offset), WEFT_FOREVER));
    for (ssize_t length = 0; length < BYTES;)
        length += AGAIN(weft_splice(pair[1], NULL, pipe[1], NULL, BYTES, 0, WEFT_FOREVER));
    for (ssize_t length = 0, n; length < BYTES; length += n) {
        n = AGAIN(weft_tee(pipe[0], copy[1], BYTES, 0, WEFT_FOREVER));
        for (ssize_t left = n; left > 0;)
            left -= AGAIN(weft_splice(pipe[0], NULL, pair[1], NULL, (size_t)left, 0, WEFT_FOREVER));
    }
    concern(pipe[0], false);
    drain_and_compare(copy[0]);
    drain_and_compare(pair[0]);
    for (int i = 0; i < 2; i++) {
        (void)close(pipe[i]);
        (void)close(copy[i]);
    }
}

static void use_listener(int listener)
{
    struct sockaddr_in address = local_address(listener);
    int client = make_tcp_socket(), fd;

    CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    fd = (int)AGAIN(weft_accept(listener, WEFT_FOREVER));
    CHECK_EQ(weft_close(fd), 0);
    (void)close(client);
}

/* One run of the program for each of its requests.  Returns how many there are. */
static void sweep(const int *pair, int file, int listener, int error, bool is_returned)
{
    int number = 0;

    atomic_store(&fault.error, error);
    do {
        CHECK(++number < CALLS_MAX);
        returned = 0;
        atomic_store(&fault.requests, 0);
        atomic_store(&fault.number, number);
        atomic_store(&fault.has_fired, false);
        atomic_store(&fault.is_armed, true);
        use_pair(pair);
        use_whole_calls(pair);
        use_file(file);
        use_splices(pair, file);
        use_listener(listener);
        atomic_store(&fault.is_armed, false);
        CHECK_EQ(returned, atomic_load(&fault.has_fired) && is_returned);
    } while (atomic_load(&fault.has_fired));
    CHECK(number > 10);
}

static int fail_in_turn(void *arg)
{
    static const int errors[] = {-ENOBUFS, -ECONNRESET, -ENOMEM, -EMFILE, -EIO};
    int pair[2], file = make_file("......", BYTES), listener = weft_listen_tcp("127.0.0.1", 0);

    (void)arg;
    make_socket_pair(pair);
    for (int i = 0; i < 2; i++)
        concern(pair[i], true);
    concern(file, true);
    concern(listener, true);
    /* The program never sees these: the library repeats the call. */
    sweep(pair, file, listener, -EINTR, false);
    sweep(pair, file, listener, SHORT, false);
    concern(file, false); /* it is always ready */
    sweep(pair, file, listener, -EAGAIN, false);
    concern(file, true);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        sweep(pair, file, listener, errors[i], true);
    for (int i = 0; i < 2; i++) {
        concern(pair[i], false);
        CHECK_EQ(weft_close(pair[i]), 0);
    }
    concern(file, false);
    CHECK_EQ(weft_close(file), 0);
    concern(listener, false);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

static void run_with(unsigned workers, uint32_t backend)
{
    struct weft_config config = {.workers = workers, .backend = backend, .monitor = 3};

    cr_assert_eq(run_config(&config, fail_in_turn, NULL), 0);
}

/* An error belongs to the call that met it: one that is lost hangs a program, one that comes twice
 * ends a connection that works, and one that is swallowed loses bytes. */
WORKER_TEST(io_fault, each_call_meets_each_error_on_epoll, TEST_TIMEOUT_S)
{
    run_with(*workers, WEFT_BACKEND_EPOLL);
}

WORKER_TEST(io_fault, each_call_meets_each_error_on_io_uring, TEST_TIMEOUT_S)
{
    if (!has_injection())
        cr_skip_test("this kernel has no operation that fails as it is told");
    run_with(*workers, WEFT_BACKEND_IO_URING);
}
