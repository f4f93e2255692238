/* SPDX-License-Identifier: MIT */
/* Connections that come. */
#include "io/limits.h"
#include "io/op.h"
#include "io/pending.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <weft/fiber.h>
#include <weft/io.h>

/* Between two attempts while something is short; as in the HTTP server of Go (net/http). */
#define PAUSE_MIN (5 * WEFT_MILLISECOND)
#define PAUSE_MAX WEFT_SECOND

/* In a call that began at that epoch of the listener or, with 0, begins now. */
static int accept_one(int fd, uint32_t epoch, weft_time deadline)
{
    struct wf_op op = {.code = WF_OP_ACCEPT, .fd = fd, .flags = SOCK_CLOEXEC, .epoch = epoch};

    if (wf_limits_are_set())
        return wf_limits_accept(&op, deadline);
    return wf_op_run_ready(&op, POLLIN, deadline);
}

int weft_accept(int fd, weft_time deadline)
{
    return accept_one(fd, 0, deadline);
}

/* The connection is still in the queue. */
static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

/* It is not: errors of a connection's own, which Linux passes on (accept(2)).  Not -EOPNOTSUPP,
 * which says of a socket that it is none to accept from. */
static bool is_lost(int error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENONET:
        return true;
    default:
        return false;
    }
}

/* Sleeps until then, or until the listener is closed.  0, or why the call is over. */
static int pause_until(int fd, uint32_t epoch, weft_time until)
{
    /* A listener has no urgent data: only a close or a cancel ends this before its time. */
    int result = wf_op_poll(fd, POLLPRI, epoch, until);

    if (result == -ETIMEDOUT && weft_now() >= until)
        return 0;
    if (result == -EBADF || result == -ECANCELED || result == -ETIMEDOUT)
        return result;
    /* It has been shut down, or the poll lacks something, too: no reason to try at once. */
    return weft_sleep_until(until);
}

int weft_accept_next(int fd, weft_time deadline)
{
    uint32_t epoch = wf_epoch_now(fd);
    weft_time pause = PAUSE_MIN;

    for (;;) {
        int result = accept_one(fd, epoch, deadline);
        weft_time now;

        if (is_lost(result))
            continue;
        if (!is_shortage(result) || (now = weft_now()) >= deadline)
            return result;
        result = pause_until(fd, epoch, deadline - now < pause ? deadline : now + pause);
        if (result != 0)
            return result;
        pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
    }
}
