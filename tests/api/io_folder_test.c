/* SPDX-License-Identifier: MIT */
/* Calls on names within a folder whose descriptor is closed while they wait for their turn. */
#define _GNU_SOURCE 1

#include "../support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two folders that hold the same names: "file", "link" and "sub", which has one entry. */
static const char *const folders[] = {"first", "second"};

struct queued {
    int (*call)(int fd, int other);
    int fd, other;
    int result;
    _Atomic(int) has_begun, may_end, is_closed;
};

static int call_statx(int fd, int other)
{
    struct statx status = {.stx_size = 0};
    int error = weft_statx(fd, "file", 0, STATX_SIZE, &status, WEFT_FOREVER);

    (void)other;
    return error != 0 ? error : (int)status.stx_size;
}

static int call_openat(int fd, int other)
{
    int file = weft_openat(fd, "file", O_RDONLY, 0, WEFT_FOREVER);
    int size = file < 0 ? file : (int)lseek(file, 0, SEEK_END);

    (void)other;
    if (file >= 0)
        CHECK_EQ(weft_close(file), 0);
    return size;
}

static int call_readlinkat(int fd, int other)
{
    char target[16];

    (void)other;
    return (int)weft_readlinkat(fd, "link", target, sizeof target, WEFT_FOREVER);
}

static int call_dir_open(int fd, int other)
{
    struct weft_dir_entry entry;
    weft_dir *dir;
    int result = weft_dir_open(&dir, fd, "sub", WEFT_FOREVER);

    (void)other;
    if (result != 0)
        return result;
    CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 1);
    result = entry.name[0] - '0';
    weft_dir_close(dir);
    return result;
}

/* 1 if the first folder has the name, else 2. */
static int folder_of(const char *name)
{
    struct stat status;

    return fstatat(AT_FDCWD, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? 1 : 2;
}

static int call_unlinkat(int fd, int other)
{
    int error = weft_unlinkat(fd, "file", 0, WEFT_FOREVER);

    (void)other;
    return error != 0 ? error : 3 - folder_of("first/file");
}

static int call_mkdirat(int fd, int other)
{
    int error = weft_mkdirat(fd, "new", 0700, WEFT_FOREVER);

    (void)other;
    return error != 0 ? error : folder_of("first/new");
}

static int call_symlinkat(int fd, int other)
{
    int error = weft_symlinkat("target", fd, "new", WEFT_FOREVER);

    (void)other;
    return error != 0 ? error : folder_of("first/new");
}

static int call_rename_from(int fd, int other)
{
    int error = weft_renameat(fd, "file", other, "new", 0, WEFT_FOREVER);

    return error != 0 ? error : 3 - folder_of("first/file");
}

static int call_rename_to(int fd, int other)
{
    int error = weft_renameat(other, "file", fd, "new", 0, WEFT_FOREVER);

    return error != 0 ? error : folder_of("first/new");
}

static int call_link_from(int fd, int other)
{
    struct stat status;
    int error = weft_linkat(fd, "file", other, "new", 0, WEFT_FOREVER);

    if (error == 0 && fstatat(other, "new", &status, 0) != 0)
        error = -errno;
    return error != 0 ? error : (int)status.st_size;
}

static int call_link_to(int fd, int other)
{
    int error = weft_linkat(other, "file", fd, "new", 0, WEFT_FOREVER);

    return error != 0 ? error : folder_of("first/new");
}

/* Each returns 1 if it was about the first folder, 2 if about the second; or a negative errno:
 * -EBADF is what is wanted of a call that had not begun when the close did. */
static int (*const calls[])(int fd, int other) = {
    call_statx,     call_openat,      call_readlinkat, call_dir_open,  call_unlinkat, call_mkdirat,
    call_symlinkat, call_rename_from, call_rename_to,  call_link_from, call_link_to,
};

static void must(int result)
{
    if (result < 0)
        check_fail(__FILE__, __LINE__, "%s", strerror(errno));
}

static void make_folder(int number)
{
    char entry[] = "sub/0";
    int folder, file;

    must(mkdir(folders[number - 1], 0700));
    folder = open(folders[number - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(folder);
    file = openat(folder, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    must(file);
    CHECK_EQ(write(file, "12", (size_t)number), number);
    must(close(file));
    must(symlinkat(number == 1 ? "1" : "12", folder, "link"));
    must(mkdirat(folder, "sub", 0700));
    entry[4] += (char)number;
    must(mkdirat(folder, entry, 0700));
    must(close(folder));
}

/* Keeps the only thread of the pool. */
static int keep(void *arg)
{
    struct queued *queued = arg;

    atomic_store(&queued->has_begun, 1);
    while (!atomic_load(&queued->may_end))
        (void)usleep(100);
    return 0;
}

static int keep_the_pool(void *arg)
{
    return weft_blocking(keep, arg, WEFT_FOREVER);
}

static int make_call(void *arg)
{
    struct queued *queued = arg;

    atomic_store(&queued->has_begun, 2);
    queued->result = queued->call(queued->fd, queued->other);
    return 0;
}

static int close_and_reuse(void *arg)
{
    struct queued *queued = arg;
    int second = open("second", O_RDONLY | O_DIRECTORY | O_CLOEXEC), number;

    must(second);
    CHECK_EQ(weft_close(queued->fd), 0);
    number = fcntl(second, F_DUPFD_CLOEXEC, queued->fd);
    CHECK_EQ(number, queued->fd);
    must(close(second));
    atomic_store(&queued->is_closed, 1);
    return 0;
}

static void await(_Atomic(int) *value, int wanted)
{
    while (atomic_load(value) != wanted)
        CHECK_EQ(weft_sleep(100 * WEFT_MICROSECOND), 0);
}

/* The call is queued for the pool, the descriptor closed, and its number used for another folder.
 * The pauses give a close that does not wait the time to be first; without them it only may be. */
static int close_while_queued(void *arg)
{
    struct queued queued = {.call = *(int (**)(int, int))arg};
    weft_fiber *keeper, *caller, *closer;

    queued.fd = open("first", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    queued.other = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(queued.fd);
    must(queued.other);
    keeper = must_spawn(keep_the_pool, &queued);
    await(&queued.has_begun, 1);
    caller = must_spawn(make_call, &queued);
    await(&queued.has_begun, 2);
    CHECK_EQ(weft_sleep(2 * WEFT_MILLISECOND), 0);
    closer = must_spawn(close_and_reuse, &queued);
    for (int i = 0; i < 20 && !atomic_load(&queued.is_closed); i++)
        CHECK_EQ(weft_sleep(WEFT_MILLISECOND), 0);
    atomic_store(&queued.may_end, 1);
    CHECK_EQ(must_join(keeper), 0);
    CHECK_EQ(must_join(caller), 0);
    CHECK_EQ(must_join(closer), 0);
    must(close(queued.fd));
    must(close(queued.other));
    return queued.result;
}

/* The pool is busy, and there is one worker: whoever has begun a call is in its queue when another
 * fiber runs. */
static void check_all(uint32_t backend)
{
    struct weft_config config = {
        .workers = 1, .blocking_threads = 1, .backend = backend, .monitor = 3};
    char path[] = "/tmp/weft-folder-XXXXXX";

    cr_assert_not_null(mkdtemp(path));
    cr_assert_eq(chdir(path), 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int (*call)(int, int) = calls[i];
        int result;

        make_folder(1);
        make_folder(2);
        cr_assert_eq(link("second/file", "file"), 0);
        result = run_config(&config, close_while_queued, &call);
        /* An open needs no pool on io_uring, and can be faster than the close. */
        cr_expect(result == -EBADF || (result == 1 && call == call_openat), "call %zu: %d", i,
                  result);
        cr_assert_eq(system("rm -rf first second file new"), 0);
    }
    cr_assert_eq(chdir("/"), 0);
    cr_expect_eq(rmdir(path), 0);
}

Test(io_folder, what_is_queued_does_not_begin_after_the_close, .timeout = TEST_TIMEOUT_S)
{
    check_all(0);
}

Test(io_folder, on_epoll_too, .timeout = TEST_TIMEOUT_S)
{
    check_all(WEFT_BACKEND_EPOLL);
}
