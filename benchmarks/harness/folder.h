/* SPDX-License-Identifier: MIT */
/* Where the benchmarks of weft and its peers have their files: all of them in one place. */
#ifndef WEFT_BENCH_FOLDER_H
#define WEFT_BENCH_FOLDER_H

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Not /tmp, which is memory on many systems. */
static inline const char *bench_folder(void)
{
    const char *folder = getenv("BENCH_FOLDER");

    return folder && *folder ? folder : "/var/tmp";
}

/* An empty file without a name; or -1. */
static inline int bench_make_file(void)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof path, "%s/weft-bench-XXXXXX", bench_folder()) >= (int)sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Linux lets a file of tmpfs be opened with O_DIRECT, and then reads memory. */
static inline int bench_is_in_memory(int fd)
{
    struct statfs system;

    return fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

#endif
