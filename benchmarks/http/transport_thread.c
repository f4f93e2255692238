/* SPDX-License-Identifier: MIT */
/*
 * The transport on threads, at its best: plain blocking calls, one per receive and one per send.
 *
 * Deadlines are SO_RCVTIMEO and SO_SNDTIMEO, which the connection inherits from the listener, so a
 * request costs no system call for them.  Only a request that arrives in pieces pays for a
 * setsockopt(2), because the time left for it shrinks.
 */
#include "transport.h"

#include "date.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int set_recv_timeout(struct transport *transport, int64_t timeout_ns)
{
    struct timeval tv = {.tv_sec = timeout_ns / 1000000000,
                         .tv_usec = timeout_ns % 1000000000 / 1000};

    if (timeout_ns < 1000)
        tv.tv_usec = 1; /* zero would mean for ever */
    if (setsockopt(transport->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) < 0)
        return -errno;
    transport->recv_timeout_ns = timeout_ns;
    return 0;
}

static ssize_t thread_recv(struct transport *transport, void *buf, size_t len, int64_t timeout_ns)
{
    ssize_t n;

    if (timeout_ns != transport->recv_timeout_ns) {
        int error = set_recv_timeout(transport, timeout_ns);

        if (error < 0)
            return error;
    }
    do {
        n = recv(transport->fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return n;
}

static int thread_send(struct transport *transport, const void *buf, size_t len, int flags)
{
    size_t sent = 0;

    while (sent < len) {
        ssize_t n = send(transport->fd, (const char *)buf + sent, len - sent, flags | MSG_NOSIGNAL);

        if (n >= 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        /* A blocking send is short only when its time is over. */
        if (n >= 0 && sent < len)
            return -ETIMEDOUT;
    }
    return 0;
}

static int send_file_by_copy(struct transport *transport, int file, uint64_t sent, uint64_t len)
{
    char buf[16384];

    while (sent < len) {
        uint64_t left = len - sent;
        ssize_t n = pread(file, buf, left < sizeof buf ? left : sizeof buf, (off_t)sent);
        int error;

        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        error = thread_send(transport, buf, (size_t)n, 0);
        if (error < 0)
            return error;
        sent += (uint64_t)n;
    }
    return 0;
}

static int thread_send_file(struct transport *transport, int file, uint64_t len)
{
    off_t offset = 0;

    while ((uint64_t)offset < len) {
        uint64_t left = len - (uint64_t)offset;
        size_t want = left < TRANSPORT_SEND_MAX ? (size_t)left : TRANSPORT_SEND_MAX;
        int64_t overdue_ns = coarse_now() + transport->write_timeout_ns;
        ssize_t n = sendfile(transport->fd, file, &offset, want);

        if (n == 0)
            return -EIO;
        if (n < 0 && (errno == EINVAL || errno == ENOSYS)) /* not on this file system */
            return send_file_by_copy(transport, file, (uint64_t)offset, len);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n > 0 && (size_t)n < want && coarse_now() >= overdue_ns)
            return -ETIMEDOUT;
    }
    return 0;
}

static int thread_sleep(struct transport *transport, int64_t ns)
{
    struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    int error;

    (void)transport;
    do {
        error = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    } while (error == EINTR);
    return -error;
}

static void thread_close(struct transport *transport)
{
    close(transport->fd);
}

const struct transport_ops transport_thread = {
    .recv = thread_recv,
    .send = thread_send,
    .send_file = thread_send_file,
    .sleep = thread_sleep,
    .close = thread_close,
};
