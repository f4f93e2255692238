/* SPDX-License-Identifier: MIT */
/* See io_program.h: files, and what else has a name. */
#define _GNU_SOURCE 1

#include "../support/check.h"
#include "../support/net.h"
#include "io_fault.h"
#include "io_program.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

static int file;

static void begin_files(void)
{
    file = make_file("......", IO_BYTES);
    io_fault_concern(file, IO_FAULT_CALLS);
}

static void end_files(void)
{
    CHECK_EQ(weft_close(file), 0);
}

static void write_at(const char *bytes)
{
    ssize_t n;

    for (ssize_t at = 0; at < IO_BYTES; at += n)
        n = AGAIN(weft_pwrite(file, bytes + at, (size_t)(IO_BYTES - at), at, WEFT_FOREVER));
}

static void use_offsets(void)
{
    char got[IO_BYTES] = "";
    ssize_t n;

    write_at(io_text);
    for (ssize_t at = 0; at < IO_BYTES; at += n) {
        n = AGAIN(weft_pread(file, got + at, (size_t)(IO_BYTES - at), at, WEFT_FOREVER));
        CHECK(n > 0);
    }
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
    write_at("......");
    for (ssize_t at = 0; at < IO_BYTES; at += n) {
        struct iovec parts[2] = {{(char *)io_text + at, 1}, {(char *)io_text + at + 1, 0}};

        parts[1].iov_len = (size_t)(IO_BYTES - at - 1);
        n = AGAIN(weft_pwritev(file, parts, 2, at, WEFT_FOREVER));
    }
    for (ssize_t at = 0; at < IO_BYTES; at += n) {
        struct iovec part = {got + at, (size_t)(IO_BYTES - at)};

        n = AGAIN(weft_preadv(file, &part, 1, at, WEFT_FOREVER));
        CHECK(n > 0);
    }
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
}

static void use_files(void)
{
    use_offsets();
    CHECK_EQ(AGAIN(weft_fsync(file, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_fdatasync(file, WEFT_FOREVER)), 0);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    CHECK_EQ(AGAIN(weft_write_all(file, io_text, IO_BYTES, WEFT_FOREVER)), IO_BYTES);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    io_expect_text(file);
}

const struct io_part io_files = {.name = "files",
                                 .begin = begin_files,
                                 .use = use_files,
                                 .end = end_files,
                                 .can_be_short = true};

static struct {
    char path[32];
    int fd;
} folder;

static void begin_names(void)
{
    (void)snprintf(folder.path, sizeof folder.path, "/tmp/weft-fault-XXXXXX");
    CHECK(mkdtemp(folder.path) != NULL);
    folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    io_fault_concern(folder.fd, IO_FAULT_CALLS);
}

static void end_names(void)
{
    CHECK_EQ(weft_close(folder.fd), 0);
    CHECK_EQ(rmdir(folder.path), 0);
}

static int create(const char *name)
{
    int fd = (int)AGAIN(
        weft_openat(folder.fd, name, O_RDWR | O_CREAT | O_EXCL, 0600, WEFT_FOREVER));

    io_fault_concern(fd, IO_FAULT_ALL);
    return fd;
}

static void use_contents(int fd, int copy)
{
    off_t from = 0, to = 0;
    struct statx status;
    char got[IO_BYTES];

    CHECK_EQ(AGAIN(weft_fallocate(fd, 0, 0, 2 * IO_BYTES, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_statx(folder.fd, "a", 0, STATX_SIZE | STATX_TYPE, &status, WEFT_FOREVER)),
             0);
    CHECK(S_ISREG(status.stx_mode) && status.stx_size == 2 * IO_BYTES);
    CHECK_EQ(AGAIN(weft_ftruncate(fd, 0, WEFT_FOREVER)), 0);
    CHECK_EQ(pwrite(fd, io_text, IO_BYTES, 0), IO_BYTES);
    while (from < IO_BYTES)
        CHECK(AGAIN(weft_copy_file_range(fd, &from, copy, &to, (size_t)(IO_BYTES - from), 0,
                                         WEFT_FOREVER)) > 0);
    CHECK_EQ(pread(copy, got, IO_BYTES, 0), IO_BYTES);
    CHECK(memcmp(got, io_text, IO_BYTES) == 0);
}

static int count_entries(void)
{
    struct weft_dir_entry entry;
    weft_dir *dir;
    int count = 0;

    CHECK_EQ(AGAIN(weft_dir_open(&dir, folder.fd, ".", WEFT_FOREVER)), 0);
    while (AGAIN(weft_dir_next(dir, &entry, WEFT_FOREVER)) > 0)
        count++;
    weft_dir_close(dir);
    return count;
}

static void use_names(void)
{
    int dir = folder.fd, fd = create("a"), copy = create("b");
    char target[8];

    use_contents(fd, copy);
    io_close(fd);
    io_close(copy);
    CHECK_EQ(AGAIN(weft_mkdirat(dir, "d", 0700, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_linkat(dir, "a", dir, "l", 0, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_symlinkat("a", dir, "s", WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_readlinkat(dir, "s", target, sizeof target, WEFT_FOREVER)), 1);
    CHECK_EQ(AGAIN(weft_renameat(dir, "a", dir, "b", 0, WEFT_FOREVER)), 0);
    CHECK_EQ(count_entries(), 4);
    CHECK_EQ(AGAIN(weft_unlinkat(dir, "b", 0, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_unlinkat(dir, "l", 0, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_unlinkat(dir, "s", 0, WEFT_FOREVER)), 0);
    CHECK_EQ(AGAIN(weft_unlinkat(dir, "d", AT_REMOVEDIR, WEFT_FOREVER)), 0);
    CHECK_EQ(count_entries(), 0);
}

const struct io_part io_names = {.name = "names",
                                 .begin = begin_names,
                                 .use = use_names,
                                 .end = end_names,
                                 .can_be_short = true};

static int pair[2], pipe_ends[2], copy_ends[2];

static void begin_splices(void)
{
    file = make_file(io_text, IO_BYTES);
    make_socket_pair(pair);
    make_pipe(pipe_ends);
    make_pipe(copy_ends);
    io_fault_concern(file, IO_FAULT_CALLS);
    io_fault_concern(pair[0], IO_FAULT_CALLS);
    io_fault_concern(pair[1], IO_FAULT_CALLS);
    io_fault_concern(pipe_ends[0], IO_FAULT_CALLS);
}

static void end_splices(void)
{
    end_files();
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_close(pair[i]), 0);
        CHECK_EQ(weft_close(pipe_ends[i]), 0);
        CHECK_EQ(weft_close(copy_ends[i]), 0);
    }
}

/* Of a file, by its own offset and by one beside it. */
static void use_sendfile(void)
{
    ssize_t left = IO_BYTES;
    off_t offset = 0;

    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    while (left > 0)
        left -= AGAIN(weft_sendfile(pair[0], file, NULL, (size_t)left, WEFT_FOREVER));
    io_expect_text(pair[1]);
    while (offset < IO_BYTES)
        (void)AGAIN(
            weft_sendfile(pair[0], file, &offset, (size_t)(IO_BYTES - offset), WEFT_FOREVER));
}

/* From the file by a socket and a pipe to another one, and from there to both. */
static void use_splices(void)
{
    off_t offset = 0;

    use_sendfile();
    for (ssize_t length = 0; length < IO_BYTES;)
        length += AGAIN(weft_splice(pair[1], NULL, pipe_ends[1], NULL, IO_BYTES, 0, WEFT_FOREVER));
    for (ssize_t length = 0, n; length < IO_BYTES; length += n) {
        n = AGAIN(weft_tee(pipe_ends[0], copy_ends[1], IO_BYTES, 0, WEFT_FOREVER));
        for (ssize_t left = n; left > 0;)
            left -= AGAIN(
                weft_splice(pipe_ends[0], NULL, pair[1], NULL, (size_t)left, 0, WEFT_FOREVER));
    }
    io_expect_text(copy_ends[0]);
    io_expect_text(pair[0]);
    while (offset < IO_BYTES)
        (void)AGAIN(weft_splice(file, &offset, pipe_ends[1], NULL, (size_t)(IO_BYTES - offset), 0,
                                WEFT_FOREVER));
    io_expect_text(pipe_ends[0]);
}

const struct io_part io_splices = {.name = "splices",
                                   .begin = begin_splices,
                                   .use = use_splices,
                                   .end = end_splices,
                                   .can_be_short = true};

/* A child that was not to be waited for can be waited for again. */
static void use_processes(void)
{
    char program[] = "true", *arguments[] = {program, NULL};
    int status = -1;
    pid_t pid;

    CHECK_EQ(AGAIN(weft_process_spawn(&pid, program, NULL, NULL, arguments, environ, WEFT_FOREVER)),
             0);
    CHECK_EQ(AGAIN(weft_process_wait(pid, &status, WEFT_FOREVER)), 0);
    CHECK_EQ(status, 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

const struct io_part io_processes = {
    .name = "processes", .use = use_processes, .about = IO_FAULT_PROCESSES};

/* Caller has it blocked in all threads. */
static void use_signals(void)
{
    struct weft_signal got;
    sigset_t set;

    CHECK_EQ(sigemptyset(&set), 0);
    CHECK_EQ(sigaddset(&set, SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(AGAIN(weft_signal_wait(&set, &got, WEFT_FOREVER)), 0);
    CHECK_EQ(got.number, SIGUSR1);
}

const struct io_part io_signals = {
    .name = "signals", .use = use_signals, .about = IO_FAULT_SIGNALS};

static void use_lookups(void)
{
    struct addrinfo *found;

    CHECK_EQ(AGAIN(weft_resolve("127.0.0.1", NULL, NULL, &found, WEFT_FOREVER)), 0);
    freeaddrinfo(found);
}

const struct io_part io_lookups = {.name = "lookups", .use = use_lookups, .about = IO_FAULT_NAMES};

static void use_new_fds(void)
{
    int ends[2];

    CHECK_EQ(AGAIN(weft_pipe(ends)), 0);
    CHECK(weft_close(ends[0]) == 0 && weft_close(ends[1]) == 0);
    CHECK_EQ(weft_close((int)AGAIN(weft_listen_tcp("127.0.0.1", 0))), 0);
}

const struct io_part io_new_fds = {
    .name = "new descriptors", .use = use_new_fds, .about = IO_FAULT_NEW_FDS};
