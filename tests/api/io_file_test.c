/* SPDX-License-Identifier: MIT */
/* io.h: regular files: read, pread, pwrite, openat, fsync, close. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"
#include "../support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_file(void *arg)
{
    char buffer[16] = "";
    int fd = make_file("0123456789", 10);

    (void)arg;
    CHECK_EQ(weft_read(fd, buffer, 4, WEFT_FOREVER), 4);
    CHECK_EQ(weft_read(fd, buffer + 4, 12, WEFT_FOREVER), 6);
    CHECK(memcmp(buffer, "0123456789", 10) == 0);
    CHECK_EQ(weft_read(fd, buffer, 4, WEFT_FOREVER), 0);
    CHECK_EQ(weft_write(fd, "ab", 2, WEFT_FOREVER), 2);
    CHECK_EQ(weft_write_all(fd, "cd", 2, WEFT_FOREVER), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 14);

    CHECK_EQ(weft_pread(fd, buffer, 16, 8, WEFT_FOREVER), 6);
    CHECK(memcmp(buffer, "89abcd", 6) == 0);
    CHECK_EQ(weft_pread(fd, buffer, 16, 14, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pread(fd, buffer, 16, 1 << 30, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pwrite(fd, "XY", 2, 0, WEFT_FOREVER), 2);
    CHECK_EQ(weft_pwrite(fd, "Z", 1, 20, WEFT_FOREVER), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 14);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 21);
    CHECK_EQ(weft_pread(fd, buffer, 3, 0, WEFT_FOREVER), 3);
    CHECK(memcmp(buffer, "XY2", 3) == 0);
    return weft_close(fd);
}

/* read and write move the offset, pread and pwrite leave it: mixed up, data is overwritten. */
WORKER_TEST(io_file, offsets_move_as_in_posix, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, read_file, NULL), 0);
}

static int use_bad_offsets(void *arg)
{
    char byte = 'x';
    int file = make_file("0123456789", 10);
    int fds[2];

    (void)arg;
    CHECK_EQ(lseek(file, 5, SEEK_SET), 5);
    /* The ring takes -1 for "the current offset". */
    CHECK_EQ(weft_pread(file, &byte, 1, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_pwrite(file, &byte, 1, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_pread(file, &byte, 1, -2, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 5);
    CHECK_EQ(byte, 'x');
    make_pipe(fds);
    CHECK_EQ(write(fds[1], "y", 1), 1);
    /* A pipe has no offsets, so there they mean nothing. */
    CHECK_EQ(weft_pread(fds[0], &byte, 1, 7, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'y');
    CHECK_EQ(weft_pwrite(fds[1], &byte, 1, 7, WEFT_FOREVER), 1);
    CHECK_EQ(drain(fds[0]), 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return weft_close(file);
}

/* Offsets that pread(2) refuses are refused, not taken for the current offset. */
WORKER_TEST(io_file, bad_offsets_are_refused, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_bad_offsets, NULL), 0);
}

static int use_passed_deadlines(void *arg)
{
    int fd = make_file("0123", 4);

    (void)arg;
    for (int i = 0; i < 100; i++) {
        char buffer[4] = "....";
        ssize_t n = weft_pread(fd, buffer, 4, 0, i % 2 == 0 ? 0 : weft_after(-WEFT_SECOND));

        CHECK(n == 4 || n == -ETIMEDOUT);
        CHECK(memcmp(buffer, n == 4 ? "0123" : "....", 4) == 0);
    }
    return weft_close(fd);
}

/* An attempt at a file's data reads all of it or nothing: a transfer that a kernel thread still
 * made after the call had returned -ETIMEDOUT would write into a dead frame. */
WORKER_TEST(io_file, an_attempt_at_a_file_reads_all_or_nothing, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_passed_deadlines, NULL), 0);
}

struct folder {
    int fd;
    char path[64];
};

static struct folder make_folder(void)
{
    struct folder folder = {.path = "/tmp/weft-test-XXXXXX"};

    CHECK(mkdtemp(folder.path) != NULL);
    folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(folder.fd >= 0);
    return folder;
}

static void remove_folder(struct folder *folder)
{
    CHECK_EQ(close(folder->fd), 0);
    CHECK_EQ(rmdir(folder->path), 0);
}

static int open_files(void *arg)
{
    struct folder *folder = arg;
    char path[128];
    struct stat info;
    int again;
    int fd;

    CHECK_EQ(weft_openat(folder->fd, "file", O_RDWR, 0, WEFT_FOREVER), -ENOENT);
    (void)umask(0);
    fd = weft_openat(folder->fd, "file", O_RDWR | O_CREAT | O_EXCL, 0640, WEFT_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &info), 0);
    CHECK_EQ(info.st_mode & 0777, 0640);
    CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQ(weft_openat(folder->fd, "file", O_CREAT | O_EXCL, 0600, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_write_all(fd, "text", 4, WEFT_FOREVER), 4);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    CHECK_EQ(weft_fsync(fd, weft_after(3600 * WEFT_SECOND)), 0);

    (void)snprintf(path, sizeof path, "%s/file", folder->path);
    again = weft_openat(AT_FDCWD, path, O_RDONLY, 0, WEFT_FOREVER);
    CHECK(again >= 0);
    CHECK_EQ(fstat(again, &info), 0);
    CHECK_EQ(info.st_size, 4);
    CHECK_EQ(weft_write(again, "x", 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_close(again), 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_openat(folder->fd, "file/below", O_RDONLY, 0, WEFT_FOREVER), -ENOTDIR);
    CHECK_EQ(weft_openat(-5, "file", O_RDONLY, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(unlinkat(folder->fd, "file", 0), 0);
    return 0;
}

/* Flags, mode and folder reach the kernel, and no descriptor leaks into a program started later. */
WORKER_TEST(io_file, openat_opens_and_creates, TEST_TIMEOUT_S)
{
    struct folder folder = make_folder();

    cr_expect_eq(run_workers(*workers, open_files, &folder), 0);
    remove_folder(&folder);
}

static int write_to_fifo(void *arg)
{
    struct folder *folder = arg;
    int writing = weft_openat(folder->fd, "fifo", O_WRONLY, 0, WEFT_FOREVER);

    CHECK(writing >= 0);
    CHECK_EQ(weft_write_all(writing, "x", 1, WEFT_FOREVER), 1);
    return weft_close(writing);
}

static int open_fifo(void *arg)
{
    struct folder *folder = arg;
    int reading = weft_openat(folder->fd, "fifo", O_RDONLY, 0, WEFT_FOREVER);
    weft_fiber *writer;
    char byte = 0;

    CHECK(reading >= 0);
    writer = must_spawn(write_to_fifo, folder);
    CHECK_EQ(weft_poll_fd(reading, POLLIN, WEFT_FOREVER) & POLLIN, POLLIN);
    CHECK_EQ(weft_read(reading, &byte, 1, WEFT_FOREVER), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(must_join(writer), 0);
    return weft_close(reading);
}

/* A FIFO opens without waiting for its other side, as documented; what is read from it waits in
 * the fiber only, so that the other side can come from the same worker. */
WORKER_TEST(io_file, a_fifo_opens_at_once, TEST_TIMEOUT_S)
{
    struct folder folder = make_folder();

    cr_assert_eq(mkfifoat(folder.fd, "fifo", 0600), 0);
    cr_expect_eq(run_workers(*workers, open_fifo, &folder), 0);
    cr_assert_eq(unlinkat(folder.fd, "fifo", 0), 0);
    remove_folder(&folder);
}

static int use_errors(void *arg)
{
    struct folder *folder = arg;
    char byte;
    int fds[2];

    CHECK_EQ(weft_read(folder->fd, &byte, 1, WEFT_FOREVER), -EISDIR);
    CHECK_EQ(weft_fsync(-1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_pread(-1, &byte, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_pwrite(-1, &byte, 1, 0, WEFT_FOREVER), -EBADF);
    make_pipe(fds);
    CHECK_EQ(weft_fsync(fds[0], WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

/* Errors of files are those of the system calls too. */
WORKER_TEST(io_file, errors_are_those_of_the_system_calls, TEST_TIMEOUT_S)
{
    struct folder folder = make_folder();

    cr_expect_eq(run_workers(*workers, use_errors, &folder), 0);
    remove_folder(&folder);
}

static int close_when_cancelled(void *arg)
{
    int *fds = arg;
    char byte;

    weft_cancel(weft_self());
    CHECK_EQ(weft_close(fds[1]), 0);
    /* The end of file shows it.  The number itself may be a spare worker's by now. */
    CHECK_EQ(read(fds[0], &byte, 1), 0);
    return weft_close(fds[0]);
}

static int spawn_closer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        int fds[2];
        make_pipe(fds);
        CHECK_EQ(must_join(must_spawn(close_when_cancelled, fds)), 0);
    }
    return 0;
}

/* Cleanup runs in cancelled fibers: a close that is refused there leaks the descriptor. */
WORKER_TEST(io_file, close_works_in_a_cancelled_fiber, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, spawn_closer, NULL), 0);
}

static atomic_bool is_closed;

static void *open_once_closed(void *arg)
{
    int fds[2];

    (void)arg;
    /* relaxed: nothing but the descriptors' numbers shall pass from one thread to the other. */
    while (!atomic_load_explicit(&is_closed, memory_order_relaxed))
        usleep(1000);
    make_pipe(fds);
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(close(fds[1]), 0);
    return NULL;
}

static int close_beside_a_thread(void *arg)
{
    pthread_t thread;
    int fds[2];

    (void)arg;
    /* relaxed: the thread is not there yet. */
    atomic_store_explicit(&is_closed, false, memory_order_relaxed);
    CHECK_EQ(pthread_create(&thread, NULL, open_once_closed, NULL), 0);
    make_pipe(fds);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    /* relaxed: as above. */
    atomic_store_explicit(&is_closed, true, memory_order_relaxed);
    return pthread_join(thread, NULL);
}

/* A thread sanitizer follows descriptors through open(2) and close(2): of weft_close() it has to be
 * told, or it takes who gets the number next for somebody who still uses the old one. */
WORKER_TEST(io_file, a_closed_number_is_anybodys, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, close_beside_a_thread, NULL), 0);
}
