/* SPDX-License-Identifier: MIT */
/* arch/linux/quota.c on file trees of our own making. */
#include "arch/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMEOUT_S = 60 };

struct file {
    const char *path; /* NULL: the end */
    const char *contents;
};

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

static void write_file(const char *root, const struct file *file)
{
    char path[512];
    FILE *out;

    (void)snprintf(path, sizeof path, "%s%s", root, file->path);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_geq(fputs(file->contents, out), 0);
    cr_assert_eq(fclose(out), 0);
}

static uint64_t quota_of(const struct file *files)
{
    char root[] = "/tmp/weft-quota-XXXXXX";
    uint64_t quota;

    cr_assert_not_null(mkdtemp(root));
    for (; files->path != NULL; files++)
        write_file(root, files);
    quota = wf_os_cpu_quota(root);
    cr_assert_eq(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    return quota;
}

#define EXPECT_QUOTA(expected, ...)                                       \
    do {                                                                  \
        const struct file files[] = {__VA_ARGS__, {NULL, NULL}};          \
        cr_expect_eq(quota_of(files), expected, "%s", files[0].contents); \
    } while (0)

#define GROUP "/proc/self/cgroup"
#define V2 "/sys/fs/cgroup"

/* A worker per CPU of a large machine, in a container that may use two, spends its quota in
 * moments and is then stopped for the rest of each period. */
Test(quota, version_2, .timeout = TIMEOUT_S)
{
    EXPECT_QUOTA(2000, {GROUP, "0::/app\n"}, {V2 "/app/cpu.max", "200000 100000\n"});
    EXPECT_QUOTA(500, {GROUP, "0::/app\n"}, {V2 "/app/cpu.max", "50000 100000\n"});
    EXPECT_QUOTA(1500, {GROUP, "0::/\n"}, {V2 "/cpu.max", "15000 10000\n"});
    EXPECT_QUOTA(0, {GROUP, "0::/app\n"}, {V2 "/app/cpu.max", "max 100000\n"});
    EXPECT_QUOTA(0, {GROUP, "0::/app\n"});
}

/* The smallest quota on the path to the root holds, wherever it stands. */
Test(quota, nested_groups, .timeout = TIMEOUT_S)
{
    EXPECT_QUOTA(1000, {GROUP, "0::/a/b/c\n"}, {V2 "/a/cpu.max", "100000 100000\n"},
                 {V2 "/a/b/cpu.max", "max 100000\n"}, {V2 "/a/b/c/cpu.max", "400000 100000\n"});
    EXPECT_QUOTA(3000, {GROUP, "0::/a/b/c\n"}, {V2 "/a/cpu.max", "800000 100000\n"},
                 {V2 "/a/b/c/cpu.max", "300000 100000\n"});
    /* A sibling's quota is not ours, nor one of a group whose name only begins alike. */
    EXPECT_QUOTA(4000, {GROUP, "0::/a/b\n"}, {V2 "/a/other/cpu.max", "100000 100000\n"},
                 {V2 "/a/bb/cpu.max", "100000 100000\n"}, {V2 "/a/b/cpu.max", "400000 100000\n"});
    /* In a container the path names groups that are not visible; the mount is the group. */
    EXPECT_QUOTA(2500, {GROUP, "0::/system.slice/docker-1234.scope\n"},
                 {V2 "/cpu.max", "250000 100000\n"});
}

/* Hosts with version 1 name the controllers, in any order and company. */
Test(quota, version_1, .timeout = TIMEOUT_S)
{
    EXPECT_QUOTA(2000, {GROUP, "5:memory:/m\n4:cpu,cpuacct:/app\n"},
                 {V2 "/cpu,cpuacct/app/cpu.cfs_quota_us", "200000\n"},
                 {V2 "/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n"});
    EXPECT_QUOTA(750, {GROUP, "4:cpuacct,cpu:/app\n"}, {V2 "/cpu/app/cpu.cfs_quota_us", "75000\n"},
                 {V2 "/cpu/app/cpu.cfs_period_us", "100000\n"});
    EXPECT_QUOTA(1000, {GROUP, "4:cpu:/a/b\n"}, {V2 "/cpu/a/cpu.cfs_quota_us", "100000\n"},
                 {V2 "/cpu/a/cpu.cfs_period_us", "100000\n"},
                 {V2 "/cpu/a/b/cpu.cfs_quota_us", "-1\n"},
                 {V2 "/cpu/a/b/cpu.cfs_period_us", "100000\n"});
    EXPECT_QUOTA(0, {GROUP, "4:cpu:/app\n"}, {V2 "/cpu/app/cpu.cfs_quota_us", "-1\n"},
                 {V2 "/cpu/app/cpu.cfs_period_us", "100000\n"});
    /* cpuset is not cpu. */
    EXPECT_QUOTA(0, {GROUP, "4:cpuset:/app\n"}, {V2 "/cpu/app/cpu.cfs_quota_us", "100000\n"},
                 {V2 "/cpu/app/cpu.cfs_period_us", "100000\n"});
}

/* Both at once, as systemd's hybrid mode has it. */
Test(quota, both_versions, .timeout = TIMEOUT_S)
{
    EXPECT_QUOTA(1000, {GROUP, "4:cpu,cpuacct:/app\n0::/app\n"},
                 {V2 "/cpu,cpuacct/app/cpu.cfs_quota_us", "100000\n"},
                 {V2 "/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n"},
                 {V2 "/unified/app/cpu.max", "300000 100000\n"});
    EXPECT_QUOTA(3000, {GROUP, "4:cpu,cpuacct:/app\n0::/app\n"},
                 {V2 "/unified/app/cpu.max", "300000 100000\n"});
}

/* Whatever stands in these files, the answer is a quota or none: never a crash, a division by zero
 * or a number out of the air. */
Test(quota, garbage_is_no_quota, .timeout = TIMEOUT_S)
{
    static const char *const garbage[] = {"",           "\n",  "abc def\n", "100000\n",
                                          "100000 0\n", "-\n", "max\n"};
    static const char *const groups[] = {
        "", "\n", "0\n", "0:\n", ":::\n", "no colons here\n", "0::relative\n"};
    char long_group[3000];

    for (unsigned i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        EXPECT_QUOTA(0, {GROUP, "0::/app\n"}, {V2 "/app/cpu.max", garbage[i]});
        EXPECT_QUOTA(0, {GROUP, "1:cpu:/app\n"}, {V2 "/cpu/app/cpu.cfs_quota_us", garbage[i]},
                     {V2 "/cpu/app/cpu.cfs_period_us", "0\n"});
        EXPECT_QUOTA(0, {GROUP, "1:cpu:/app\n"}, {V2 "/cpu/app/cpu.cfs_quota_us", garbage[i]});
    }
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++)
        EXPECT_QUOTA(0, {GROUP, groups[i]}, {"/unrelated", "x"});
    memset(long_group, 'x', sizeof long_group);
    memcpy(long_group, "0::/", 4);
    long_group[sizeof long_group - 1] = '\0';
    EXPECT_QUOTA(0, {GROUP, long_group});
    cr_expect_eq(wf_os_cpu_quota("/nonexistent"), 0);
}

/* The real files of this machine can be read. */
Test(quota, this_machine, .timeout = TIMEOUT_S)
{
    cr_expect_lt(wf_os_cpu_quota(""), UINT64_C(100000000));
}
