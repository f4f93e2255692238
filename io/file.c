/* SPDX-License-Identifier: MIT */
/* Reading, writing, opening: what works on any descriptor. */
#include <weft/io.h>

#include "arch/compiler.h"
#include "arch/sim.h"
#include "io/op.h"
#include "io/pending.h"
#include "io/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

ssize_t weft_pread(int fd, void *buf, size_t len, off_t offset, weft_time deadline)
{
    struct wf_op op = {
        .code = WF_OP_READ, .fd = fd, .buffer = buf, .length = len, .offset = offset};

    /* The kernel takes -1 for "at the current offset". */
    if (offset < 0)
        return -EINVAL;
    return wf_op_run_ready(&op, POLLIN, deadline);
}

ssize_t wf_op_read(int fd, void *buf, size_t len, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {
        .code = WF_OP_READ, .fd = fd, .buffer = buf, .length = len, .offset = -1, .epoch = epoch};

    return wf_op_run_ready(&op, POLLIN, deadline);
}

ssize_t weft_read(int fd, void *buf, size_t len, weft_time deadline)
{
    return wf_op_read(fd, buf, len, 0, deadline);
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

static ssize_t write_part(int fd, const void *buf, size_t len, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_WRITE,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)buf,
                       .length = len,
                       .offset = -1,
                       .epoch = epoch};

    if (WF_UNLIKELY(wf_terminal_is_standard(fd)))
        return wf_terminal_run(&op, deadline);
    return wf_op_run_ready(&op, POLLOUT, deadline);
}

ssize_t weft_write(int fd, const void *buf, size_t len, weft_time deadline)
{
    return write_part(fd, buf, len, 0, deadline);
}

/* `offset`: -1 for the file's own, which is what the kernel takes it for. */
static ssize_t transfer_parts(enum wf_opcode code, int fd, const struct iovec *parts, int count,
                              off_t offset, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {.code = code,
                       .fd = fd,
                       .buffer = (void *)(uintptr_t)parts,
                       .length = (size_t)count,
                       .offset = offset,
                       .epoch = epoch};

    if (count < 0)
        return -EINVAL;
    if (WF_UNLIKELY(code == WF_OP_WRITEV && offset < 0 && wf_terminal_is_standard(fd)))
        return wf_terminal_run(&op, deadline);
    return wf_op_run_ready(&op, code == WF_OP_READV ? POLLIN : POLLOUT, deadline);
}

ssize_t weft_readv(int fd, const struct iovec *parts, int count, weft_time deadline)
{
    return transfer_parts(WF_OP_READV, fd, parts, count, -1, 0, deadline);
}

ssize_t wf_op_writev(int fd, const struct iovec *parts, int count, uint32_t epoch,
                     weft_time deadline)
{
    return transfer_parts(WF_OP_WRITEV, fd, parts, count, -1, epoch, deadline);
}

ssize_t weft_writev(int fd, const struct iovec *parts, int count, weft_time deadline)
{
    return wf_op_writev(fd, parts, count, 0, deadline);
}

ssize_t weft_preadv(int fd, const struct iovec *parts, int count, off_t offset, weft_time deadline)
{
    if (offset < 0)
        return -EINVAL;
    return transfer_parts(WF_OP_READV, fd, parts, count, offset, 0, deadline);
}

ssize_t weft_pwritev(int fd, const struct iovec *parts, int count, off_t offset, weft_time deadline)
{
    if (offset < 0)
        return -EINVAL;
    return transfer_parts(WF_OP_WRITEV, fd, parts, count, offset, 0, deadline);
}

ssize_t weft_read_exact(int fd, void *buf, size_t len, weft_time deadline)
{
    uint32_t epoch = wf_epoch_now(fd);
    char *at = buf;
    size_t left = len;

    while (left > 0) {
        ssize_t n = wf_op_read(fd, at, left, left < len ? epoch : 0, deadline);

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
    uint32_t epoch = wf_epoch_now(fd);
    const char *at = buf;
    size_t left = len;

    while (left > 0) {
        ssize_t n = write_part(fd, at, left, left < len ? epoch : 0, deadline);

        if (n < 0)
            return n;
        at += n;
        left -= (size_t)n;
    }
    return (ssize_t)len;
}

int wf_op_poll(int fd, int events, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_POLL, .fd = fd, .flags = events, .epoch = epoch};
    uint32_t began = epoch != 0 ? epoch : wf_epoch_now(fd);
    int result;

    do {
        result = wf_op_run(&op, deadline);
        if (result > 0)
            result = wf_op_events_confirmed(&op);
        /* A ring ends each poll of a socket at once whose peer has half-closed it (ring.h).  There
         * is no telling it to wait for room alone, so we look again after a while. */
        if (WF_UNLIKELY(result == POLLRDHUP && (events & (POLLRDHUP | POLLPRI)) == 0))
            result = wf_op_pause(deadline);
        op.epoch = began;
    } while (WF_UNLIKELY(result == 0));
    return result;
}

int weft_poll_fd(int fd, int events, weft_time deadline)
{
    return wf_op_poll(fd, events, 0, deadline);
}

int weft_openat(int dir_fd, const char *path, int flags, mode_t mode, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_OPENAT,
                       .fd = wf_op_folder(dir_fd, path),
                       .buffer = (void *)(uintptr_t)path,
                       .length = mode,
                       .flags = flags | O_CLOEXEC};
    bool may_wait = (flags & (O_NONBLOCK | O_PATH)) == 0 && !wf_sim_is_here();
    int fd;

    /* A FIFO would wait for its other end: on io_uring sometimes, as the kernel tries some opens
     * without blocking first, but none that may create or that has to look on the disk. */
    if (may_wait)
        op.flags |= O_NONBLOCK;
    fd = wf_op_run(&op, deadline);
    if (fd == -EAGAIN && may_wait) { /* somebody has a lease on the file, and is asked for it */
        op.flags &= ~O_NONBLOCK;
        fd = wf_op_run(&op, deadline);
    } else if (fd >= 0 && may_wait) {
        (void)fcntl(fd, F_SETFL, flags);
    }
    return fd;
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
