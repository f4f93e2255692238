/* SPDX-License-Identifier: MIT */
/* The transport on fibers: every wait suspends the fiber. */
#include "transport.h"

#include "date.h"

#include <weft.h>

#include <errno.h>
#include <stdlib.h>

static ssize_t fiber_recv(struct transport *transport, void *buf, size_t len, int64_t timeout_ns)
{
    return weft_recv(transport->fd, buf, len, 0, coarse_now() + timeout_ns);
}

static int fiber_send(struct transport *transport, const void *buf, size_t len, int flags)
{
    ssize_t n = weft_send_all(transport->fd, buf, len, flags,
                              coarse_now() + transport->write_timeout_ns);

    return n < 0 ? (int)n : 0;
}

/* There is no sendfile(2) for a ring; the file goes through a buffer that lives for the call. */
static int fiber_send_file(struct transport *transport, int file, uint64_t len)
{
    char *buf = malloc(TRANSPORT_SEND_MAX);
    uint64_t sent = 0;
    int error = 0;

    if (buf == NULL)
        return -ENOMEM;
    while (sent < len && error == 0) {
        uint64_t left = len - sent;
        ssize_t n = weft_pread(file, buf, left < TRANSPORT_SEND_MAX ? left : TRANSPORT_SEND_MAX,
                               (off_t)sent, WEFT_FOREVER);

        if (n <= 0) {
            error = n < 0 ? (int)n : -EIO;
        } else {
            error = fiber_send(transport, buf, (size_t)n, 0);
            sent += (uint64_t)n;
        }
    }
    free(buf);
    return error;
}

static int fiber_sleep(struct transport *transport, int64_t ns)
{
    (void)transport;
    return weft_sleep(ns);
}

static void fiber_close(struct transport *transport)
{
    weft_close(transport->fd);
}

const struct transport_ops transport_fiber = {
    .recv = fiber_recv,
    .send = fiber_send,
    .send_file = fiber_send_file,
    .sleep = fiber_sleep,
    .close = fiber_close,
};
