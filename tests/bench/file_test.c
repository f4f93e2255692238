/* SPDX-License-Identifier: MIT */
/* harness/file_work.h: where the files of benchmarks are. */
#include "../support/fixture.h"

#include "harness/file_work.h"

/* As what the O_DIRECT of a file in memory reads is not the disk. */
Test(file_work, no_read_past_the_cache_is_of_a_folder_in_memory, .timeout = TEST_TIMEOUT_S)
{
    const struct bench_case spec = {.name = "a/b"};
    struct bench b = {.batch = 1, .spec = &spec};
    struct statfs system;

    if (statfs("/dev/shm", &system) != 0 || system.f_type != TMPFS_MAGIC)
        cr_skip("/dev/shm is not in memory");
    if (system.f_bavail * (uint64_t)system.f_bsize < (uint64_t)FILE_BLOCKS * FILE_BLOCK * 2)
        cr_skip("/dev/shm has no room");
    setenv("BENCH_FOLDER", "/dev/shm", 1);
    cr_expect_eq(file_to_read(&b, O_DIRECT), -1);
    cr_expect_str_eq(b.failure, "/dev/shm is in memory: BENCH_FOLDER may name one on a disk");
}

Test(file_work, files_are_in_the_folder_that_was_named, .timeout = TEST_TIMEOUT_S)
{
    char folder[] = "/var/tmp/weft-test-XXXXXX", link[64], path[PATH_MAX];
    ssize_t length;
    int fd;

    cr_assert_not_null(mkdtemp(folder));
    setenv("BENCH_FOLDER", folder, 1);
    fd = bench_make_file();
    rmdir(folder);
    cr_assert_geq(fd, 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path);
    cr_expect_gt(length, (ssize_t)strlen(folder));
    cr_expect_eq(strncmp(path, folder, strlen(folder)), 0);
    close(fd);
}
