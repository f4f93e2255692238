/* SPDX-License-Identifier: MIT */
/*
 * Each request of a program that does all kinds of I/O fails in turn, in each way that the kernel
 * has for it, on both backends; and each moves a single byte of what it could.
 */
#define _GNU_SOURCE 1

#include "../fault/io_fault.h"
#include "../fault/io_program.h"
#include "../support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { REQUESTS_MAX = 200, IN_VAIN_MAX = 2 };

static const struct io_part *const parts[] = {
    &io_streams, &io_messages, &io_connections, &io_waits,   &io_files,
    &io_names,   &io_splices,  &io_signals,     &io_lookups, &io_new_fds,
};

/* Returns whether there was such a request. */
static bool fail_one(const struct io_part *part, int number, int error)
{
    const char *fired;

    io_told = 0;
    io_fault_arm(number, error);
    part->use();
    io_fault_disarm();
    fired = io_fault_fired();
    if (io_told != (fired != NULL && io_fault_is_told()))
        check_fail(__FILE__, __LINE__, "%s: error %d of %s was told %d times", part->name, error,
                   fired != NULL ? fired : "nothing", io_told);
    return fired != NULL;
}

/* One run of the part for each of its requests.  How many there are differs a little from run to
 * run: what is tried at once depends on how that went before. */
static void fail_each(const struct io_part *part, int error)
{
    int number = 0, in_vain = 0;

    while (in_vain < IN_VAIN_MAX) {
        CHECK(++number < REQUESTS_MAX);
        in_vain = fail_one(part, number, error) ? 0 : in_vain + 1;
    }
    CHECK(number > IN_VAIN_MAX);
}

static void sweep(const struct io_part *part)
{
    static const int errors[] = {-EINTR, -EAGAIN, -ENOBUFS, -ECONNRESET, -ENOMEM, -EMFILE, -EIO};

    if (part->begin != NULL)
        part->begin();
    if (part->about != 0)
        io_fault_concern(part->about, IO_FAULT_CALLS);
    if (part->can_be_short)
        fail_each(part, IO_FAULT_SHORT);
    for (size_t i = 0; i < COUNT(errors); i++)
        fail_each(part, errors[i]);
    if (part->about != 0)
        io_fault_concern(part->about, IO_FAULT_NONE);
    if (part->end != NULL)
        part->end();
}

static int sweep_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(parts); i++)
        sweep(parts[i]);
    return 0;
}

static int sweep_processes(void *arg)
{
    (void)arg;
    sweep(&io_processes);
    return 0;
}

/* The run ends with as many operations completed as there were, and with the descriptors that it
 * began with. */
static void run_with(unsigned workers, uint32_t backend, uint32_t chaos)
{
    struct weft_config config = {
        .workers = workers, .backend = backend, .chaos = chaos, .monitor = 3};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    cr_assert_eq(run_config(&config, sweep_all, NULL), 0);
}

static void expect_tried(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect(io_fault_was_tried(names[i]), "%s has never failed", names[i]);
}

/* What is a system call on either backend. */
static const char *const calls[] = {
    "bind",       "copy_file_range", "fallocate", "ftruncate", "getaddrinfo", "getdents64",
    "linkat",     "listen",          "mkdirat",   "openat",    "pipe2",       "poll",
    "readlinkat", "renameat2",       "sendfile",  "signalfd",  "socket",      "splice",
    "statx",      "symlinkat",       "tee",       "unlinkat",
};

/* An error belongs to the call that met it: one that is lost hangs a program, one that comes twice
 * ends a connection that works, and one that is swallowed loses bytes. */
WORKER_TEST(io_fault, each_call_meets_each_error_on_epoll, TEST_TIMEOUT_S)
{
    static const char *const others[] = {
        "accept4", "close",    "connect", "epoll_ctl", "fdatasync", "fsync",
        "preadv2", "pwritev2", "recv",    "recvmsg",   "send",      "sendmsg",
    };

    run_with(*workers, WEFT_BACKEND_EPOLL, 0);
    expect_tried(calls, COUNT(calls));
    expect_tried(others, COUNT(others));
}

/* Of which some are tried by system calls. */
WORKER_TEST(io_fault, each_call_meets_each_error_on_io_uring, TEST_TIMEOUT_S)
{
    if (!io_fault_has_injection())
        cr_skip_test("this kernel has no operation that fails as it is told");
    run_with(*workers, WEFT_BACKEND_IO_URING, 0);
    expect_tried(calls, COUNT(calls));
}

/* In chaos no fiber passes for one that is alone, and all goes through the ring that can. */
WORKER_TEST(io_fault, each_operation_meets_each_error_in_the_ring, TEST_TIMEOUT_S)
{
    static const char *const operations[] = {
        "IORING_OP_READ",   "IORING_OP_WRITE",   "IORING_OP_READV",    "IORING_OP_WRITEV",
        "IORING_OP_RECV",   "IORING_OP_SEND",    "IORING_OP_RECVMSG",  "IORING_OP_SENDMSG",
        "IORING_OP_ACCEPT", "IORING_OP_CONNECT", "IORING_OP_POLL_ADD", "IORING_OP_OPENAT",
        "IORING_OP_FSYNC",  "IORING_OP_CLOSE",
    };

    if (!io_fault_has_injection())
        cr_skip_test("this kernel has no operation that fails as it is told");
    run_with(*workers, WEFT_BACKEND_IO_URING, 7);
    expect_tried(calls, COUNT(calls));
    expect_tried(operations, COUNT(operations));
}

/* A child that was not to be started is none, and one that was not to be waited for is still there.
 */
WORKER_TEST(io_fault, each_call_on_children_meets_each_error, TEST_TIMEOUT_S)
{
    static const char *const others[] = {"pidfd_open", "posix_spawnp", "waitid"};
    struct weft_config config = {.workers = *workers, .monitor = 3};

    for (config.backend = WEFT_BACKEND_IO_URING; config.backend <= WEFT_BACKEND_EPOLL;
         config.backend++)
        cr_assert_eq(run_config(&config, sweep_processes, NULL), 0);
    expect_tried(others, COUNT(others));
}
