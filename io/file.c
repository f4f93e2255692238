/* SPDX-License-Identifier: MIT */
/* Reading, writing, opening, closing: what works on any descriptor. */
#include <weft/io.h>

#include "io/op.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

ssize_t weft_pread(int fd, void *buf, size_t len, off_t offset, weft_time deadline)
{
    struct wf_op op = {
        .code = WF_OP_READ, .fd = fd, .buffer = buf, .length = len, .offset = offset};

    /* The kernel takes -1 for "at the current offset". */
    if (offset < 0)
        return -EINVAL;
    return wf_op_run_ready(&op, POLLIN, deadline);
}

ssize_t weft_read(int fd, void *buf, size_t len, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_READ, .fd = fd, .buffer = buf, .length = len, .offset = -1};

    return wf_op_run_ready(&op, POLLIN, deadline);
}

ssize_t weft_pwrite(int fd, const void *buf, size_t len, off_t offset, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_WRITE,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)buf,
                       .length = len,
                       .offset = offset};

    if (offset < 0)
        return -EINVAL;
    return wf_op_run_ready(&op, POLLOUT, deadline);
}

ssize_t weft_write(int fd, const void *buf, size_t len, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_WRITE,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)buf,
                       .length = len,
                       .offset = -1};

    return wf_op_run_ready(&op, POLLOUT, deadline);
}

ssize_t weft_write_all(int fd, const void *buf, size_t len, weft_time deadline)
{
    const char *at = buf;
    size_t left = len;

    while (left > 0) {
        ssize_t n = weft_write(fd, at, left, deadline);

        if (n < 0)
            return n;
        at += n;
        left -= (size_t)n;
    }
    return (ssize_t)len;
}

int weft_poll_fd(int fd, int events, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_POLL, .fd = fd, .flags = events};

    return wf_op_run(&op, deadline);
}

int weft_openat(int dir_fd, const char *path, int flags, mode_t mode, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_OPENAT,
                       .fd = dir_fd,
                       .buffer = (void *)(uintptr_t)path,
                       .length = mode,
                       .flags = flags | O_CLOEXEC};

    return wf_op_run(&op, deadline);
}

int weft_fsync(int fd, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_FSYNC, .fd = fd};

    return wf_op_run(&op, deadline);
}

int weft_close(int fd)
{
    struct wf_op op = {.code = WF_OP_CLOSE, .fd = fd};

    if (wf_self() == NULL)
        return close(fd) == 0 ? 0 : -errno;
    return wf_op_run_to_end(&op);
}
