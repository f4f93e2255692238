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

/* `offset`: -1 for the file's own, which is what the kernel takes it for. */
static ssize_t transfer_parts(enum wf_opcode code, int fd, const struct iovec *parts, int count,
                              off_t offset, weft_time deadline)
{
    struct wf_op op = {.code = code,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)parts,
                       .length = (size_t)count,
                       .offset = offset};

    if (count < 0)
        return -EINVAL;
    return wf_op_run_ready(&op, code == WF_OP_READV ? POLLIN : POLLOUT, deadline);
}

ssize_t weft_readv(int fd, const struct iovec *parts, int count, weft_time deadline)
{
    return transfer_parts(WF_OP_READV, fd, parts, count, -1, deadline);
}

ssize_t weft_writev(int fd, const struct iovec *parts, int count, weft_time deadline)
{
    return transfer_parts(WF_OP_WRITEV, fd, parts, count, -1, deadline);
}

ssize_t weft_preadv(int fd, const struct iovec *parts, int count, off_t offset, weft_time deadline)
{
    if (offset < 0)
        return -EINVAL;
    return transfer_parts(WF_OP_READV, fd, parts, count, offset, deadline);
}

ssize_t weft_pwritev(int fd, const struct iovec *parts, int count, off_t offset, weft_time deadline)
{
    if (offset < 0)
        return -EINVAL;
    return transfer_parts(WF_OP_WRITEV, fd, parts, count, offset, deadline);
}

ssize_t weft_read_exact(int fd, void *buf, size_t len, weft_time deadline)
{
    char *at = buf;
    size_t left = len;

    while (left > 0) {
        ssize_t n = weft_read(fd, at, left, deadline);

        if (n < 0)
            return n;
        if (n == 0)
            return left == len ? 0 : -ENODATA;
        at += n;
        left -= (size_t)n;
    }
    return (ssize_t)len;
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

int weft_fdatasync(int fd, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_FSYNC, .fd = fd, .flags = 1};

    return wf_op_run(&op, deadline);
}

int weft_close(int fd)
{
    struct wf_op op = {.code = WF_OP_CLOSE, .fd = fd};

    if (wf_self() == NULL)
        return close(fd) == 0 ? 0 : -errno;
    return wf_op_run_to_end(&op);
}
