/* SPDX-License-Identifier: MIT */
/* copy_file [FROM TO]: copies a file; the worker runs other fibers meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <weft.h>

/* Empties the file that is written to, but not if it is the one to copy, by whatever name. */
static int make_room(int from, int to)
{
    struct stat source, target;

    if (fstat(from, &source) < 0 || fstat(to, &target) < 0)
        return -errno;
    if (source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return -EINVAL;
    return S_ISREG(target.st_mode) ? weft_ftruncate(to, 0, WEFT_FOREVER) : 0;
}

static int copy(int from, int to)
{
    char block[16 * 1024];
    ssize_t n = make_room(from, to);

    if (n < 0)
        return (int)n;
    while ((n = weft_read(from, block, sizeof block, WEFT_FOREVER)) > 0)
        if ((n = weft_write_all(to, block, (size_t)n, WEFT_FOREVER)) < 0)
            break;
    return n < 0 ? (int)n : weft_fsync(to, WEFT_FOREVER);
}

static int app(void *arg)
{
    char **paths = arg;
    int from = weft_openat(AT_FDCWD, paths[0], O_RDONLY, 0, WEFT_FOREVER);
    int to = from;
    int error = from;

    if (from >= 0) {
        to = weft_openat(AT_FDCWD, paths[1], O_WRONLY | O_CREAT, 0644, WEFT_FOREVER);
        error = to < 0 ? to : copy(from, to);
        weft_close(from);
    }
    if (to >= 0) {
        int close_error = weft_close(to);

        error = error < 0 ? error : close_error;
    }
    return error;
}

int main(int argc, char **argv)
{
    char *paths[2] = {argv[0], "copy_file.out"}; /* without arguments it copies itself */
    int error;

    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: %s [FROM TO]\n", argv[0]);
        return 2;
    }
    error = weft_run(NULL, app, argc == 3 ? argv + 1 : paths);
    if (error < 0)
        fprintf(stderr, "copy_file: %s\n", strerror(-error));
    return error < 0;
}
