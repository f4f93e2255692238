/* SPDX-License-Identifier: MIT */
/*
 * Opening files that must lie below a folder.
 *
 * The kernel does the containment: openat2(2) with RESOLVE_BENEATH follows symbolic links but not
 * out of the folder.  Where a kernel or a sandbox lacks it, the name is walked one component at a
 * time and no symbolic link is followed at all: less is served, never more.
 *
 * Nothing here suspends, so errno may be used also when the caller is a fiber.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* O_NONBLOCK: a FIFO would otherwise hold up whoever opens it. */
enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, RACE_RETRIES = 8 };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Once, as it must be: what decodes to a percent sign is that character of a file's name. */
static int decode_percent(char *name, uint32_t length)
{
    char *out = name;

    for (uint32_t i = 0; i < length; i++) {
        int value = (unsigned char)name[i];

        if (name[i] == '%') {
            int high = i + 2 < length ? hex_value(name[i + 1]) : -1;
            int low = i + 2 < length ? hex_value(name[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            value = 16 * high + low;
            i += 2;
        }
        if (value == '\0')
            return -EINVAL;
        *out++ = (char)value;
    }
    *out = '\0';
    return 0;
}

static bool has_parent_component(const char *name)
{
    for (const char *at = name; (at = strstr(at, "..")) != NULL; at += 2)
        if ((at == name || at[-1] == '/') && (at[2] == '\0' || at[2] == '/'))
            return true;
    return false;
}

static int open_beneath(int root_fd, const char *name)
{
    struct open_how how = {.flags = FILE_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    /* EAGAIN: something was renamed meanwhile, so the kernel could not be sure. */
    for (int i = 0; i < RACE_RETRIES; i++) {
        long fd = syscall(SYS_openat2, root_fd, name, &how, sizeof how);

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

static int open_by_walking(int root_fd, char *name)
{
    int folder = root_fd;

    for (;;) {
        char *slash = strchr(name, '/');
        int flags = FILE_FLAGS | O_NOFOLLOW;
        int fd, error;

        if (slash != NULL) {
            *slash = '\0';
            flags = O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
        }
        fd = openat(folder, *name != '\0' ? name : ".", flags);
        error = -errno;
        if (folder != root_fd)
            close(folder);
        if (fd < 0)
            return error;
        if (slash == NULL)
            return fd;
        folder = fd;
        name = slash + 1;
    }
}

int file_open(int root_fd, char *name, uint32_t length, uint64_t *size)
{
    struct stat status;
    int fd, error;

    if (root_fd < 0)
        return -ENOENT;
    error = decode_percent(name, length);
    if (error < 0)
        return error;
    if (name[0] == '/' || has_parent_component(name))
        return -ENOENT;

    fd = open_beneath(root_fd, name);
    if (fd == -ENOSYS || fd == -EPERM) /* EPERM: sandboxes refuse calls they do not know so */
        fd = open_by_walking(root_fd, name);
    if (fd < 0)
        return fd == -EXDEV || fd == -ELOOP || fd == -ENOTDIR || fd == -ENXIO ? -ENOENT : fd;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    *size = (uint64_t)status.st_size;
    return fd;
}

uint16_t file_error_status(int error)
{
    switch (error) {
    case -EINVAL:
    case -ENAMETOOLONG:
        return 400;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        return 503;
    default:
        return 404; /* also for -EACCES: what may not be read is not there */
    }
}
