/* SPDX-License-Identifier: MIT */
/*
 * A kernel that lacks one thing of io_uring, each in turn: a flag of its set-up, a feature, an
 * operation.  What it answers to the library goes through functions of this program, which hide
 * that one thing (--wrap, as in tests/fault).
 */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/net.h"
#include "../support/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { NOTHING, SETUP_FLAG, FEATURE, OPCODE, PROBE, REGISTERED_RING };

/* What becomes of a program that asks for io_uring. */
enum outcome { AS_EVER, PLAIN, WITHOUT_WAITALL, REFUSED };

#define HIDE(kind, constant, outcome)       \
    {                                       \
        kind, constant, #constant, outcome, \
    }

static const struct mask {
    enum kind kind;
    unsigned value;
    const char *name;
    enum outcome outcome;
} masks[] = {
    {NOTHING, 0, "nothing", AS_EVER},
    HIDE(SETUP_FLAG, IORING_SETUP_COOP_TASKRUN, PLAIN),
    HIDE(SETUP_FLAG, IORING_SETUP_TASKRUN_FLAG, PLAIN),
    HIDE(SETUP_FLAG, IORING_SETUP_SUBMIT_ALL, PLAIN),
    HIDE(SETUP_FLAG, IORING_SETUP_CQSIZE, REFUSED),
    HIDE(SETUP_FLAG, IORING_SETUP_CLAMP, REFUSED),
    HIDE(FEATURE, IORING_FEAT_NODROP, REFUSED),
    HIDE(FEATURE, IORING_FEAT_FAST_POLL, REFUSED),
    HIDE(FEATURE, IORING_FEAT_EXT_ARG, REFUSED),
    /* What a kernel has that the library does not count on. */
    HIDE(FEATURE, IORING_FEAT_SINGLE_MMAP, AS_EVER),
    HIDE(FEATURE, IORING_FEAT_SUBMIT_STABLE, AS_EVER),
    HIDE(FEATURE, IORING_FEAT_RW_CUR_POS, AS_EVER),
    HIDE(FEATURE, IORING_FEAT_NATIVE_WORKERS, AS_EVER),
    HIDE(FEATURE, IORING_FEAT_CQE_SKIP, AS_EVER),
    HIDE(OPCODE, IORING_OP_READ, REFUSED),
    HIDE(OPCODE, IORING_OP_WRITE, REFUSED),
    HIDE(OPCODE, IORING_OP_READV, REFUSED),
    HIDE(OPCODE, IORING_OP_WRITEV, REFUSED),
    HIDE(OPCODE, IORING_OP_RECV, REFUSED),
    HIDE(OPCODE, IORING_OP_SEND, REFUSED),
    HIDE(OPCODE, IORING_OP_RECVMSG, REFUSED),
    HIDE(OPCODE, IORING_OP_SENDMSG, REFUSED),
    HIDE(OPCODE, IORING_OP_ACCEPT, REFUSED),
    HIDE(OPCODE, IORING_OP_CONNECT, REFUSED),
    HIDE(OPCODE, IORING_OP_POLL_ADD, REFUSED),
    HIDE(OPCODE, IORING_OP_OPENAT, REFUSED),
    HIDE(OPCODE, IORING_OP_FSYNC, REFUSED),
    HIDE(OPCODE, IORING_OP_CLOSE, REFUSED),
    HIDE(OPCODE, IORING_OP_ASYNC_CANCEL, REFUSED),
    HIDE(OPCODE, IORING_OP_SENDMSG_ZC, WITHOUT_WAITALL),
    {PROBE, 0, "IORING_REGISTER_PROBE", REFUSED},
    {REGISTERED_RING, 0, "IORING_REGISTER_RING_FDS", AS_EVER},
};

enum { MASKS = sizeof masks / sizeof *masks };

static const struct mask *mask = &masks[0];

static bool hides(enum kind kind)
{
    return mask->kind == kind;
}

#define WRAPPED(result, name, ...)     \
    result __real_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(int, io_uring_queue_init_params, unsigned entries, struct io_uring *ring,
        struct io_uring_params *params)
{
    int error;

    if (hides(SETUP_FLAG) && (params->flags & mask->value) != 0)
        return -EINVAL;
    error = __real_io_uring_queue_init_params(entries, ring, params);
    if (error == 0 && hides(FEATURE)) {
        ring->features &= ~mask->value;
        params->features &= ~mask->value;
    }
    return error;
}

WRAPPED(int, io_uring_register_probe, struct io_uring *ring, struct io_uring_probe *probe,
        unsigned count)
{
    int error = hides(PROBE) ? -EINVAL : __real_io_uring_register_probe(ring, probe, count);

    if (error == 0 && hides(OPCODE))
        probe->ops[mask->value].flags &= (unsigned short)~IO_URING_OP_SUPPORTED;
    return error;
}

WRAPPED(int, io_uring_register_ring_fd, struct io_uring *ring)
{
    return hides(REGISTERED_RING) ? -EINVAL : __real_io_uring_register_ring_fd(ring);
}

static int connect_to(void *arg)
{
    struct sockaddr_in address = local_address(*(int *)arg);
    int fd = make_tcp_socket();

    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address, WEFT_FOREVER), 0);
    CHECK_EQ(weft_send_all(fd, "hello", 5, 0, WEFT_FOREVER), 5);
    return weft_close(fd);
}

static void use_sockets(void)
{
    char got[5];
    struct iovec part = {got, sizeof got};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int listener = weft_listen_tcp("127.0.0.1", 0), fd;
    weft_fiber *client;

    CHECK_EQ(weft_accept(listener, 0), -ETIMEDOUT);
    client = must_spawn(connect_to, &listener);
    fd = weft_accept(listener, WEFT_FOREVER);
    CHECK(fd >= 0);
    /* The client may have hung up by now. */
    CHECK_EQ(weft_poll_fd(fd, POLLIN, WEFT_FOREVER) & ~POLLRDHUP, POLLIN);
    CHECK_EQ(weft_recv(fd, got, 2, 0, WEFT_FOREVER), 2);
    CHECK_EQ(weft_recvmsg(fd, &message, 0, WEFT_FOREVER), 3);
    CHECK_EQ(must_join(client), 0);
    CHECK_EQ(weft_read(fd, got, sizeof got, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_close(listener), 0);
}

static int read_byte(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static void use_cancels(void)
{
    int fds[2];
    weft_fiber *reader;

    make_pipe(fds);
    reader = must_spawn(read_byte, &fds[0]);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(reader);
    CHECK_EQ(must_join(reader), -ECANCELED);
    reader = must_spawn(read_byte, &fds[0]);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(must_join(reader), -EBADF);
    CHECK_EQ(weft_close(fds[1]), 0);
}

static void use_file(void)
{
    char got[6];
    struct iovec part = {got, sizeof got};
    int file = weft_openat(AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600, WEFT_FOREVER);

    CHECK(file >= 0);
    CHECK_EQ(weft_pwrite(file, "abcdef", 6, 0, WEFT_FOREVER), 6);
    CHECK_EQ(weft_fsync(file, WEFT_FOREVER), 0);
    CHECK_EQ(weft_preadv(file, &part, 1, 3, WEFT_FOREVER), 3);
    CHECK(memcmp(got, "def", 3) == 0);
    CHECK_EQ(weft_close(file), 0);
}

static int use_all(void *arg)
{
    unsigned pairs = 4;

    (void)arg;
    use_sockets();
    use_cancels();
    use_file();
    return talk_in_pairs(&pairs);
}

static int must_not_run(void *arg)
{
    (void)arg;
    check_fail(__FILE__, __LINE__, "a function ran although the runtime could not start");
}

CHILD(run_on_io_uring)
{
    struct weft_config config = {.backend = WEFT_BACKEND_IO_URING, .workers = 2};

    mask = &masks[parameter];
    if (mask->outcome != REFUSED)
        return weft_run(&config, use_all, NULL);
    CHECK_EQ(weft_run(&config, must_not_run, NULL), -ENOSYS);
    CHECK_EQ(weft_doctor(&config, stdout), -ENOSYS);
    return 0;
}

CHILD(run_on_what_is_left)
{
    struct weft_config config = {.workers = 2};

    mask = &masks[parameter];
    CHECK_EQ(weft_run(&config, use_all, NULL), 0);
    return weft_doctor(NULL, stdout);
}

static bool has_io_uring(void)
{
    struct io_uring ring;

    if (__real_io_uring_queue_init_params(4, &ring, &(struct io_uring_params){0}) != 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

/* What a kernel of another age lacks is found before anything runs on it, and its name is said:
 * found later, it would be an EINVAL in the middle of a server's work. */
Test(kernel_mask, io_uring_runs_without_it_or_says_its_name, .timeout = 2 * TEST_TIMEOUT_S)
{
    if (!has_io_uring())
        cr_skip_test("this system has no io_uring");
    for (unsigned i = 0; i < MASKS; i++) {
        struct child_end end;

        run_child("run_on_io_uring", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%s, signal %d: %s", masks[i].name, end.signal,
                     end.output);
        if (masks[i].outcome == REFUSED)
            cr_expect_not_null(strstr(end.output, masks[i].name), "%s is not named: %s",
                               masks[i].name, end.output);
    }
}

/* A program that leaves the choice open runs in any case, and the doctor says on what. */
Test(kernel_mask, the_backend_follows_what_is_left, .timeout = 2 * TEST_TIMEOUT_S)
{
    static const char *const reported[] = {
        [AS_EVER] = "SUBMIT_ALL, MSG_WAITALL for sends",
        [PLAIN] = "plain, MSG_WAITALL for sends",
        [WITHOUT_WAITALL] = "SUBMIT_ALL, no MSG_WAITALL for sends",
        [REFUSED] = "epoll, one instance",
    };

    if (!has_io_uring())
        cr_skip_test("this system has no io_uring");
    for (unsigned i = 0; i < MASKS; i++) {
        struct child_end end;

        run_child("run_on_what_is_left", i, NULL, &end);
        cr_expect_eq(end.exit_status, 0, "%s, signal %d: %s", masks[i].name, end.signal,
                     end.output);
        cr_expect_not_null(strstr(end.output, reported[masks[i].outcome]), "%s: %s", masks[i].name,
                           end.output);
        if (masks[i].outcome == REFUSED)
            cr_expect_not_null(strstr(end.output, masks[i].name), "%s is not named: %s",
                               masks[i].name, end.output);
    }
}

enum { LONG = 1 << 20 };

static void *read_long(void *arg)
{
    char got[4096];
    size_t length = 0;

    while (length < LONG) {
        ssize_t n = read(*(int *)arg, got, sizeof got);

        CHECK(n > 0);
        length += (size_t)n;
    }
    return NULL;
}

static int send_long(void *arg)
{
    static char bytes[LONG];
    pthread_t reader;
    int fds[2];

    (void)arg;
    make_narrow_socket_pair(fds);
    CHECK_EQ(pthread_create(&reader, NULL, read_long, &fds[0]), 0);
    CHECK_EQ(weft_send_all(fds[1], bytes, LONG, 0, WEFT_FOREVER), LONG);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    return weft_close(fds[1]);
}

/* How many operations a send takes that is longer than what there is room for. */
CHILD(count_operations_of_a_send)
{
    struct weft_config config = {.backend = WEFT_BACKEND_IO_URING, .workers = 1};
    struct weft_stats stats;

    mask = &masks[parameter];
    CHECK_EQ(weft_run(&config, send_long, NULL), 0);
    CHECK_EQ(weft_stats_read(&stats), 0);
    return stats.ops_submitted > 20;
}

/* A kernel that would lose the rest of a send, or its error, is not asked to go on with it. */
Test(kernel_mask, sends_are_resumed_by_the_library_where_the_kernel_does_not,
     .timeout = TEST_TIMEOUT_S)
{
    if (!has_io_uring())
        cr_skip_test("this system has no io_uring");
    for (unsigned i = 0; i < MASKS; i++) {
        struct child_end end;

        if (masks[i].outcome == REFUSED || masks[i].kind == FEATURE)
            continue;
        run_child("count_operations_of_a_send", i, NULL, &end);
        cr_expect_eq(end.exit_status, masks[i].outcome == WITHOUT_WAITALL, "%s, signal %d: %s",
                     masks[i].name, end.signal, end.output);
    }
}
