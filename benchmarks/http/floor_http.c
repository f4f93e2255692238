/* SPDX-License-Identifier: MIT */
#include "floor_http.h"

#include "connection.h"
#include "input.h"
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_LIMIT = 1 << 20 };

struct floor_http {
    struct connection connection;
};

static struct server server;

/* The loop does all that there is to do; what would take more than it can, fails. */
static ssize_t receive_nothing(struct transport *transport, void *buf, size_t len,
                               int64_t timeout_ns)
{
    (void)transport;
    (void)buf;
    (void)len;
    (void)timeout_ns;
    return 0;
}

static int send_nothing(struct transport *transport, const void *buf, size_t len, int flags)
{
    (void)transport;
    (void)buf;
    (void)len;
    (void)flags;
    return -EPIPE;
}

static int send_no_file(struct transport *transport, int file, uint64_t len)
{
    (void)transport;
    (void)file;
    (void)len;
    return -EPIPE;
}

static int do_not_sleep(struct transport *transport, int64_t ns)
{
    (void)transport;
    (void)ns;
    return -EPIPE;
}

static void close_descriptor(struct transport *transport)
{
    close(transport->fd);
}

static const struct transport_ops transport = {
    .recv = receive_nothing,
    .send = send_nothing,
    .send_file = send_no_file,
    .sleep = do_not_sleep,
    .close = close_descriptor,
};

int floor_http_start(void)
{
    server.root_fd = -1;
    server.options.body_limit = BODY_LIMIT;
    return registry_init(&server.registry, 0);
}

struct floor_http *floor_http_open(int fd)
{
    struct floor_http *http = malloc(sizeof *http);

    if (http == NULL)
        return NULL;
    registry_admit(&server.registry);
    connection_init(&http->connection, &server, &transport, fd);
    return http;
}

void floor_http_close(struct floor_http *http)
{
    connection_close(&http->connection);
    free(http);
}

size_t floor_http_room(struct floor_http *http, char **room)
{
    struct connection *c = &http->connection;
    ssize_t length;

    if (connection_is_between_requests(c))
        input_rest(c);
    length = input_make_room(c);
    *room = c->input.data + c->input.length;
    return length > 0 ? (size_t)length : 0;
}

ssize_t floor_http_answer(struct floor_http *http, size_t length, const char **answers)
{
    struct connection *c = &http->connection;

    c->output.length = 0;
    c->input.length += (uint32_t)length;
    connection_answer_all(c);
    *answers = c->output.data;
    return c->is_broken ? -EPIPE : (ssize_t)c->output.length;
}

bool floor_http_is_last(const struct floor_http *http)
{
    return http->connection.is_closing;
}
