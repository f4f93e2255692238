/* SPDX-License-Identifier: MIT */
/* file.h: files by name, and folders. */
#define _GNU_SOURCE 1

#include "../support/child.h"
#include "../support/fixture.h"
#include "../support/forbid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of its own for each test, its descriptor in `fd`. */
struct folder {
    char path[32];
    int fd;
};

static struct folder make_folder(void)
{
    struct folder folder = {"/tmp/weft-file-XXXXXX", -1};

    CHECK(mkdtemp(folder.path) != NULL);
    folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(folder.fd >= 0);
    return folder;
}

static void remove_folder(const struct folder *folder)
{
    CHECK_EQ(close(folder->fd), 0);
    CHECK_EQ(rmdir(folder->path), 0);
}

static int create(const struct folder *folder, const char *name)
{
    int fd = openat(folder->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    return fd;
}

static int use_names(void *arg)
{
    struct folder folder = make_folder();
    int dir = folder.fd;
    struct statx status;
    char target[16] = "";

    (void)arg;
    CHECK_EQ(close(create(&folder, "a")), 0);
    CHECK_EQ(weft_mkdirat(dir, "d", 0700, WEFT_FOREVER), 0);
    CHECK_EQ(weft_mkdirat(dir, "d", 0700, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_statx(dir, "d", 0, STATX_TYPE | STATX_MODE, &status, WEFT_FOREVER), 0);
    CHECK(S_ISDIR(status.stx_mode) && (status.stx_mode & 0777) == 0700);
    CHECK_EQ(weft_linkat(dir, "a", dir, "d/b", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_statx(dir, "a", 0, STATX_NLINK, &status, WEFT_FOREVER), 0);
    CHECK_EQ(status.stx_nlink, 2);
    CHECK_EQ(weft_symlinkat("d/b", dir, "s", WEFT_FOREVER), 0);
    CHECK_EQ(weft_readlinkat(dir, "s", target, sizeof target, WEFT_FOREVER), 3);
    CHECK(strcmp(target, "d/b") == 0);
    CHECK_EQ(weft_readlinkat(dir, "s", target, 2, WEFT_FOREVER), 2);
    CHECK_EQ(weft_readlinkat(dir, "a", target, 2, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_renameat(dir, "a", dir, "s", RENAME_NOREPLACE, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_renameat(dir, "a", dir, "c", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(dir, "a", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_unlinkat(dir, "d", 0, WEFT_FOREVER), -EISDIR);
    CHECK_EQ(weft_unlinkat(dir, "d", AT_REMOVEDIR, WEFT_FOREVER), -ENOTEMPTY);
    CHECK_EQ(weft_unlinkat(dir, "d/b", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(dir, "d", AT_REMOVEDIR, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(dir, "c", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(dir, "s", 0, WEFT_FOREVER), 0);
    remove_folder(&folder);
    return 0;
}

WORKER_TEST(file, names_come_and_go, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_names, NULL), 0);
}

/* There it blocks the thread instead. */
Test(file, plain_threads_may_call, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(use_names(NULL), 0);
}

static int use_sizes(void *arg)
{
    struct folder folder = make_folder();
    int fd = create(&folder, "a"), copy = create(&folder, "b");
    off_t from = 1000, to = 5;
    struct statx status;
    char byte = 'a';

    (void)arg;
    CHECK_EQ(weft_fallocate(fd, 0, 0, 4096, WEFT_FOREVER), 0);
    CHECK_EQ(weft_fallocate(fd, 0, -1, 4096, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &status, WEFT_FOREVER), 0);
    CHECK_EQ(status.stx_size, 4096);
    CHECK_EQ(weft_ftruncate(fd, 1001, WEFT_FOREVER), 0);
    CHECK_EQ(weft_ftruncate(fd, -1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(pwrite(fd, "x", 1, 1000), 1);
    CHECK_EQ(weft_copy_file_range(fd, &from, copy, &to, 100, 0, WEFT_FOREVER), 1);
    CHECK(from == 1001 && to == 6);
    CHECK_EQ(weft_copy_file_range(fd, &from, copy, &to, 100, 0, WEFT_FOREVER), 0);
    CHECK_EQ(pread(copy, &byte, 1, 5), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(weft_copy_file_range(fd, NULL, copy, NULL, 2000, 0, WEFT_FOREVER), 1001);
    CHECK_EQ(lseek(copy, 0, SEEK_CUR), 1001);
    CHECK_EQ(weft_copy_file_range(-1, NULL, copy, NULL, 1, 0, WEFT_FOREVER), -EBADF);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(close(copy), 0);
    CHECK_EQ(weft_unlinkat(folder.fd, "a", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(folder.fd, "b", 0, WEFT_FOREVER), 0);
    remove_folder(&folder);
    return 0;
}

WORKER_TEST(file, sizes_and_copies, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, use_sizes, NULL), 0);
}

enum { ENTRIES = 800 }; /* more than one buffer holds */

static int list_folder(void *arg)
{
    struct folder folder = make_folder();
    static bool seen[ENTRIES];
    struct weft_dir_entry entry;
    weft_dir *dir;
    char name[40];
    int count = 0, result;

    (void)arg;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < ENTRIES; i++) {
        (void)snprintf(name, sizeof name, "a-name-of-some-length-%d", i);
        CHECK_EQ(close(create(&folder, name)), 0);
    }
    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, folder.path, WEFT_FOREVER), 0);
    while ((result = weft_dir_next(dir, &entry, WEFT_FOREVER)) > 0) {
        int i = atoi(entry.name + strlen("a-name-of-some-length-"));

        CHECK(i >= 0 && i < ENTRIES && !seen[i]);
        CHECK(entry.type == DT_REG || entry.type == DT_UNKNOWN);
        CHECK(entry.inode != 0);
        seen[i] = true;
        count++;
        CHECK_EQ(weft_unlinkat(folder.fd, entry.name, 0, WEFT_FOREVER), 0);
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 0);
    CHECK_EQ(count, ENTRIES);
    weft_dir_close(dir);
    weft_dir_close(NULL);
    remove_folder(&folder);
    return 0;
}

/* Each entry once, over many buffers, also when those that were seen are removed meanwhile. */
WORKER_TEST(file, a_folder_is_listed, TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(*workers, list_folder, NULL), 0);
}

static int list_what_cannot_be(void *arg)
{
    struct weft_dir_entry entry;
    weft_dir *dir = NULL;

    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, "/tmp/weft-no-such-folder", WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, "/proc/self/stat", WEFT_FOREVER), -ENOTDIR);
    CHECK(dir == NULL);
    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, "/proc/self/task", WEFT_FOREVER), 0);
    CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 1);
    weft_cancel(weft_self());
    while ((*(int *)arg = weft_dir_next(dir, &entry, WEFT_FOREVER)) > 0)
        continue;
    weft_dir_close(dir);
    return 0;
}

/* What is in the buffer comes in a cancelled fiber, too; then the cancel is told. */
Test(file, a_listing_can_fail, .timeout = TEST_TIMEOUT_S)
{
    int result = 1;

    cr_expect_eq(run_workers(2, list_what_cannot_be, &result), 0);
    cr_expect_eq(result, -ECANCELED);
}

static int call_too_late(void *arg)
{
    struct statx status;

    (void)arg;
    CHECK_EQ(weft_mkdirat(AT_FDCWD, "/tmp/weft-never-made", 0700, 0), -ETIMEDOUT);
    weft_cancel(weft_self());
    CHECK_EQ(weft_mkdirat(AT_FDCWD, "/tmp/weft-never-made", 0700, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_statx(AT_FDCWD, "/", 0, STATX_TYPE, &status, WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(access("/tmp/weft-never-made", F_OK), -1);
    return 0;
}

/* What has not begun does not happen. */
Test(file, a_call_after_the_end_does_nothing, .timeout = TEST_TIMEOUT_S)
{
    cr_expect_eq(run_workers(1, call_too_late, NULL), 0);
}

static int use_names_without_threads(void *arg)
{
    forbid_threads();
    return use_names(arg);
}

CHILD(work_without_a_pool)
{
    struct weft_config config = {.workers = parameter, .monitor = 3};

    return weft_run(&config, use_names_without_threads, NULL);
}

/* Where no thread is to be had a file still can be. */
Test(file, without_a_pool_the_worker_calls, .timeout = TEST_TIMEOUT_S)
{
    struct child_end end;

    if (TEST_IS_SANITIZED)
        cr_skip_test("the sanitizer needs a thread of its own");
    run_child("work_without_a_pool", 1, environment_without_threads, &end);
    cr_expect_eq(end.exit_status, 0, "%s", end.output);
}
