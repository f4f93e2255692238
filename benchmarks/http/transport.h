/* SPDX-License-Identifier: MIT */
/*
 * What the handlers know of the world: a handful of blocking calls.
 *
 * There is one implementation on fibers and one on threads; the handlers do not know which they
 * have.  Every call returns 0 or a count, or a negative errno.
 */
#ifndef HTTP_TRANSPORT_H
#define HTTP_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;

struct transport_ops {
    /* Receives up to `len` bytes; 0 at the peer's end of file, -ETIMEDOUT after `timeout_ns`. */
    ssize_t (*recv)(struct transport *transport, void *buf, size_t len, int64_t timeout_ns);

    /*
     * Sends all of `len` bytes; `flags` are 0 or MSG_MORE.  -ETIMEDOUT if the peer takes longer
     * than the write timeout for it; callers pass at most TRANSPORT_SEND_MAX at a time.
     */
    int (*send)(struct transport *transport, const void *buf, size_t len, int flags);

    /* Sends `len` bytes of a file from its start; -EIO if the file turns out to be shorter. */
    int (*send_file)(struct transport *transport, int file, uint64_t len);

    int (*sleep)(struct transport *transport, int64_t ns);
    void (*close)(struct transport *transport);
};

enum { TRANSPORT_SEND_MAX = 64 * 1024 };

struct transport {
    const struct transport_ops *ops;
    int fd;
    int64_t write_timeout_ns;
    int64_t recv_timeout_ns; /* thread: what SO_RCVTIMEO is set to at the moment */
};

extern const struct transport_ops transport_fiber;
extern const struct transport_ops transport_thread;

#endif
