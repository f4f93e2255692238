/* SPDX-License-Identifier: MIT */
/* io.h: writes to a standard stream that is a terminal whose other side is not read. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#define MS WEFT_MILLISECOND

enum { LENGTH = 1 << 16 }; /* more than a terminal takes */

static const char bytes[LENGTH];

/* The standard input of a terminal is open for writing, too, and nobody here reads it. */
struct terminal {
    int master, saved;
};

static struct terminal open_terminal(void)
{
    struct terminal terminal = {.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC),
                                .saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)};
    struct termios mode;
    char name[64];
    int slave;

    CHECK(terminal.master >= 0 && terminal.saved >= 0);
    CHECK_EQ(grantpt(terminal.master), 0);
    CHECK_EQ(unlockpt(terminal.master), 0);
    CHECK_EQ(ptsname_r(terminal.master, name, sizeof name), 0);
    slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0);
    CHECK_EQ(tcgetattr(slave, &mode), 0);
    cfmakeraw(&mode);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &mode), 0);
    CHECK_EQ(dup2(slave, STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(close(slave), 0);
    set_nonblocking(terminal.master);
    return terminal;
}

static void close_terminal(const struct terminal *terminal)
{
    CHECK_EQ(dup2(terminal->saved, STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(close(terminal->saved), 0);
    CHECK_EQ(close(terminal->master), 0);
}

struct writer {
    bool has_parts;
    size_t written;
};

static ssize_t write_some(struct writer *writer, weft_time deadline)
{
    struct iovec parts[] = {{(void *)(uintptr_t)bytes, 1}, {(void *)(uintptr_t)bytes, LENGTH - 1}};
    ssize_t n = writer->has_parts ? weft_writev(STDIN_FILENO, parts, 2, deadline)
                                  : weft_write(STDIN_FILENO, bytes, LENGTH, deadline);

    if (n > 0)
        writer->written += (size_t)n;
    return n;
}

/* Room can come for a while yet: the kernel moves to the other side in its own time. */
static void fill_terminal(struct writer *writer, weft_time deadline)
{
    ssize_t n;

    while ((n = write_some(writer, deadline)) > 0)
        ;
    CHECK_EQ(n, -ETIMEDOUT);
}

static int write_for_ever(void *arg)
{
    ssize_t n;

    while ((n = write_some(arg, WEFT_FOREVER)) > 0)
        ;
    return (int)n;
}

static int write_enough(void *arg)
{
    const struct writer *writer = arg;

    while (writer->written < 2 * LENGTH)
        CHECK(write_some(arg, WEFT_FOREVER) > 0);
    return 0;
}

static weft_fiber *begin(int (*fn)(void *), struct writer *writer)
{
    weft_fiber *fiber = must_spawn(fn, writer);

    CHECK_EQ(weft_sleep(10 * MS), 0);
    return fiber;
}

/* Reads the other side until the writer has come to its end, and all that it wrote. */
static void read_all(int master, weft_fiber *fiber, const struct writer *writer)
{
    size_t taken = 0;
    int result;

    while (weft_join(fiber, &result, 0) == -ETIMEDOUT) {
        if (weft_poll_fd(master, POLLIN, weft_after(MS)) > 0)
            taken += drain(master);
    }
    while (taken < writer->written) {
        CHECK(weft_poll_fd(master, POLLIN, WEFT_FOREVER) > 0);
        taken += drain(master);
    }
    CHECK_EQ(taken, writer->written);
}

static void write_to_a_full_one(bool has_parts)
{
    struct terminal terminal = open_terminal();
    int mode = fcntl(STDIN_FILENO, F_GETFL);
    struct writer writer = {.has_parts = has_parts};
    weft_fiber *fiber;

    fill_terminal(&writer, weft_after(5 * MS));
    fill_terminal(&writer, 0);
    fiber = begin(write_for_ever, &writer);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    read_all(terminal.master, begin(write_enough, &writer), &writer);
    CHECK_EQ(fcntl(STDIN_FILENO, F_GETFL), mode);
    close_terminal(&terminal);
}

static int write_to_full_ones(void *arg)
{
    (void)arg;
    write_to_a_full_one(false);
    write_to_a_full_one(true);
    return 0;
}

/* The kernel would wait in the middle of the write, and the worker with it. */
WORKER_TEST(io_terminal, a_write_waits_for_room_beside_the_worker, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, write_to_full_ones, NULL), 0);
}

static int close_during_a_write(void *arg)
{
    struct terminal terminal = open_terminal();
    struct writer writer = {.has_parts = false};
    weft_fiber *fiber = begin(write_for_ever, &writer);

    (void)arg;
    CHECK_EQ(weft_close(STDIN_FILENO), 0);
    CHECK_EQ(must_join(fiber), -EBADF);
    close_terminal(&terminal);
    return 0;
}

Test(io_terminal, a_close_ends_a_write, .timeout = TEST_TIMEOUT_S)
{
    /* Nobody else is there who could open something, and get the number. */
    struct weft_config config = {.workers = 1, .monitor = 2};

    cr_expect_eq(run_config(&config, close_during_a_write, NULL), 0);
}

static int write_where_it_is_not_allowed(void *arg)
{
    struct terminal terminal = open_terminal();
    struct writer writer = {.has_parts = false};
    int fd = open("/proc/self/fd/0", O_RDONLY | O_NOCTTY | O_CLOEXEC);

    (void)arg;
    CHECK(fd >= 0);
    CHECK_EQ(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(write_some(&writer, WEFT_FOREVER), -EBADF);
    close_terminal(&terminal);
    return 0;
}

/* What is open for reading alone is not written to by way of another descriptor. */
Test(io_terminal, a_descriptor_keeps_its_rights, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, write_where_it_is_not_allowed, NULL), 0);
}
