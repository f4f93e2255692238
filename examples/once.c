/* SPDX-License-Identifier: MIT */
/* Many need the same file, and it is read once, by the one that comes first.  The first time there
 * is no such file yet: that is this one's error, and the next one tries again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

enum { FIBERS = 8 };

struct file {
    weft_once is_read;
    char path[64];
    char text[64];
    int reads;
};

static int read_file(void *arg)
{
    struct file *file = arg;
    int fd = weft_openat(AT_FDCWD, file->path, O_RDONLY | O_CLOEXEC, 0, weft_after(WEFT_SECOND));
    ssize_t length;

    file->reads++;
    if (fd < 0)
        return fd;
    length = weft_read(fd, file->text, sizeof file->text - 1, weft_after(WEFT_SECOND));
    weft_close(fd);
    return length < 0 ? (int)length : 0;
}

static int need_file(void *arg)
{
    struct file *file = arg;
    int error = weft_once_run(&file->is_read, read_file, file, weft_after(10 * WEFT_SECOND));

    if (error == 0 && strcmp(file->text, "weft\n") != 0)
        error = -EBADMSG;
    return error;
}

static int app(void *arg)
{
    struct file *file = arg;
    weft_scope fibers = WEFT_SCOPE_INIT;
    int error = need_file(file);
    int fd;

    printf("before it is there: %s\n", strerror(-error));
    if (error != -ENOENT)
        return -EEXIST;
    fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    error = write(fd, "weft\n", 5) == 5 ? 0 : -EIO;
    close(fd);
    for (int i = 0; i < FIBERS && error == 0; i++)
        error = weft_scope_spawn(&fibers, need_file, file);
    error = weft_scope_close(&fibers, error);
    unlink(file->path);
    printf("%d needed it, it was read %d times: %s", FIBERS, file->reads, file->text);
    return error;
}

int main(void)
{
    struct file file = {.is_read = WEFT_ONCE_INIT};
    char folder[] = "/tmp/weft-once-XXXXXX";
    int error;

    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(file.path, sizeof file.path, "%s/file", folder);
    error = weft_run(NULL, app, &file);
    rmdir(folder);
    return error < 0 || file.reads != 2;
}
