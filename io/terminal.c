/* SPDX-License-Identifier: MIT */
/*
 * Writes to a standard stream that is a terminal.
 *
 * A terminal in blocking mode says that it is ready as soon as there is any room, and a write waits
 * for room for all.  Neither a ring nor a flag keeps it from that, and nothing ends it where nobody
 * reads the other side: the worker would stand there.  The mode is not ours to change, since others
 * have the same open file, a shell above all.  So the terminal is opened once more for the write,
 * in non-blocking mode.  Only the slave of a pair: a serial line can take a modem to open and an
 * hour to close, and a second master is another pair.
 */
#define _GNU_SOURCE 1

#include "io/terminal.h"

#include "arch/compiler.h"
#include "arch/sim.h"
#include "io/parts.h"
#include "io/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/fiber.h>

enum {
    SLAVE_MAJOR = 136, /* and the next seven: Documentation/admin-guide/devices.txt of Linux */
    SLAVE_MAJORS = 8,
    WRITES_PER_YIELD = 32, /* guessed: as in splice.c */
};

/* What is a file on a network is not asked for: it may be slow to answer. */
static bool is_blocking_slave(int fd)
{
    struct statx status;
    int mode;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0 ||
        !S_ISCHR(status.stx_mode) || status.stx_rdev_major - SLAVE_MAJOR >= SLAVE_MAJORS)
        return false;
    mode = fcntl(fd, F_GETFL);
    return mode >= 0 && (mode & O_NONBLOCK) == 0 && (mode & O_ACCMODE) != O_RDONLY;
}

/* Below 0 where there is no such file system, or the terminal is another user's by now. */
static int open_anew(int fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Not inlined: errno's address must not be kept over a switch. */
static WF_NOINLINE int32_t write_now(int terminal, const struct wf_op *op)
{
    struct wf_parts parts;
    ssize_t n;

    wf_parts_set(&parts, op);
    do
        n = writev(terminal, parts.at, parts.count <= INT_MAX ? (int)parts.count : -1);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int32_t)n;
}

/* Waits by the descriptor that the caller knows, so that a close of it ends the wait. */
static int32_t write_held(int terminal, const struct wf_op *op, struct wf_op *hold,
                          weft_time deadline)
{
    int32_t result;

    while ((result = write_now(terminal, op)) == -EAGAIN) {
        result = wf_op_poll(hold->fd, POLLOUT, hold->epoch, deadline);
        if (result > 0)
            result = wf_op_note_vain(hold, POLLOUT, deadline);
        if (result < 0)
            return result;
    }
    return result;
}

int32_t wf_terminal_run(struct wf_op *op, weft_time deadline)
{
    struct wf_op hold = {.fd = op->fd, .epoch = op->epoch != 0 ? op->epoch : wf_epoch_now(op->fd)};
    struct wf_worker *self = wf_self();
    int32_t result;
    int terminal;

    if (self == NULL || wf_self_refusal(self) != 0 || wf_sim_is_here() ||
        !is_blocking_slave(op->fd))
        return wf_op_run_ready(op, POLLOUT, deadline);
    result = wf_op_hold(&hold);
    if (result != 0)
        return result;
    terminal = open_anew(op->fd);
    if (terminal >= 0) {
        result = write_held(terminal, op, &hold, deadline);
        close(terminal);
    }
    wf_op_release(&hold);
    if (terminal < 0)
        return wf_op_run_ready(op, POLLOUT, deadline);
    /* A fiber that never has to wait gives way now and then. */
    if (wf_self_random(wf_self()) % WRITES_PER_YIELD == 0)
        (void)weft_yield();
    return result;
}
