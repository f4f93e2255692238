/* SPDX-License-Identifier: MIT */
/* See io_fault.h. */
#define _GNU_SOURCE 1

#include "io_fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIED_MAX = 64 };

static _Atomic(bool) is_armed, is_told;
static _Atomic(int) requests, wanted, error_wanted;
static _Atomic(const char *) fired, tried[TRIED_MAX];
static _Atomic(unsigned) concerns[IO_FAULT_FDS];

void io_fault_concern(int fd, unsigned which)
{
    if (fd < 0 || fd >= IO_FAULT_FDS)
        abort();
    atomic_store(&concerns[fd], which);
}

void io_fault_arm(int number, int error)
{
    atomic_store(&requests, 0);
    atomic_store(&fired, NULL);
    atomic_store(&is_told, false);
    atomic_store(&wanted, number);
    atomic_store(&error_wanted, error);
    atomic_store(&is_armed, true);
}

int io_fault_error(void)
{
    return atomic_load(&error_wanted);
}

void io_fault_disarm(void)
{
    atomic_store(&is_armed, false);
}

const char *io_fault_fired(void)
{
    return atomic_load(&fired);
}

bool io_fault_is_told(void)
{
    return atomic_load(&is_told);
}

bool io_fault_was_tried(const char *name)
{
    for (int i = 0; i < TRIED_MAX && atomic_load(&tried[i]) != NULL; i++)
        if (strcmp(name, atomic_load(&tried[i])) == 0)
            return true;
    return false;
}

static void note_tried(const char *name)
{
    for (int i = 0; !io_fault_was_tried(name); i++) {
        const char *none = NULL;

        if (i == TRIED_MAX)
            abort();
        (void)atomic_compare_exchange_strong(&tried[i], &none, name);
    }
}

static bool hits(const char *name, unsigned kept, int fd, unsigned which)
{
    int error = atomic_load(&error_wanted);

    if (!atomic_load(&is_armed) || fd < 0 || fd >= IO_FAULT_FDS ||
        (atomic_load(&concerns[fd]) & which) == 0)
        return false;
    if (atomic_fetch_add(&requests, 1) + 1 != atomic_load(&wanted))
        return false;
    atomic_store(&is_told, error != IO_FAULT_SHORT &&
                               !(error == -EINTR && (kept & IO_FAULT_REPEATED) != 0) &&
                               !(error == -EAGAIN && (kept & IO_FAULT_AWAITED) != 0));
    atomic_store(&fired, name);
    note_tried(name);
    return true;
}

bool io_fault_hits(const char *name, unsigned kept, int fd)
{
    return hits(name, kept, fd, IO_FAULT_CALLS);
}

/* The number means something else then. */
bool io_fault_hits_close(const char *name, int fd)
{
    bool is_hit = hits(name, 0, fd, IO_FAULT_CLOSE);

    if (fd >= 0 && fd < IO_FAULT_FDS)
        atomic_store(&concerns[fd], IO_FAULT_NONE);
    return is_hit;
}

/* Returns true with errno set if the call fails; else `*length` may have become shorter. */
static bool fails_or_shortens(const char *name, unsigned kept, int fd, size_t *length)
{
    if (!io_fault_hits(name, kept, fd))
        return false;
    if (io_fault_error() == IO_FAULT_SHORT) {
        *length = *length > 1 ? 1 : *length;
        return false;
    }
    errno = -io_fault_error();
    return true;
}

/* The same for those that move nothing. */
static bool fails(const char *name, unsigned kept, int fd)
{
    size_t length = 0;

    return fails_or_shortens(name, kept, fd, &length);
}

#define REAL(name) __real_##name
#define WRAPPED(result, name, ...)     \
    result __real_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__); \
    result __wrap_##name(__VA_ARGS__)

/* What moves data. */

WRAPPED(ssize_t, recv, int fd, void *buffer, size_t length, int flags)
{
    return fails_or_shortens("recv", IO_FAULT_RETRIED, fd, &length)
               ? -1
               : REAL(recv)(fd, buffer, length, flags);
}

WRAPPED(ssize_t, send, int fd, const void *buffer, size_t length, int flags)
{
    return fails_or_shortens("send", IO_FAULT_RETRIED, fd, &length)
               ? -1
               : REAL(send)(fd, buffer, length, flags);
}

/* Those of several parts: the first part alone, shortened, is a short one. */
struct parts {
    const struct iovec *all;
    size_t count;
    struct iovec first;
};

static bool parts_fail(const char *name, int fd, struct parts *parts)
{
    size_t length = parts->all[0].iov_len;

    if (fails_or_shortens(name, IO_FAULT_RETRIED, fd, &length))
        return true;
    if (length < parts->all[0].iov_len) {
        parts->first = (struct iovec){parts->all[0].iov_base, length};
        parts->all = &parts->first;
        parts->count = 1;
    }
    return false;
}

WRAPPED(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
    const struct msghdr original = *message;
    struct parts parts = {.all = original.msg_iov, .count = original.msg_iovlen};
    ssize_t n;

    if (parts_fail("recvmsg", fd, &parts))
        return -1;
    message->msg_iov = (struct iovec *)parts.all;
    message->msg_iovlen = parts.count;
    n = REAL(recvmsg)(fd, message, flags);
    message->msg_iov = original.msg_iov;
    message->msg_iovlen = original.msg_iovlen;
    return n;
}

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
    struct parts parts = {.all = message->msg_iov, .count = message->msg_iovlen};
    struct msghdr passed = *message;

    if (parts_fail("sendmsg", fd, &parts))
        return -1;
    passed.msg_iov = (struct iovec *)parts.all;
    passed.msg_iovlen = parts.count;
    return REAL(sendmsg)(fd, &passed, flags);
}

WRAPPED(ssize_t, preadv2, int fd, const struct iovec *all, int count, off_t offset, int flags)
{
    struct parts parts = {.all = all, .count = (size_t)count};

    return parts_fail("preadv2", fd, &parts)
               ? -1
               : REAL(preadv2)(fd, parts.all, (int)parts.count, offset, flags);
}

WRAPPED(ssize_t, pwritev2, int fd, const struct iovec *all, int count, off_t offset, int flags)
{
    struct parts parts = {.all = all, .count = (size_t)count};

    return parts_fail("pwritev2", fd, &parts)
               ? -1
               : REAL(pwritev2)(fd, parts.all, (int)parts.count, offset, flags);
}

WRAPPED(ssize_t, splice, int in, off_t *in_offset, int out, off_t *out_offset, size_t length,
        unsigned flags)
{
    return fails_or_shortens("splice", IO_FAULT_RETRIED, in, &length)
               ? -1
               : REAL(splice)(in, in_offset, out, out_offset, length, flags);
}

WRAPPED(ssize_t, tee, int in, int out, size_t length, unsigned flags)
{
    return fails_or_shortens("tee", IO_FAULT_RETRIED, in, &length)
               ? -1
               : REAL(tee)(in, out, length, flags);
}

WRAPPED(ssize_t, sendfile, int out, int in, off_t *offset, size_t length)
{
    return fails_or_shortens("sendfile", IO_FAULT_RETRIED, in, &length)
               ? -1
               : REAL(sendfile)(out, in, offset, length);
}

/* Files have no readiness: of EAGAIN the caller hears. */
WRAPPED(ssize_t, copy_file_range, int in, off_t *in_offset, int out, off_t *out_offset,
        size_t length, unsigned flags)
{
    return fails_or_shortens("copy_file_range", IO_FAULT_REPEATED, in, &length)
               ? -1
               : REAL(copy_file_range)(in, in_offset, out, out_offset, length, flags);
}

/* Descriptors. */

WRAPPED(int, accept4, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails("accept4", IO_FAULT_RETRIED, fd) ? -1 : REAL(accept4)(fd, address, length, flags);
}

/* One that is interrupted goes on (connect(2)). */
WRAPPED(int, connect, int fd, const struct sockaddr *address, socklen_t length)
{
    bool is_hit = fails("connect", IO_FAULT_REPEATED, fd);
    int result;

    if (is_hit && io_fault_error() != -EINTR)
        return -1;
    result = REAL(connect)(fd, address, length);
    if (!is_hit)
        return result;
    errno = EINTR;
    return -1;
}

/* It is closed in each case. */
WRAPPED(int, close, int fd)
{
    bool is_hit = io_fault_hits_close("close", fd);
    int result = REAL(close)(fd);

    if (!is_hit || io_fault_error() == IO_FAULT_SHORT)
        return result;
    errno = -io_fault_error();
    return -1;
}

/* What is asked of a new descriptor counts as well, if `origin` is concerned.  Not its close, whose
 * errors tell nothing of these. */
static void concern_as(int fd, int origin)
{
    if (fd >= 0 && fd < IO_FAULT_FDS && origin >= 0 && origin < IO_FAULT_FDS &&
        atomic_load(&concerns[origin]) != IO_FAULT_NONE)
        io_fault_concern(fd, IO_FAULT_CALLS);
}

/* The first try of an open is without waiting; what would have to is done again. */
WRAPPED(int, openat, int dir_fd, const char *path, int flags, mode_t mode)
{
    unsigned kept = (flags & O_NONBLOCK) != 0 ? IO_FAULT_RETRIED : IO_FAULT_REPEATED;
    int fd = fails("openat", kept, dir_fd) ? -1 : REAL(openat)(dir_fd, path, flags, mode);

    if ((flags & O_DIRECTORY) != 0)
        concern_as(fd, dir_fd);
    return fd;
}

WRAPPED(int, pipe2, int *ends, int flags)
{
    return fails("pipe2", 0, IO_FAULT_NEW_FDS) ? -1 : REAL(pipe2)(ends, flags);
}

WRAPPED(int, socket, int domain, int type, int protocol)
{
    return fails("socket", 0, IO_FAULT_NEW_FDS) ? -1 : REAL(socket)(domain, type, protocol);
}

WRAPPED(int, bind, int fd, const struct sockaddr *address, socklen_t length)
{
    return fails("bind", 0, IO_FAULT_NEW_FDS) ? -1 : REAL(bind)(fd, address, length);
}

WRAPPED(int, listen, int fd, int backlog)
{
    return fails("listen", 0, IO_FAULT_NEW_FDS) ? -1 : REAL(listen)(fd, backlog);
}

/* Waits.  Linux never says EAGAIN there, which would be taken for the descriptor's. */

static bool wait_fails(const char *name, int fd)
{
    return io_fault_error() != -EAGAIN && fails(name, IO_FAULT_REPEATED, fd);
}

WRAPPED(int, poll, struct pollfd *fds, nfds_t count, int timeout)
{
    return count == 1 && wait_fails("poll", fds[0].fd) ? -1 : REAL(poll)(fds, count, timeout);
}

WRAPPED(int, epoll_ctl, int epoll, int operation, int fd, struct epoll_event *event)
{
    return wait_fails("epoll_ctl", fd) ? -1 : REAL(epoll_ctl)(epoll, operation, fd, event);
}

/* Processes, signals and names of hosts. */

WRAPPED(int, posix_spawnp, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    return fails("posix_spawnp", 0, IO_FAULT_PROCESSES)
               ? -io_fault_error()
               : REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

/* Arguments that were not handed on are not looked at. */
WRAPPED(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
    long result;

    if (number != SYS_pidfd_open)
        return REAL(syscall)(number, a, b, c, d, e, f);
    if (fails("pidfd_open", 0, IO_FAULT_PROCESSES))
        return -1;
    result = REAL(syscall)(number, a, b, c, d, e, f);
    concern_as((int)result, IO_FAULT_PROCESSES);
    return result;
}

WRAPPED(int, waitid, idtype_t type, id_t id, siginfo_t *info, int options)
{
    return fails("waitid", 0, IO_FAULT_PROCESSES) ? -1 : REAL(waitid)(type, id, info, options);
}

WRAPPED(int, signalfd, int fd, const sigset_t *set, int flags)
{
    int result = fails("signalfd", 0, IO_FAULT_SIGNALS) ? -1 : REAL(signalfd)(fd, set, flags);

    concern_as(result, IO_FAULT_SIGNALS);
    return result;
}

WRAPPED(int, getaddrinfo, const char *node, const char *service, const struct addrinfo *hints,
        struct addrinfo **result)
{
    return fails("getaddrinfo", 0, IO_FAULT_NAMES)
               ? EAI_SYSTEM
               : REAL(getaddrinfo)(node, service, hints, result);
}

/* Files and their names. */

WRAPPED(int, fsync, int fd)
{
    return fails("fsync", IO_FAULT_REPEATED, fd) ? -1 : REAL(fsync)(fd);
}

WRAPPED(int, fdatasync, int fd)
{
    return fails("fdatasync", IO_FAULT_REPEATED, fd) ? -1 : REAL(fdatasync)(fd);
}

WRAPPED(int, fallocate, int fd, int mode, off_t offset, off_t length)
{
    return fails("fallocate", IO_FAULT_REPEATED, fd) ? -1
                                                     : REAL(fallocate)(fd, mode, offset, length);
}

WRAPPED(int, ftruncate, int fd, off_t length)
{
    return fails("ftruncate", IO_FAULT_REPEATED, fd) ? -1 : REAL(ftruncate)(fd, length);
}

WRAPPED(ssize_t, getdents64, int fd, void *buffer, size_t size)
{
    return fails("getdents64", IO_FAULT_REPEATED, fd) ? -1 : REAL(getdents64)(fd, buffer, size);
}

WRAPPED(int, statx, int dir, const char *path, int flags, unsigned mask, struct statx *status)
{
    return fails("statx", IO_FAULT_REPEATED, dir) ? -1
                                                  : REAL(statx)(dir, path, flags, mask, status);
}

WRAPPED(int, renameat2, int old_dir, const char *old_path, int new_dir, const char *new_path,
        unsigned flags)
{
    return fails("renameat2", IO_FAULT_REPEATED, old_dir)
               ? -1
               : REAL(renameat2)(old_dir, old_path, new_dir, new_path, flags);
}

WRAPPED(int, unlinkat, int dir, const char *path, int flags)
{
    return fails("unlinkat", IO_FAULT_REPEATED, dir) ? -1 : REAL(unlinkat)(dir, path, flags);
}

WRAPPED(int, mkdirat, int dir, const char *path, mode_t mode)
{
    return fails("mkdirat", IO_FAULT_REPEATED, dir) ? -1 : REAL(mkdirat)(dir, path, mode);
}

WRAPPED(int, linkat, int old_dir, const char *old_path, int new_dir, const char *new_path,
        int flags)
{
    return fails("linkat", IO_FAULT_REPEATED, old_dir)
               ? -1
               : REAL(linkat)(old_dir, old_path, new_dir, new_path, flags);
}

WRAPPED(int, symlinkat, const char *target, int dir, const char *path)
{
    return fails("symlinkat", IO_FAULT_REPEATED, dir) ? -1 : REAL(symlinkat)(target, dir, path);
}

WRAPPED(ssize_t, readlinkat, int dir, const char *path, char *buffer, size_t size)
{
    return fails("readlinkat", IO_FAULT_REPEATED, dir) ? -1
                                                       : REAL(readlinkat)(dir, path, buffer, size);
}
