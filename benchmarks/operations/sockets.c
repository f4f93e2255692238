/* SPDX-License-Identifier: MIT */
/* Datagrams, and connections as they come and go: over loopback. */
#include "operations.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

static bool bind_to_loopback(struct place *p, int fd)
{
    socklen_t length = sizeof p->address;

    p->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    return bind(fd, (struct sockaddr *)&p->address, length) == 0 &&
           getsockname(fd, (struct sockaddr *)&p->address, &length) == 0;
}

/* What is sent comes back to the same socket. */
static bool set_up_datagrams(struct place *p)
{
    p->in = p->out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return p->in >= 0 && bind_to_loopback(p, p->in);
}

static bool send_byte(struct place *p, unsigned i)
{
    return sendto(p->out, p->blocks[i % OPERATION_FIBERS], 1, 0, (struct sockaddr *)&p->address,
                  sizeof p->address) == 1;
}

static bool receive_byte(struct place *p, unsigned i)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;

    return recvfrom(p->in, p->blocks[i % OPERATION_FIBERS], 1, 0, (struct sockaddr *)&from,
                    &length) == 1;
}

static bool weft_send_byte(struct place *p, unsigned i)
{
    return weft_sendto(p->out, p->blocks[i % OPERATION_FIBERS], 1, 0,
                       (struct sockaddr *)&p->address, sizeof p->address, WEFT_FOREVER) == 1;
}

static bool weft_receive_byte(struct place *p, unsigned i)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;

    return weft_recvfrom(p->in, p->blocks[i % OPERATION_FIBERS], 1, 0, (struct sockaddr *)&from,
                         &length, WEFT_FOREVER) == 1;
}

static bool weft_borrow_byte(struct place *p)
{
    void *buffer = NULL;
    bool is_ok = weft_recv_lent(p->in, &buffer, 0, WEFT_FOREVER) == 1;

    weft_lent_return(buffer);
    return is_ok;
}

static bool send_all(struct place *p, unsigned count)
{
    bool is_ok = true;

    for (unsigned i = 0; i < count; i++)
        is_ok &= send_byte(p, i);
    return is_ok;
}

static bool receive_all(struct place *p, unsigned count)
{
    bool is_ok = true;

    for (unsigned i = 0; i < count; i++)
        is_ok &= receive_byte(p, i);
    return is_ok;
}

static const struct scene datagrams = {.set_up = set_up_datagrams, .prepare = send_all};
static const struct scene no_datagrams = {.set_up = set_up_datagrams, .clean = receive_all};

OPERATION(recvfrom, datagrams, 128, receive_byte(p, i), weft_receive_byte(p, i));
OPERATION(recv_lent, datagrams, 128,
          recv(p->in, p->blocks[i % OPERATION_FIBERS], OPERATION_BLOCK, 0) == 1,
          weft_borrow_byte(p));
OPERATION(sendto, no_datagrams, 128, send_byte(p, i), weft_send_byte(p, i));

static bool set_up_listener(struct place *p)
{
    p->in = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return p->in >= 0 && bind_to_loopback(p, p->in) && listen(p->in, OPERATION_MANY) == 0;
}

/* They go away at once when they are closed: ports would run out. */
static bool make_clients(struct place *p, unsigned count)
{
    struct linger none = {.l_onoff = 1};

    for (unsigned i = 0; i < count; i++) {
        p->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (setsockopt(p->fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof none) != 0)
            return false;
    }
    return true;
}

static bool connect_one(struct place *p, unsigned i)
{
    return connect(p->fds[i], (struct sockaddr *)&p->address, sizeof p->address) == 0;
}

static bool accept_one(struct place *p, unsigned i)
{
    return (p->others[i] = accept4(p->in, NULL, NULL, SOCK_CLOEXEC)) >= 0;
}

static bool make_connections(struct place *p, unsigned count)
{
    bool is_ok = make_clients(p, count);

    for (unsigned i = 0; i < count && is_ok; i++)
        is_ok = connect_one(p, i);
    return is_ok;
}

static bool end_connections(struct place *p, unsigned count)
{
    bool is_ok = true;

    for (unsigned i = 0; i < count && is_ok; i++)
        is_ok = accept_one(p, i);
    return place_close(p, count) && is_ok;
}

static const struct scene connections = {
    .set_up = set_up_listener, .prepare = make_connections, .clean = place_close};
static const struct scene clients = {
    .set_up = set_up_listener, .prepare = make_clients, .clean = end_connections};

OPERATION(accept, connections, 64, accept_one(p, i),
          (p->others[i] = weft_accept(p->in, WEFT_FOREVER)) >= 0);
OPERATION(connect, clients, 64, connect_one(p, i),
          weft_connect(p->fds[i], (struct sockaddr *)&p->address, sizeof p->address,
                       WEFT_FOREVER) == 0);

static bool plain_listen(struct place *p, unsigned i)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int one = 1;

    p->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return setsockopt(p->fds[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
           bind(p->fds[i], (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(p->fds[i], SOMAXCONN) == 0;
}

static const struct scene listeners = {.clean = place_close};

OPERATION(listen_tcp, listeners, 32, plain_listen(p, i),
          (p->fds[i] = weft_listen_tcp("127.0.0.1", 0)) >= 0);

static bool free_found(int error, struct addrinfo *found)
{
    if (error != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

static bool plain_resolve_number(void)
{
    struct addrinfo *found = NULL;
    int error = getaddrinfo("127.0.0.1", "80", NULL, &found);

    return free_found(error, found);
}

static bool resolve_number(void)
{
    struct addrinfo *found = NULL;
    int error = weft_resolve("127.0.0.1", "80", NULL, &found, WEFT_FOREVER);

    return free_found(error, found);
}

static const struct scene numbers = {.set_up = NULL};

/* A number, so that no server is asked. */
OPERATION(resolve, numbers, 32, plain_resolve_number(), resolve_number());
