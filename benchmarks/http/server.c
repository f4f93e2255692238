/* SPDX-License-Identifier: MIT */
/* What the four modes have in common. */
#include "server.h"

#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void server_stop_accepting(struct server *server)
{
    /* relaxed: see server_is_draining(). */
    atomic_store_explicit(&server->is_draining, true, memory_order_relaxed);
}

void server_close_listener(struct server *server)
{
    close(server->listener);
    server->listener = -1;
}

enum accept_failure server_classify_accept_error(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        return ACCEPT_PAUSE;
    case -EAGAIN: /* the timeout meant for connections holds for accept(2) too */
    case -ETIMEDOUT:
    case -EINTR:
    case -ECONNABORTED:
    case -EPROTO:
    case -EPERM: /* a firewall's verdict on that connection */
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENONET:
    case -ENOPROTOOPT:
    case -EOPNOTSUPP:
        return ACCEPT_RETRY;
    default:
        return ACCEPT_PAUSE; /* unknown: at least nothing spins */
    }
}

int server_announce(const struct server *server)
{
    int error = listener_announce(server->listener, options_mode_name(server->options.mode));

    if (error < 0)
        fprintf(stderr, "weft-http: cannot announce the address: %s\n", strerror(-error));
    return error < 0;
}

void server_cut_remaining(struct server *server)
{
    uint32_t count = registry_count(&server->registry);

    if (count == 0)
        return;
    fprintf(stderr, "weft-http: %u connections were cut after %d seconds\n", (unsigned)count,
            GRACE_MS / 1000);
    registry_close_all(&server->registry);
}
