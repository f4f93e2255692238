/* SPDX-License-Identifier: MIT */
/* What the simulated disk does: the same as a real one, and what the seed has befall it. */
#include "../sim/scenario.h"
#include "../support/child.h"
#include "../support/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEEDS_FOR_A_BUG = 1000,
    LARGE = 4000,
};

TestSuite(sim_disk, .init = forget_backend, .timeout = TEST_TIMEOUT_S);

#define DISK_TEST(name, faults, ppm) SIM_TEST(sim_disk, name, faults, ppm)

static int open_file(const char *name, int flags)
{
    char path[64];

    snprintf(path, sizeof path, SCENARIO_DISK "/%s", name);
    return weft_openat(AT_FDCWD, path, flags, 0640, WEFT_FOREVER);
}

static int must_create(const char *name)
{
    int fd = open_file(name, O_RDWR | O_CREAT | O_EXCL);

    CHECK(fd >= 0);
    return fd;
}

static void must_write(int fd, const char *text)
{
    CHECK_EQ(weft_write_all(fd, text, strlen(text), WEFT_FOREVER), strlen(text));
}

static void check_text(const char *name, const char *text)
{
    char found[64] = "";
    int fd = open_file(name, O_RDONLY);

    CHECK(fd >= 0);
    CHECK_EQ(weft_read(fd, found, sizeof found - 1, WEFT_FOREVER), strlen(text));
    CHECK_EQ(strcmp(found, text), 0);
    CHECK_EQ(weft_close(fd), 0);
}

static int open_disk(void)
{
    int fd = open_file("", O_RDONLY | O_DIRECTORY);

    CHECK(fd >= 0);
    return fd;
}

static void sync_names(void)
{
    int folder = open_disk();

    CHECK_EQ(weft_fsync(folder, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(folder), 0);
}

DISK_TEST(what_is_written_is_read, 0, 0)
{
    struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
    char text[16] = "";
    int fd = must_create("a");

    (void)arg;
    must_write(fd, "hello");
    CHECK_EQ(weft_pwrite(fd, "J", 1, 0, WEFT_FOREVER), 1);
    CHECK_EQ(weft_writev(fd, parts, 2, WEFT_FOREVER), 4);
    CHECK_EQ(weft_pread(fd, text, sizeof text, 0, WEFT_FOREVER), 9);
    CHECK_EQ(strcmp(text, "Jelloabcd"), 0);
    CHECK_EQ(weft_read(fd, text, sizeof text, WEFT_FOREVER), 0);
    CHECK_EQ(weft_poll_fd(fd, POLLIN | POLLOUT, WEFT_FOREVER), POLLIN | POLLOUT);
    CHECK_EQ(weft_recv(fd, text, 1, 0, WEFT_FOREVER), -ENOTSOCK);
    CHECK_EQ(weft_ftruncate(fd, 2, WEFT_FOREVER), 0);
    CHECK_EQ(weft_fallocate(fd, 0, 0, 4, WEFT_FOREVER), 0);
    CHECK_EQ(weft_pread(fd, text, sizeof text, 0, WEFT_FOREVER), 4);
    CHECK_EQ(memcmp(text, "Je\0", 4), 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_write(fd, "x", 1, WEFT_FOREVER), -EBADF);
    return 0;
}

DISK_TEST(flags_are_those_of_open, 0, 0)
{
    int fd = must_create("a");

    (void)arg;
    must_write(fd, "one");
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(open_file("a", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    CHECK_EQ(open_file("b", O_RDONLY), -ENOENT);
    CHECK_EQ(open_file("b/c", O_RDWR | O_CREAT), -ENOENT);
    CHECK_EQ(open_file("a/c", O_RDWR | O_CREAT), -ENOTDIR);
    CHECK_EQ(open_file("a", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    CHECK_EQ(open_file("", O_RDWR), -EISDIR);
    fd = open_file("a", O_WRONLY | O_APPEND);
    CHECK_EQ(weft_pwrite(fd, "two", 3, 0, WEFT_FOREVER), 3);
    CHECK_EQ(weft_read(fd, &(char){0}, 1, WEFT_FOREVER), -EBADF);
    CHECK_EQ(weft_close(fd), 0);
    check_text("./../simulated//a", "onetwo");
    fd = open_file("a", O_RDWR | O_TRUNC);
    CHECK_EQ(weft_read(fd, &(char){0}, 1, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

static void use_names(int disk)
{
    CHECK_EQ(weft_mkdirat(disk, "d", 0700, WEFT_FOREVER), 0);
    CHECK_EQ(weft_mkdirat(disk, "d", 0700, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_renameat(disk, "d", disk, "d/e", 0, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_renameat(disk, "a", disk, "d/a", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(disk, "d", AT_REMOVEDIR, WEFT_FOREVER), -ENOTEMPTY);
    CHECK_EQ(weft_unlinkat(disk, "d", 0, WEFT_FOREVER), -EISDIR);
    CHECK_EQ(weft_unlinkat(disk, "d/a", AT_REMOVEDIR, WEFT_FOREVER), -ENOTDIR);
    CHECK_EQ(weft_linkat(disk, "d/a", disk, "b", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_linkat(disk, "d/a", disk, "b", 0, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_renameat(disk, "b", disk, "d/a", RENAME_NOREPLACE, WEFT_FOREVER), -EEXIST);
    CHECK_EQ(weft_renameat(disk, "b", disk, "d/a", 0, WEFT_FOREVER), 0); /* one file: nothing */
    CHECK_EQ(weft_renameat(disk, "d", disk, "e", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_renameat(disk, "b", disk, "e", 0, WEFT_FOREVER), -EISDIR);
    CHECK_EQ(weft_renameat(disk, "c", disk, "b", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_symlinkat("b", disk, "l", WEFT_FOREVER), -EPERM);
    CHECK_EQ(weft_readlinkat(disk, "b", &(char){0}, 1, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_readlinkat(disk, "l", &(char){0}, 1, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_renameat(disk, "b", AT_FDCWD, "/tmp/weft-sim", 0, WEFT_FOREVER), -EXDEV);
}

DISK_TEST(names_are_those_of_a_file_system, 0, 0)
{
    int disk = open_disk(), fd = must_create("a");
    struct statx status;

    (void)arg;
    must_write(fd, "text");
    use_names(disk);
    CHECK_EQ(weft_statx(disk, "e/a", 0, STATX_BASIC_STATS, &status, WEFT_FOREVER), 0);
    CHECK_EQ(status.stx_nlink, 2);
    CHECK_EQ(status.stx_size, 4);
    CHECK_EQ(status.stx_mode, S_IFREG | 0640);
    CHECK_EQ(weft_unlinkat(disk, "b", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(disk, "e/a", 0, WEFT_FOREVER), 0);
    CHECK_EQ(weft_unlinkat(disk, "e/a", 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_statx(fd, "", AT_EMPTY_PATH, STATX_NLINK, &status, WEFT_FOREVER), 0);
    CHECK_EQ(status.stx_nlink, 0); /* and it is still there for those who have it open */
    CHECK_EQ(weft_statx(disk, "e", 0, STATX_BASIC_STATS, &status, WEFT_FOREVER), 0);
    CHECK(S_ISDIR(status.stx_mode));
    CHECK_EQ(weft_unlinkat(disk, "e", AT_REMOVEDIR, WEFT_FOREVER), 0);
    CHECK_EQ(weft_openat(disk, "a", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_openat(fd, "a", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_close(disk), 0);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

DISK_TEST(a_folder_is_listed, 0, 0)
{
    struct weft_dir_entry entry;
    char name[16];
    weft_dir *dir;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "f%d", i);
        CHECK_EQ(weft_close(must_create(name)), 0);
    }
    CHECK_EQ(weft_mkdirat(AT_FDCWD, SCENARIO_DISK "/d", 0755, WEFT_FOREVER), 0);
    CHECK_EQ(weft_close(must_create("d/below")), 0);
    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, SCENARIO_DISK "/f0", WEFT_FOREVER), -ENOTDIR);
    CHECK_EQ(weft_dir_open(&dir, AT_FDCWD, SCENARIO_DISK, WEFT_FOREVER), 0);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, i < 3 ? "f%d" : "d", i);
        CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 1);
        CHECK_EQ(strcmp(entry.name, name), 0);
    }
    CHECK_EQ(weft_dir_next(dir, &entry, WEFT_FOREVER), 0);
    weft_dir_close(dir);
    return 0;
}

/* Beside it, all is the kernel's: what only looks like the disk, and what the program opened. */
DISK_TEST(other_files_are_the_kernels, 0, 0)
{
    char text[8];
    int fd = weft_openat(AT_FDCWD, "/proc/self/comm", O_RDONLY, 0, WEFT_FOREVER);
    int file = must_create("a");

    (void)arg;
    CHECK(fd >= 0);
    CHECK(weft_read(fd, text, sizeof text, WEFT_FOREVER) > 0);
    CHECK_EQ(weft_copy_file_range(fd, NULL, file, NULL, 4, 0, WEFT_FOREVER), -EXDEV);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_close(file), 0);
    CHECK_EQ(weft_openat(AT_FDCWD, SCENARIO_DISK "s", O_RDONLY, 0, WEFT_FOREVER), -ENOENT);
    CHECK_EQ(weft_openat(AT_FDCWD, SCENARIO_DISK "/../simulate", O_RDONLY, 0, WEFT_FOREVER),
             -ENOENT);
    return 0;
}

DISK_TEST(files_are_copied, 0, 0)
{
    int from = must_create("a"), to = must_create("b");
    off_t offset = 1;

    (void)arg;
    must_write(from, "hello");
    CHECK_EQ(weft_copy_file_range(from, &offset, to, NULL, 3, 0, WEFT_FOREVER), 3);
    CHECK_EQ(offset, 4);
    check_text("b", "ell");
    CHECK_EQ(weft_close(from), 0);
    CHECK_EQ(weft_close(to), 0);
    return 0;
}

/* Without WEFT_SIM_TORN exactly what was synced is left. */
DISK_TEST(a_crash_leaves_what_is_certain, 0, 0)
{
    int fd = must_create("a"), other = must_create("lost");

    (void)arg;
    must_write(fd, "certain");
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    sync_names();
    must_write(fd, " or not");
    CHECK_EQ(weft_close(must_create("new")), 0);
    CHECK_EQ(weft_unlinkat(AT_FDCWD, SCENARIO_DISK "/lost", 0, WEFT_FOREVER), 0);
    CHECK_EQ(
        weft_renameat(AT_FDCWD, SCENARIO_DISK "/a", AT_FDCWD, SCENARIO_DISK "/b", 0, WEFT_FOREVER),
        0);
    CHECK_EQ(weft_sim_crash(), 0);
    CHECK_EQ(weft_write(fd, "x", 1, WEFT_FOREVER), -EIO);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), -EIO);
    CHECK_EQ(weft_ftruncate(fd, 0, WEFT_FOREVER), -EIO);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_close(other), 0);
    CHECK_EQ(open_file("new", O_RDONLY), -ENOENT);
    CHECK_EQ(open_file("b", O_RDONLY), -ENOENT);
    check_text("a", "certain");
    check_text("lost", "");
    return 0;
}

DISK_TEST(what_is_written_synchronously_is_certain, 0, 0)
{
    int fd = open_file("a", O_WRONLY | O_CREAT | O_DSYNC);

    (void)arg;
    must_write(fd, "text");
    sync_names();
    CHECK_EQ(weft_sim_crash(), 0);
    CHECK_EQ(weft_close(fd), 0);
    check_text("a", "text");
    return 0;
}

static int sync_it(void *arg)
{
    return weft_fsync(*(int *)arg, WEFT_FOREVER);
}

/* The sync is told that it did not come to its end, and cannot be cancelled before. */
DISK_TEST(a_crash_meets_a_sync, 0, 0)
{
    int fd = must_create("a"), result;
    weft_fiber *fiber;

    (void)arg;
    must_write(fd, "text");
    sync_names();
    fiber = must_spawn(sync_it, &fd);
    (void)weft_yield();
    CHECK_EQ(weft_sim_crash(), 0);
    weft_cancel(fiber);
    CHECK_EQ(weft_join(fiber, &result, WEFT_FOREVER), 0);
    CHECK(result == -EIO || result == -ECANCELED);
    CHECK_EQ(weft_close(fd), 0);
    check_text("a", "");
    return 0;
}

/* Old bytes or new ones, and never others, sector by sector; and each of these does happen. */
static int overwrite_and_crash(void *arg)
{
    char old[LARGE], new[LARGE], found[LARGE];
    int fd = must_create("a");
    unsigned *seen = arg, news = 0;

    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    CHECK_EQ(weft_write_all(fd, old, LARGE, WEFT_FOREVER), LARGE);
    CHECK_EQ(weft_fsync(fd, WEFT_FOREVER), 0);
    sync_names();
    CHECK_EQ(weft_pwrite(fd, new, LARGE, 0, WEFT_FOREVER), LARGE);
    CHECK_EQ(weft_sim_crash(), 0);
    CHECK_EQ(weft_close(fd), 0);
    fd = open_file("a", O_RDONLY);
    CHECK_EQ(weft_read_exact(fd, found, LARGE, WEFT_FOREVER), LARGE);
    CHECK_EQ(weft_close(fd), 0);
    for (int i = 0; i < LARGE; i += 512) {
        size_t length = i + 512 < LARGE ? 512 : (size_t)(LARGE - i);

        CHECK(memcmp(found + i, old, length) == 0 || memcmp(found + i, new, length) == 0);
        news += found[i] == 'n';
    }
    *seen |= news == 0 ? 1 : news == (LARGE + 511) / 512 ? 2 : 4;
    return 0;
}

Test(sim_disk, a_crash_tears_what_is_not_certain)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;
    unsigned seen = 0;

    options.faults = WEFT_SIM_TORN;
    options.disk = SCENARIO_DISK;
    for (options.seed = 1; options.seed <= 2 * SIMULATE_SEEDS; options.seed++)
        cr_assert_eq(simulate(&options, overwrite_and_crash, &seen), 0);
    cr_expect_eq(seen, 7);
}

DISK_TEST(a_failed_sync_is_not_made_good_by_the_next, WEFT_SIM_IO_ERROR, 200000)
{
    int fd, error;

    (void)arg;
    while ((fd = open_file("a", O_RDWR | O_CREAT)) == -EIO)
        ;
    CHECK(fd >= 0);
    while (weft_write(fd, "x", 1, WEFT_FOREVER) == -EIO)
        ;
    if (weft_fsync(fd, WEFT_FOREVER) != -EIO) {
        CHECK_EQ(weft_close(fd), 0);
        return 0;
    }
    while ((error = weft_fsync(fd, WEFT_FOREVER)) == -EIO)
        ;
    CHECK_EQ(error, 0);
    for (int i = 0; i < 2; i++) {
        int disk;

        while ((disk = open_file("", O_RDONLY | O_DIRECTORY)) == -EIO)
            ;
        while (weft_fsync(disk, WEFT_FOREVER) == -EIO)
            ;
        CHECK_EQ(weft_close(disk), 0);
    }
    CHECK_EQ(weft_sim_crash(), 0);
    CHECK_EQ(weft_close(fd), 0);
    while ((fd = open_file("a", O_RDONLY)) == -EIO)
        ;
    while ((error = (int)weft_read(fd, &(char){0}, 1, WEFT_FOREVER)) == -EIO)
        ;
    CHECK_EQ(error, 0);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

DISK_TEST(a_full_disk_says_so, WEFT_SIM_NO_SPACE, 1000000)
{
    (void)arg;
    CHECK_EQ(open_file("a", O_RDWR | O_CREAT), -ENOSPC);
    CHECK_EQ(weft_mkdirat(AT_FDCWD, SCENARIO_DISK "/d", 0755, WEFT_FOREVER), -ENOSPC);
    CHECK_EQ(open_file("a", O_RDONLY), -ENOENT);
    return 0;
}

#define UNLESS_FULL(call)     \
    while ((call) == -ENOSPC) \
    continue

static void fill_reserved(int fd, int writes)
{
    for (int i = 0; i < writes; i++)
        CHECK_EQ(weft_pwrite(fd, "0123456789", 10, 100 + 10 * i, WEFT_FOREVER), 10);
}

DISK_TEST(reserved_room_stays, WEFT_SIM_NO_SPACE, 500000)
{
    int fd;

    (void)arg;
    UNLESS_FULL(fd = open_file("a", O_RDWR | O_CREAT));
    CHECK_EQ(weft_fallocate(fd, FALLOC_FL_KEEP_SIZE, -1, 1, WEFT_FOREVER), -EINVAL);
    UNLESS_FULL(weft_fallocate(fd, FALLOC_FL_KEEP_SIZE, 100, 300, WEFT_FOREVER));
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    fill_reserved(fd, 30);
    while (weft_pwrite(fd, "x", 1, 400, WEFT_FOREVER) == 1)
        continue; /* until it is full */
    UNLESS_FULL(weft_fallocate(fd, 0, 400, 100, WEFT_FOREVER));
    CHECK_EQ(lseek(fd, 0, SEEK_END), 500);
    fill_reserved(fd, 40);
    UNLESS_FULL(weft_ftruncate(fd, 200, WEFT_FOREVER));
    while (weft_pwrite(fd, "x", 1, 300, WEFT_FOREVER) == 1)
        continue; /* until it is full */
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

DISK_TEST(less_is_moved_than_could_be, WEFT_SIM_SHORT, 1000000)
{
    struct iovec parts[2] = {{"abc", 3}, {"def", 3}};
    char text[8];
    int fd = must_create("a");
    ssize_t n = weft_pwritev(fd, parts, 2, 0, WEFT_FOREVER);

    (void)arg;
    CHECK(n > 0 && n < 6);
    CHECK_EQ(weft_pwrite(fd, "ghijkl", 6, 0, WEFT_FOREVER) < 6, 1);
    n = weft_pread(fd, text, sizeof text, 0, WEFT_FOREVER);
    CHECK(n > 0 && n < 8);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

static int crash_it(void *arg)
{
    (void)arg;
    return weft_sim_crash();
}

Test(sim_disk, without_a_disk_there_is_no_crash)
{
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    cr_expect_eq(weft_sim_crash(), -EPERM);
    options.is_quiet = 1;
    cr_expect_eq(simulate(&options, crash_it, NULL), -EPERM);
}

Test(sim_disk, a_path_that_cannot_be_compared_is_refused)
{
    static const char *const bad[] = {"disk", "/", "/disk/", "/a//b", "/a/./b", "/a/../b"};
    struct weft_sim_options options = WEFT_SIM_OPTIONS_INIT;

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.disk = bad[i];
        cr_expect_eq(simulate(&options, crash_it, NULL), -EINVAL, "%s", bad[i]);
    }
    options.disk = NULL;
    cr_assert_eq(setenv("WEFT_SIM_DISK", "/from/the/environment", 1), 0);
    cr_expect_eq(simulate(&options, crash_it, NULL), 0);
}

static int run_disk(uint64_t seed, enum scenario_bug bug, struct weft_sim_report *report)
{
    struct weft_sim_options options = faulty_options(seed, bug != BUG_NONE, report);

    options.disk = SCENARIO_DISK;
    return simulate(&options, disk_scenario, scenario_arg(bug));
}

static int run_plain(uint64_t seed, struct weft_sim_report *report)
{
    return run_disk(seed, BUG_NONE, report);
}

Test(sim_disk, a_seed_gives_the_same_run_each_time)
{
    assert_replays(run_plain, 42);
}

Test(sim_disk, every_kind_of_fault_happens, .timeout = 2 * TEST_TIMEOUT_S)
{
    uint32_t kinds = WEFT_SIM_IO_ERROR | WEFT_SIM_NO_SPACE | WEFT_SIM_TORN | WEFT_SIM_SHORT;

    cr_expect_eq(faults_seen(run_plain, kinds) & kinds, kinds);
}

Test(sim_disk, planted_bugs_are_found_and_replay)
{
    for (int bug = BUG_NO_SYNC; bug < BUG_DISK_COUNT; bug++) {
        struct weft_sim_report report, again;
        uint64_t seed = 1;
        int result = 0;

        while (seed <= SEEDS_FOR_A_BUG && result == 0)
            result = run_disk(seed++, (enum scenario_bug)bug, &report);
        cr_assert_lt(result, 0, "bug %d", bug);
        cr_expect_eq(run_disk(seed - 1, (enum scenario_bug)bug, &again), result);
        cr_expect_eq(again.trace_hash, report.trace_hash);
    }
}
