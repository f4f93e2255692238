/* SPDX-License-Identifier: MIT */
/* io.h: weft_poll_fd(), and many fibers at once. */
#define _GNU_SOURCE 1

#include "../support/door.h"
#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

static int poll_for_ever(void *arg)
{
    return weft_poll_fd(*(int *)arg, POLLIN, WEFT_FOREVER);
}

static int poll_kinds(void *arg)
{
    const uint64_t one = 1;
    weft_time deadline;
    weft_fiber *fiber;
    int event;
    int file;
    int fds[2];

    (void)arg;
    make_pipe(fds);
    CHECK_EQ(weft_poll_fd(fds[0], POLLIN, 0), -ETIMEDOUT);
    deadline = weft_after(3 * WEFT_MILLISECOND);
    CHECK_EQ(weft_poll_fd(fds[0], POLLIN, deadline), -ETIMEDOUT);
    CHECK(weft_now() >= deadline);
    CHECK_EQ(weft_poll_fd(fds[1], POLLOUT, WEFT_FOREVER), POLLOUT);
    fiber = must_spawn(poll_for_ever, &fds[0]);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_write(fds[1], "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(must_join(fiber), POLLIN);
    CHECK_EQ(weft_poll_fd(fds[0], POLLIN, 0), POLLIN);
    CHECK_EQ(drain(fds[0]), 1);
    fiber = must_spawn(poll_for_ever, &fds[0]);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK(weft_poll_fd(fds[0], POLLIN, WEFT_FOREVER) & POLLHUP);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_poll_fd(NOT_OPEN, POLLIN, WEFT_FOREVER), -EBADF);

    event = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(weft_poll_fd(event, POLLIN | POLLOUT, WEFT_FOREVER), POLLOUT);
    CHECK_EQ(write(event, &one, sizeof one), sizeof one);
    CHECK_EQ(weft_poll_fd(event, POLLIN | POLLOUT, WEFT_FOREVER), POLLIN | POLLOUT);
    CHECK_EQ(weft_close(event), 0);
    file = make_file("x", 1);
    CHECK_EQ(weft_poll_fd(file, POLLIN, WEFT_FOREVER), POLLIN);
    return weft_close(file);
}

struct meeting {
    int fds[2];
    _Atomic(int) readable; /* what the wait for input has returned */
};

static int await_input(void *arg)
{
    struct meeting *meeting = arg;

    atomic_store(&meeting->readable, weft_poll_fd(meeting->fds[0], POLLIN, WEFT_FOREVER));
    return 0;
}

static int await_room(void *arg)
{
    return weft_poll_fd(((struct meeting *)arg)->fds[0], POLLOUT, WEFT_FOREVER);
}

static int wait_for_both(void *arg)
{
    struct meeting *meeting = arg;
    weft_fiber *reader, *writer;
    char bytes[4096] = {0};

    while (send(meeting->fds[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    reader = must_spawn(await_input, meeting);
    writer = must_spawn(await_room, meeting);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    (void)drain(meeting->fds[1]);
    CHECK_EQ(must_join(writer), POLLOUT);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    CHECK_EQ(atomic_load(&meeting->readable), 0);
    CHECK_EQ(weft_write(meeting->fds[1], "x", 1, WEFT_FOREVER), 1);
    CHECK_EQ(must_join(reader), 0);
    return atomic_load(&meeting->readable);
}

/* Room to write is nothing to read. */
WORKER_TEST(io_poll, an_event_is_for_those_who_wait_for_it, TEST_TIMEOUT_S)
{
    struct meeting meeting = {.readable = 0};

    make_socket_pair(meeting.fds);
    cr_expect_eq(run_workers(*workers, wait_for_both, &meeting), POLLIN);
    (void)close(meeting.fds[0]);
    (void)close(meeting.fds[1]);
}

/* Foreign libraries decide by these events: none that was not asked for, none that is missing. */
WORKER_TEST(io_poll, reports_the_events_that_hold, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, poll_kinds, NULL), 0);
}

/* What has happened to which name: one event at a time. */
static void expect_event(int fd, uint32_t mask, const char *name)
{
    _Alignas(struct inotify_event) char room[sizeof(struct inotify_event) + 256];
    const struct inotify_event *event = (const void *)room;

    CHECK(weft_read(fd, room, sizeof room, WEFT_FOREVER) >= (ssize_t)sizeof *event);
    CHECK_EQ(event->mask, mask);
    CHECK(strcmp(event->name, name) == 0);
}

static int watch_folder(void *arg)
{
    char path[] = "/tmp/weft-watch-XXXXXX";
    int fd = inotify_init1(*(int *)arg), folder, file;
    weft_fiber *fiber;

    CHECK(fd >= 0 && mkdtemp(path) != NULL);
    folder = weft_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, WEFT_FOREVER);
    CHECK(folder >= 0);
    CHECK(inotify_add_watch(fd, path, IN_CREATE | IN_DELETE) >= 0);
    CHECK_EQ(weft_poll_fd(fd, POLLIN, 0), -ETIMEDOUT);
    fiber = must_spawn(poll_for_ever, &fd);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    file = weft_openat(folder, "a", O_WRONLY | O_CREAT, 0600, WEFT_FOREVER);
    CHECK_EQ(must_join(fiber), POLLIN);
    expect_event(fd, IN_CREATE, "a");
    /* One who has given up takes no event along. */
    fiber = must_spawn(poll_for_ever, &fd);
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    weft_cancel(fiber);
    CHECK_EQ(must_join(fiber), -ECANCELED);
    CHECK_EQ(weft_unlinkat(folder, "a", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_poll_fd(fd, POLLIN, WEFT_FOREVER), POLLIN);
    expect_event(fd, IN_DELETE, "a");
    CHECK_EQ(weft_poll_fd(fd, POLLIN, 0), -ETIMEDOUT);
    CHECK_EQ(weft_close(file), 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_unlinkat(AT_FDCWD, path, AT_REMOVEDIR, WEFT_FOREVER), 0);
    return weft_close(folder);
}

/* A file system's events are polled for and read, in either mode of the descriptor. */
WORKER_TEST(io_poll, changes_of_a_folder_are_waited_for, TEST_TIMEOUT_S)
{
    for (int i = 0; i < 2; i++) {
        int flags = IN_CLOEXEC | (i == 0 ? 0 : IN_NONBLOCK);

        cr_expect_eq(run_workers(*workers, watch_folder, &flags), 0);
    }
}

static int read_one(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_FOREVER);
}

static int read_at_once(void *arg)
{
    enum { READERS = 1000 };
    static weft_fiber *fibers[READERS];
    static int fds[READERS][2];

    (void)arg;
    for (int i = 0; i < READERS; i++) {
        make_socket_pair(fds[i]);
        fibers[i] = must_spawn(read_one, &fds[i][0]);
    }
    CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    for (int i = READERS - 1; i >= 0; i--)
        CHECK_EQ(weft_write(fds[i][1], "x", 1, WEFT_FOREVER), 1);
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(must_join(fibers[i]), 1);
        CHECK_EQ(weft_close(fds[i][0]), 0);
        CHECK_EQ(weft_close(fds[i][1]), 0);
    }
    return 0;
}

/* More operations than the ring has entries: a full queue must flush, not drop or fail. */
WORKER_TEST(io_many, a_thousand_readers_on_a_small_ring, TEST_TIMEOUT_S)
{
    struct weft_config config = {.workers = *workers, .stack_size_kib = 32, .ring_entries = 8};

    allow_descriptors(2500);
    cr_expect_eq(run_config(&config, read_at_once, NULL), 0);
    cr_expect_geq(run_stats().ops_submitted, 2000);
}

struct crowd {
    int fds[2];
    _Atomic(int) received;
};

static int take_bytes(void *arg)
{
    struct crowd *crowd = arg;
    char bytes[7];
    ssize_t n;

    while ((n = weft_read(crowd->fds[0], bytes, sizeof bytes, WEFT_FOREVER)) > 0)
        (void)atomic_fetch_add(&crowd->received, (int)n);
    return (int)n;
}

static int give_bytes(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < 500; i++)
        CHECK_EQ(weft_write_all(crowd->fds[1], "0123456789", 10, WEFT_FOREVER), 10);
    return 0;
}

static int share_one_pipe(void *arg)
{
    enum { READERS = 16, WRITERS = 8 };
    struct crowd crowd = {.received = 0};
    weft_fiber *readers[READERS];
    weft_fiber *writers[WRITERS];

    (void)arg;
    make_pipe(crowd.fds);
    for (int i = 0; i < READERS; i++)
        readers[i] = must_spawn(take_bytes, &crowd);
    for (int i = 0; i < WRITERS; i++)
        writers[i] = must_spawn(give_bytes, &crowd);
    for (int i = 0; i < WRITERS; i++)
        CHECK_EQ(must_join(writers[i]), 0);
    CHECK_EQ(weft_close(crowd.fds[1]), 0);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(must_join(readers[i]), 0);
    CHECK_EQ(crowd.received, WRITERS * 500 * 10);
    return weft_close(crowd.fds[0]);
}

/* Several fibers may use one descriptor: all are served, and all see its end. */
WORKER_TEST(io_many, one_descriptor_is_shared, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, share_one_pipe, NULL), 0);
}

static int write_one(void *arg)
{
    return (int)weft_write(*(int *)arg, "x", 1, WEFT_FOREVER);
}

static int write_behind_a_half_close(void *arg)
{
    weft_fiber *writer;
    uint64_t submitted;
    int fds[2];

    (void)arg;
    make_narrow_socket_pair(fds);
    set_nonblocking(fds[0]);
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
    CHECK(fill(fds[0]) > 0);
    submitted = stats_now().ops_submitted;
    CHECK_EQ(weft_write(fds[0], "x", 1, weft_after(20 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_poll_fd(fds[0], POLLOUT, weft_after(20 * WEFT_MILLISECOND)), -ETIMEDOUT);
    CHECK_EQ(weft_poll_fd(fds[0], POLLOUT, 0), -ETIMEDOUT);
    CHECK(stats_now().ops_submitted - submitted < 100);
    writer = must_spawn(write_one, &fds[0]);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    weft_cancel(writer);
    CHECK_EQ(must_join(writer), -ECANCELED);
    writer = must_spawn(write_one, &fds[0]);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK(drain(fds[1]) > 0);
    CHECK_EQ(must_join(writer), 1);
    CHECK(fill(fds[0]) > 0);
    writer = must_spawn(write_one, &fds[0]);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(must_join(writer), -EBADF);
    return weft_close(fds[1]);
}

/* A peer that has said all may yet read: who waits for room waits, whatever is reported unasked. */
WORKER_TEST(io_poll, a_half_close_makes_no_room, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, write_behind_a_half_close, NULL), 0);
}
