/* SPDX-License-Identifier: MIT */
/*
 * The loop that serves one connection, the same on a fiber and on a thread: receive once, answer
 * all that is complete, send once.
 */
#include "connection.h"

#include "date.h"
#include "http_parser.h"
#include "input.h"
#include "output.h"
#include "response.h"
#include "routes.h"
#include "server.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    LINGER_MS = 2000,
    LINGER_QUIET_MS = 100, /* how often it is asked what the peer has acknowledged; guessed */
    LINGER_TICK_MS = 5     /* the same where no receive can wait */
};

void connection_init(struct connection *c, struct server *server, const struct transport_ops *ops,
                     int fd)
{
    /* The buffers are left alone: a page that nobody writes to costs nothing. */
    c->transport = (struct transport){.ops = ops,
                                      .fd = fd,
                                      .write_timeout_ns = server->options.write_timeout_ns,
                                      .recv_timeout_ns = server->options.idle_timeout_ns};
    c->server = server;
    c->is_closing = c->is_broken = c->must_linger = false;
    c->closes_first = c->is_shut = false;
    c->request = (struct request){0};
    c->input = (struct input){.data = c->input_inline, .capacity = INPUT_SIZE_MIN};
    c->output = (struct output){.data = c->output_inline, .capacity = OUTPUT_SIZE_MIN};
    http_parser_init(c);
    atomic_init(&c->idle_since_ns, CONNECTION_BUSY);
    registry_add(&server->registry, c);
}

void connection_mark_idle(struct connection *c)
{
    /* release: pairs with the acquire in registry_close_idle_since(). */
    atomic_store_explicit(&c->idle_since_ns, coarse_now(), memory_order_release);
}

void connection_mark_busy(struct connection *c)
{
    /* release: as above; too late is harmless, see there. */
    atomic_store_explicit(&c->idle_since_ns, CONNECTION_BUSY, memory_order_release);
}

bool connection_is_between_requests(const struct connection *c)
{
    return c->input.start == c->input.length && !c->request.is_head_complete;
}

/* One deadline covers the whole header section and another one the body, however they trickle. */
static int64_t time_left(struct connection *c)
{
    struct request *request = &c->request;
    const int64_t now_ns = coarse_now();

    if (request->deadline_ns == 0 || (request->is_head_complete && !request->has_body_deadline)) {
        request->deadline_ns = now_ns + c->server->options.header_timeout_ns;
        request->has_body_deadline = request->is_head_complete;
    }
    return request->deadline_ns - now_ns;
}

/* Refuses what was received so far and closes.  The peer may still be sending: hence the linger. */
static void refuse(struct connection *c, uint16_t status)
{
    c->request.is_keep_alive = false;
    c->must_linger = true;
    response_error(c, status);
    c->is_closing = true;
}

/* Receives behind what is there.  Returns false if nothing came. */
static bool receive(struct connection *c)
{
    const bool is_first = connection_is_between_requests(c);
    int64_t timeout_ns = c->server->options.idle_timeout_ns;
    ssize_t room, n;

    if (is_first) {
        input_rest(c);
    } else {
        timeout_ns = time_left(c);
        if (timeout_ns <= 0) {
            refuse(c, 408);
            return false;
        }
    }
    room = input_make_room(c);
    if (room <= 0) {
        refuse(c, room == 0 ? 431 : 503);
        return false;
    }

    if (is_first)
        connection_mark_idle(c);
    n = c->transport.ops->recv(&c->transport, c->input.data + c->input.length, (size_t)room,
                               timeout_ns);
    if (is_first)
        connection_mark_busy(c);
    if (n > 0) {
        c->input.length += (uint32_t)n;
        return true;
    }
    if (n == -ETIMEDOUT && !is_first)
        refuse(c, 408);
    if (n == -ETIMEDOUT)
        c->closes_first = true;
    c->is_closing = true;
    return false;
}

void connection_answer_all(struct connection *c)
{
    while (c->input.parsed < c->input.length && !c->is_closing) {
        enum parse_result result = http_parser_run(c);

        if (result == PARSE_MORE)
            break;
        if (result == PARSE_REJECTED) {
            refuse(c, c->request.reject);
            break;
        }
        routes_answer(c);
        http_parser_next(c);
    }
    if (c->input.parsed < c->input.length)
        c->must_linger = true;
}

/* A client that asked for leave to send its body gets it, or the error that spares it. */
static void answer_expectation(struct connection *c)
{
    if (!c->request.expects_continue || !c->request.is_head_complete)
        return;
    c->request.expects_continue = false;
    if (c->request.body_received > 0)
        return;
    if (c->request.status != 0)
        refuse(c, c->request.status);
    else
        response_continue(c);
}

bool connection_serve_burst(struct connection *c)
{
    do {
        size_t burst;

        if (receive(c)) {
            connection_answer_all(c);
            if (!c->is_closing)
                answer_expectation(c);
        }
        burst = c->output.length;
        output_flush(c, 0);
        output_rest(c, burst);
    } while (!c->is_closing && !connection_is_between_requests(c));

    if (!c->is_closing && server_is_draining(c->server))
        c->is_closing = c->closes_first = true;
    return !c->is_closing;
}

void connection_serve(struct connection *c)
{
    while (connection_serve_burst(c))
        ;
    connection_close(c);
}

/* Whether the peer's kernel has all that was sent, the end included, or will not have the rest. */
static bool is_acknowledged(const struct connection *c)
{
    socklen_t length = sizeof(int);
    int bytes = 0, error = 0;

    if (ioctl(c->transport.fd, SIOCOUTQ, &bytes) < 0 || bytes == 0)
        return true;
    /* Behind the peer's end no receive tells of a reset, and the bytes are counted on. */
    return getsockopt(c->transport.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0;
}

/*
 * Closing a socket that has unread input, or that input reaches afterwards, resets the connection:
 * the kernel drops what it has not sent yet, and the reset can overtake the answer that says why.
 * So say that we are done, and read until the peer is done as well (RFC 9112 section 9.6), or at
 * least has all of our answers; that alone will not do for a peer that we refused, which may well
 * be sending still.
 *
 * Where the registry has ended our input there is nothing to wait in, and Linux would answer input
 * behind our end with a reset.  There close(2) sends the end, once all else is acknowledged.
 */
static void linger(struct connection *c)
{
    const struct transport_ops *ops = c->transport.ops;
    const int64_t deadline_ns = coarse_now() + (int64_t)LINGER_MS * 1000000;

    if (!c->is_shut && shutdown(c->transport.fd, SHUT_WR) < 0)
        return;
    while (coarse_now() < deadline_ns) {
        ssize_t n = ops->recv(&c->transport, c->input.data, c->input.capacity,
                              (int64_t)LINGER_QUIET_MS * 1000000);

        if (n > 0)
            continue;
        if (n != -ETIMEDOUT && !(n == 0 && c->is_shut)) /* the peer is done, or lost */
            return;
        if ((c->is_shut || !c->must_linger) && is_acknowledged(c))
            return;
        if (c->is_shut && ops->sleep(&c->transport, (int64_t)LINGER_TICK_MS * 1000000) < 0)
            return;
    }
}

void connection_close(struct connection *c)
{
    struct registry *registry = &c->server->registry;

    /* Before the linger, so that whether the input was ended is settled by then. */
    registry_remove(registry, c);
    if ((c->must_linger || c->closes_first || c->is_shut) && !c->is_broken)
        linger(c);
    c->transport.ops->close(&c->transport);
    body_free(&c->request.body);
    if (c->input.data != c->input_inline)
        free(c->input.data);
    if (c->output.data != c->output_inline)
        free(c->output.data);
    registry_release(registry);
}
